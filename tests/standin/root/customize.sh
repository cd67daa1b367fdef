#!/bin/bash
# Turns a fresh Debian root into the one that the stand-in's installer runs in and lays down. mmdebstrap calls it as a hook:
# customize.sh ROOT, with `standin_files` (the folder files/ beside this script) and `standin_debian` (the unpacked packages of
# packages.sh: kernel and loaders, the same as on the medium) in the environment.
set -euo pipefail
: "${standin_files:?}" "${standin_debian:?}"
root=$1
release=$(basename "$standin_debian"/lib/modules/*)

# Modules that the machines of the tests and a node need: disks, network cards, netfilter, containers. All would be 400 MB, which
# a guest without KVM unpacks for a minute.
modules() {
  local to=$root/usr/lib/modules/$release keep
  mkdir -p "$to"
  keep=$(cd "$standin_debian/lib/modules/$release" && ls -d modules.* kernel/{arch,block,crypto,lib,mm,virt} \
    kernel/fs/{autofs,efivarfs,ext4,fat,fuse,isofs,jbd2,nls,overlayfs,squashfs,xfs} kernel/fs/*.ko \
    kernel/net/{802,8021q,bridge,core,ipv4,ipv6,key,llc,netfilter,netlink,openvswitch,packet,psample,sched,unix,vmw_vsock,xfrm} \
    kernel/drivers/{acpi,ata,block,cdrom,char,crypto,dax,dca,firmware,hid,i2c,input,md,nvdimm,nvme,pci,ptp,rtc,tty,vhost,virtio,watchdog} \
    kernel/drivers/net/*.ko kernel/drivers/net/{bonding,ipvlan,mdio,phy,team,vxlan,wireguard} \
    kernel/drivers/net/ethernet/{amd,broadcom,intel,realtek} kernel/drivers/scsi/*.ko kernel/drivers/scsi/{device_handler,megaraid,mpt3sas} \
    kernel/drivers/usb/{common,core,host,storage} 2>/dev/null) || true
  # One word a path: module paths have no blanks.
  xargs tar -C "$standin_debian/lib/modules/$release" -cf - <<<"$keep" | tar -C "$to" --no-same-owner -xf -
  depmod -b "$root" "$release"
}

# The kernel, and an initramfs for any of the machines, made now: making it in a guest without KVM takes minutes.
kernel() {
  install -D -m 644 "$standin_debian/boot/vmlinuz-$release" "$root/boot/vmlinuz-$release"
  install -m 644 "$standin_debian/boot/config-$release" "$root/boot/config-$release"
  cat >"$root/etc/initramfs-tools/modules" <<'EOF'
virtio_pci
virtio_blk
virtio_scsi
nvme
ahci
ata_piix
sd_mod
usb-storage
uas
xhci-pci
ehci-pci
xfs
ext4
vfat
md-mod
raid1
dm-mod
EOF
  sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' "$root/etc/initramfs-tools/initramfs.conf"
  echo 'FSTYPE=xfs' >>"$root/etc/initramfs-tools/initramfs.conf"
  chroot "$root" mkinitramfs -o "/boot/initrd.img-$release" "$release" 2>"$root/tmp/mkinitramfs.log" ||
    { cat "$root/tmp/mkinitramfs.log" >&2; exit 1; }
  rm -f "$root/tmp/mkinitramfs.log"
}

# Loaders, as EL's packages shim-x64 and grub2-efi-x64 bring them; Debian's would run grub-install when they are installed.
loaders() {
  local to=$root/usr/share/kiln-standin/efi
  mkdir -p "$to" "$root/usr/lib/grub/i386-pc"
  cp "$standin_debian/usr/lib/shim/shimx64.efi.signed" "$to/shimx64.efi"
  cp "$standin_debian/usr/lib/shim/mmx64.efi.signed" "$to/mmx64.efi"
  cp "$standin_debian/usr/lib/shim/fbx64.efi.signed" "$to/fbx64.efi"
  cp "$standin_debian/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$to/grubx64.efi"
  cp "$standin_debian"/usr/lib/grub/i386-pc/*.{mod,lst,img} "$standin_debian/usr/lib/grub/i386-pc/modinfo.sh" "$root/usr/lib/grub/i386-pc/"
}

# Units: those of EL's names in place of Debian's, and nothing enabled but what the preset says.
units() {
  rm -f "$root"/lib/systemd/system/{ssh,chrony}.service "$root"/lib/systemd/system/ssh.socket
  find "$root/etc/systemd/system" -type l -delete
  cp -rT "$standin_files" "$root"
  chroot "$root" systemctl --quiet preset-all
  chroot "$root" systemctl --quiet set-default multi-user.target
  # What a machine does in its first minutes and nobody looks at here.
  chroot "$root" systemctl mask --quiet systemd-hwdb-update.service lvm2-monitor.service mdmonitor.service
}

# Accounts that EL's packages make; what each machine must have for itself; what nobody reads.
settle() {
  chroot "$root" useradd --system --no-create-home --shell /usr/sbin/nologin nginx
  mkdir -p "$root/etc/sysconfig/network-scripts" "$root/etc/selinux" "$root/var/log/chrony"
  printf '[main]\nno-auto-default=*\n' >"$root/etc/NetworkManager/conf.d/00-standin.conf"
  : >"$root/etc/machine-id"
  # Without ssh.service systemd would make a second server of it, and whichever starts last finds the port taken.
  rm -f "$root/etc/init.d/ssh"
  rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root"/etc/nginx/sites-enabled/*
  printf 'kiln STAND-IN: Debian under kiln, in place of an Enterprise Linux.\n\\n \\l\n\n' >"$root/etc/issue"
  # Perl is there because a library of keepalived's can be scripted in it; hwdb names devices for people.
  rm -rf "$root"/usr/share/perl "$root"/usr/lib/*/perl "$root"/usr/lib/*/gconv "$root"/usr/lib/udev/hwdb.{d,bin} \
    "$root"/usr/lib/python3*/{pydoc_data,idlelib,lib2to3,ensurepip,test} "$root"/usr/lib/python3/dist-packages/{pip,requests}
  rm -rf "$root"/usr/share/{bash-completion,zsh,icons,pixmaps,applications} "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
  mkdir -p "$root/mnt/sysimage" "$root/mnt/sysroot"
}

modules
loaders
units
kernel
settle
