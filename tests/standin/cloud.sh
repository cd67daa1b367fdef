#!/bin/bash
# Makes a stand-in for a vendor's cloud image: Debian and cloud-init in the layouts that vendors have. The root is the one of the
# stand-in's installer with cloud-init added, so that kiln's profiles find what they ask for. README.md says where it differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/standin/packages.sh
. "$here/packages.sh"
# shellcheck source=tests/standin/root.sh
. "$here/root.sh"

usage() {
  cat <<'USAGE'
usage: cloud.sh mbr|gpt [OUT.qcow2]
mbr  one partition, ext4, GRUB in front of it: BIOS (as CentOS 7 and Stream)
gpt  an EFI system partition, then root, ext4: UEFI (as the images of RHEL's rebuilds, without /boot of its own)
Kept under ${KILN_CACHE:-~/.cache/kiln}/standin/; a second run only copies, and without OUT.qcow2 says where that is.
Needs mmdebstrap, mke2fs, mkfs.vfat, mtools, sfdisk, grub-mkimage, qemu-img; no root where user namespaces are allowed.
USAGE
}

die() { echo "standin: $1" >&2; exit "${2:-1}"; }
say() { echo "standin: $*" >&2; }

root_mib=2560
esp_mib=64

# What the image depends on.
cloud_key() {
  {
    root_key
    cat "$here/cloud.sh"
    apt-cache policy cloud-init cloud-guest-utils | awk '/^[^ ]/ { name = $1 } $1 == "Candidate:" { print name, $2 }'
  } | sha256sum | cut -c1-16
}

# What a cloud image has that the installer's root has not: cloud-init needs a library of Python that the installer does without. Called as a hook of mmdebstrap's, with the root's folder.
cloud_hook() {
  local root=$1 release
  mv "$root/requests.kept" "$root/usr/lib/python3/dist-packages/requests"
  release=$(basename "$root"/boot/vmlinuz-*); release=${release#vmlinuz-}
  chroot "$root" systemctl --quiet enable cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service sshd.service
  printf 'datasource_list: [NoCloud, None]\n' >"$root/etc/cloud/cloud.cfg.d/90_standin.cfg"
  rm -f "$root/etc/NetworkManager/conf.d/00-standin.conf"
  # No rpm: every package that a profile asks for is there under its Debian name.
  printf '#!/bin/sh\nexit 0\n' >"$root/usr/bin/rpm"
  chmod 755 "$root/usr/bin/rpm"
  printf 'LABEL=kiln-cloud / ext4 defaults 0 1\n' >"$root/etc/fstab"
  printf 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\n' >"$root/etc/default/grub"
  mkdir -p "$root/boot/grub"
  cat >"$root/boot/grub/grub.cfg" <<MENU
serial --unit=0 --speed=115200
terminal_output serial
linux /boot/vmlinuz-$release root=LABEL=kiln-cloud ro console=tty0 console=ttyS0,115200
initrd /boot/initrd.img-$release
boot
MENU
  # The test reads on the console how large root is.
  cat >"$root/usr/lib/systemd/system/standin-root.service" <<'UNIT'
[Unit]
Description=Say how large root is
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "STANDIN root has $(df -m --output=size / | tail -n 1 | tr -d " ") MiB, host $(hostname)" > /dev/console'

[Install]
WantedBy=multi-user.target
UNIT
  chroot "$root" systemctl --quiet enable standin-root.service
}

# As root of a user namespace, where this is not root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi
}

make_tree() {
  local packages exclude=()
  debian_sources
  fetch_packages
  mapfile -t packages < <(root_packages; printf 'cloud-init\ncloud-guest-utils\n')
  for folder in man doc locale info gnome help lintian; do exclude+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
  say "making the Debian root of cloud images (once; some minutes)"
  # shellcheck disable=SC2016  # mmdebstrap's shell expands it
  standin_files=$here/root/files standin_debian=$debian \
    mmdebstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --aptopt='Acquire::Languages "none"' "${exclude[@]}" \
    --dpkgopt=force-unsafe-io --customize-hook='mv "$1/usr/lib/python3/dist-packages/requests" "$1/requests.kept"' \
    --customize-hook="$here"'/root/customize.sh "$1"' \
    --customize-hook="$here"'/cloud.sh --hook "$1"' --skip=cleanup/reproducible \
    "$suite" "$1" "$sources" >"$work/mmdebstrap.log" 2>&1 || die "mmdebstrap failed: $(tail -n 5 "$work/mmdebstrap.log")" 3
}

# The file system of root, from the archive: $1 → $2.
make_root_fs() {
  truncate -s "${root_mib}M" "$2"
  # shellcheck disable=SC2016
  as_root bash -ec 'mkdir "$3"; tar -C "$3" -xf "$1"; mke2fs -q -t ext4 -L kiln-cloud -U 6b696c6e-0000-4000-8000-000000000001 \
    -E hash_seed=6b696c6e-0000-4000-8000-000000000002 -d "$3" "$2"; rm -rf "$3"' _ "$1" "$2" "$work/tree"
}

modules=(normal linux configfile ext2 search search_label serial terminal test)

write_mbr() {
  local disk=$1 grub=$debian/usr/lib/grub/i386-pc
  printf 'label: dos\nlabel-id: 0x6b696c6e\nstart=2048, type=83, bootable\n' | sfdisk -q "$disk"
  dd if="$work/root.ext4" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
  grub-mkimage -d "$grub" -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos "${modules[@]}"
  # What grub-install does: the boot sector loads the second one, where the core begins.
  dd if="$grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  dd if="$work/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
}

write_gpt() {
  local disk=$1 grub=/usr/lib/grub/x86_64-efi
  printf 'label: gpt\nlabel-id: 6B696C6E-0000-4000-8000-000000000003\nsize=%sMiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=6B696C6E-0000-4000-8000-000000000004\ntype=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=6B696C6E-0000-4000-8000-000000000005, name=root\n' "$esp_mib" | sfdisk -q "$disk"
  truncate -s "${esp_mib}M" "$work/esp"
  mkfs.vfat -F 32 -n EFI -i 4b494c4e "$work/esp" >/dev/null
  # shellcheck disable=SC2016  # GRUB expands it
  printf 'search --label --set=root kiln-cloud\nset prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
  grub-mkimage -d "$grub" -O x86_64-efi -p /boot/grub -c "$work/early.cfg" -o "$work/bootx64.efi" part_gpt fat "${modules[@]}"
  mmd -i "$work/esp" ::/EFI ::/EFI/BOOT
  mcopy -i "$work/esp" "$work/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
  dd if="$work/esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
  dd if="$work/root.ext4" of="$disk" bs=1M seek="$((1 + esp_mib))" conv=notrunc,sparse status=none
}

main() {
  case ${1-} in
    --hook) cloud_hook "$2"; return ;;
    -h | --help) usage; return ;;
    mbr | gpt) ;;
    *) usage >&2; exit 2 ;;
  esac
  local layout=$1 out=${2-} key
  PATH=$PATH:/usr/sbin:/sbin
  umask 022
  export LC_ALL=C TZ=UTC0 SOURCE_DATE_EPOCH=1700000000
  cache=${KILN_CACHE:-$HOME/.cache/kiln}/standin
  key=$(cloud_key)
  store=$cache/cloud-$key
  mkdir -p "$store"
  exec 9>"$store/lock"
  flock 9
  if [ ! -e "$store/$layout.qcow2" ]; then
    work=$(mktemp -d "$store/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch_packages
    if [ ! -e "$store/root.ext4" ]; then
      make_tree "$work/root.tar"
      make_root_fs "$work/root.tar" "$work/root.ext4"
      rm -f "$work/root.tar"
      mv "$work/root.ext4" "$store/root.ext4"
    fi
    ln "$store/root.ext4" "$work/root.ext4"
    truncate -s "$((root_mib + esp_mib + 2))M" "$work/disk.raw"
    "write_$layout" "$work/disk.raw"
    qemu-img convert -c -f raw -O qcow2 "$work/disk.raw" "$work/out.qcow2"
    mv "$work/out.qcow2" "$store/$layout.qcow2"
    say "$layout.qcow2: $(($(stat -c %s "$store/$layout.qcow2") / 1048576)) MiB (kept in $store)"
  fi
  [ -n "$out" ] || { echo "$store/$layout.qcow2"; return; }
  cp --reflink=auto "$store/$layout.qcow2" "$out"
}

main "$@"
