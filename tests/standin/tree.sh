# shellcheck shell=bash disable=SC2154  # make.sh sets here, cache, work and the like
# What lies on a stand-in medium: the tree of files, release by release. The image formats are in layouts.sh.

# What each release calls itself; the values are those of real media (.discinfo, .treeinfo, volume label).
release_facts() {
  case $1 in
    el7) product='CentOS 7' family=CentOS version=7 discinfo=7.9 label='CentOS 7 x86_64' ;;
    el8) product='CentOS Stream 8' family='CentOS Stream' version=8 discinfo=8 label='CentOS-Stream-8-x86_64-dvd' ;;
    el9) product='CentOS Stream 9' family='CentOS Stream' version=9 discinfo=9 label='CentOS-Stream-9-BaseOS-x86_64' ;;
    el10) product='CentOS Stream 10' family='CentOS Stream' version=10 discinfo=10 label='CentOS-Stream-10-BaseOS-x86_64' ;;
  esac
  # udev's escaping, as in inst.stage2=hd:LABEL=…: only the space occurs in these labels.
  escaped=${label// /\\x20}
  case $1 in el7) stage2=LiveOS/squashfs.img ;; *) stage2=images/install.img ;; esac
}

# Replaces @WORDS@ of a template. bash's own replacement, since labels hold backslashes.
fill() {
  local text
  text=$(cat "$1")
  text=${text//@PRODUCT@/$product}
  text=${text//@FAMILY@/$family}
  text=${text//@VERSION@/$version}
  text=${text//@LABEL@/$label}
  text=${text//@ROOT@/inst.stage2=hd:LABEL="$escaped"}
  text=${text//@TIME@/$SOURCE_DATE_EPOCH}
  printf '%s\n' "$text"
}

make_tree() {
  local layout=$1 tree=$2 installer=$3
  release_facts "$layout"
  mkdir -p "$tree/images/pxeboot" "$tree/$(dirname "$stage2")"
  make_kernel "$tree"
  if [ -n "$installer" ]; then make_installer_stage2 "$layout" "$tree/$stage2"; else make_stage2 "$layout" "$tree/$stage2"; fi
  make_efi "$layout" "$tree"
  case $layout in
    el10) make_bios_grub "$tree" ;;
    *) make_isolinux "$layout" "$tree" ;;
  esac
  make_repos "$layout" "$tree"
  make_meta "$layout" "$tree"
}

kernel_release() { basename "$debian"/lib/modules/*; }

make_kernel() {
  local release
  release=$(kernel_release)
  install -m 755 "$debian/boot/vmlinuz-$release" "$1/images/pxeboot/vmlinuz"
  # All layouts share it.
  [ -e "$store/initrd.img" ] || make_initrd "$work/initrd" "$store/initrd.img"
  install -m 644 "$store/initrd.img" "$1/images/pxeboot/initrd.img"
}

# The initramfs: busybox, our /init, and those of the kernel's own (signed, so that Secure Boot lets them in) modules that
# find media, disks and network cards in the machines the tests use.
make_initrd() {
  local root=$1 image=$2 release modules
  release=$(kernel_release)
  modules=$root/lib/modules/$release
  mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,mnt} "$modules"
  install -m 755 "$debian/bin/busybox" "$root/bin/busybox"
  install -m 755 "$here/initrd/init" "$root/init"
  install -m 644 "$here/initrd/lib.sh" "$root/lib.sh"
  install -m 755 "$here/initrd/curl" "$root/bin/curl"
  install -m 755 "$here/installer/udhcpc" "$root/udhcpc"
  ln -s bin "$root/sbin"
  # depmod needs the builtin lists to say nothing about what is built in.
  cp "$debian/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$modules/"
  local name
  while read -r name; do
    modprobe -d "$debian" -S "$release" --show-depends "$name" 2>/dev/null || die "kernel $release has no module $name"
  done < <(grep -v '^#' "$here/initrd/modules") | awk '$1 == "insmod" { print $2 }' | sort -u |
    while read -r name; do
      install -D -m 644 "$name" "$modules/${name##*/lib/modules/"$release"/}"
    done
  depmod -b "$root" "$release"
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  (cd "$root" && find . -mindepth 1 | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) | zstd -q -T1 -9 >"$image.part"
  mv "$image.part" "$image"
}

# Stage 2: what Anaconda's root file system is on a real medium. Here a note and the marker that the initramfs looks for.
make_stage2() {
  local root=$work/stage2
  mkdir -p "$root"
  echo "kiln stand-in stage 2 for $product: not Anaconda, nothing can be installed from it" >"$root/README"
  echo "kiln-standin $1" >"$root/.kiln-standin"
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  mksquashfs "$root" "$2" -quiet -no-progress -noappend -all-root -no-exports -processors 1 >/dev/null
}

# EFI/BOOT and images/efiboot.img, the FAT image with a copy of EFI/BOOT (as lorax's mkefiboot makes it).
make_efi() {
  local layout=$1 boot=$2/EFI/BOOT esp=$2/images/efiboot.img grub=$debian/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed
  mkdir -p "$boot/fonts"
  install -m 644 "$debian/usr/lib/shim/shimx64.efi.signed" "$boot/BOOTX64.EFI"
  install -m 644 "$debian/usr/lib/shim/mmx64.efi.signed" "$boot/mmx64.efi"
  install -m 644 "$grub" "$boot/grubx64.efi"
  install -m 644 "$debian/usr/share/grub/unicode.pf2" "$boot/fonts/unicode.pf2"
  fill "$here/menus/grub-efi.cfg" >"$boot/grub.cfg"
  # A vendor's GRUB has linuxefi; Debian's has it too until 2.06, and upstream dropped it for plain linux.
  grep -q linuxefi "$grub" || sed -i 's/linuxefi/linux/; s/initrdefi/initrd/' "$boot/grub.cfg"
  case $layout in
    # On real media this copy comes with the IA32 loaders, which Debian's amd64 packages do not have.
    el7|el8) cp "$boot/grub.cfg" "$boot/BOOT.conf" ;;
  esac
  find "$2/EFI" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  truncate -s 12M "$esp"
  mkfs.vfat --invariant -n ANACONDA -i 4b494c4e "$esp" >/dev/null
  mcopy -s -m -Q -i "$esp" "$2/EFI" ::
}

# The c32 modules' own needs: vesamenu wants libcom32 and libutil.
make_isolinux() {
  local dir=$2/isolinux
  mkdir -p "$dir"
  cp "$debian/usr/lib/ISOLINUX/isolinux.bin" "$dir/"
  cp "$debian"/usr/lib/syslinux/modules/bios/{ldlinux,libcom32,libutil,vesamenu}.c32 "$dir/"
  chmod 644 "$dir"/*
  ln "$2/images/pxeboot/vmlinuz" "$2/images/pxeboot/initrd.img" "$dir/"
  fill "$here/menus/boot.msg" >"$dir/boot.msg"
  fill "$here/menus/isolinux.cfg" >"$dir/isolinux.cfg"
  # Real media carry it with lorax's placeholders still in it; nothing reads it.
  printf '#debug --graphics\ndefault=0\ntimeout 60\ntitle @PRODUCT@ @VERSION@\n\tkernel @KERNELPATH@ @ROOT@ quiet\n' >"$dir/grub.conf"
}

make_bios_grub() {
  local dir=$1/boot/grub2 modules=$debian/usr/lib/grub/i386-pc
  mkdir -p "$dir/i386-pc" "$dir/fonts"
  cp "$modules"/*.mod "$modules"/*.lst "$dir/i386-pc/"
  cp "$debian/usr/share/grub/unicode.pf2" "$dir/fonts/"
  chmod 644 "$dir"/*/*
  fill "$here/menus/grub-bios.cfg" >"$dir/grub.cfg"
  local mkimage=grub-mkimage
  command -v $mkimage >/dev/null || mkimage=grub2-mkimage   # its name on EL
  $mkimage -O i386-pc-eltorito -d "$modules" -o "$1/images/eltorito.img" -p /boot/grub2 iso9660 biosdisk
}

# Repositories with a few empty packages, so that repodata is real and names can be looked up in it.
make_repos() {
  local layout=$1 tree=$2 repo name environment=minimal-environment rpm comps=()
  [ -d "$store/rpms" ] || build_rpms "$store/rpms"
  [ "$layout" != el7 ] || environment=minimal
  sed "s/@ENVIRONMENT@/$environment/" "$here/comps.xml" >"$work/comps.xml"
  case $layout in
    el7) set -- "$tree" ;;
    *) set -- "$tree/BaseOS" "$tree/AppStream" ;;
  esac
  for repo in "$@"; do
    mkdir -p "$repo/Packages"
    name=$(basename "$repo")
    while read -r rpm; do
      if [ "$layout" = el7 ] || [ "${rpm%%-*}" = "${name,,}" ]; then cp "$store/rpms/$rpm" "$repo/Packages/${rpm#*-}"; fi
    done < <(rpms_of "$layout")
    # Groups and environments are those of the first repository.
    comps=()
    [ "$repo" != "$tree" ] && [ "$repo" != "$tree/BaseOS" ] || comps=(--groupfile "$work/comps.xml")
    find "$repo/Packages" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    createrepo_c --quiet --revision "$SOURCE_DATE_EPOCH" --set-timestamp-to-revision --workers 1 --no-database --general-compress-type=gz "${comps[@]}" "$repo"
  done
}

# File names of the packages that a release has: REPOSITORY-NAME-0-0.standin.noarch.rpm.
rpms_of() {
  awk -v layout="$1" '!/^#/ { for (i = 3; i <= NF; i++) if ($i == layout) break
    if (NF == 2 || i <= NF) print $1 "-" $2 "-0-0.standin.noarch.rpm" }' "$here/packages.list"
}

# One noarch package a name in packages.list, prefixed with its repository; they hold nothing but their name.
build_rpms() {
  local repo name
  mkdir -p "$work/rpms" "$work/rpmtop"
  while read -r repo name _; do
    cat >"$work/rpmtop/$name.spec" <<EOF
Name: $name
Version: 0
Release: 0.standin
Summary: Empty stand-in, not the real package
License: Apache-2.0
BuildArch: noarch
%description
Made by kiln's tests to fill a repository. It holds nothing.
%files
EOF
    rpmbuild -bb --quiet --define "_topdir $work/rpmtop" --define "_rpmdir $work/rpmtop" --define '_rpmfilename %{NAME}.rpm' \
      --define '_buildhost standin' --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
      --define '_binary_payload w6.gzdio' "$work/rpmtop/$name.spec" >/dev/null 2>"$work/rpmbuild.log" || die "rpmbuild $name: $(cat "$work/rpmbuild.log")"
    mv "$work/rpmtop/$name.rpm" "$work/rpms/$repo-$name-0-0.standin.noarch.rpm"
  done < <(grep -v '^#' "$here/packages.list")
  mv "$work/rpms" "$1"
}

make_meta() {
  local layout=$1 tree=$2 file
  printf '%s.000000\n%s\nx86_64\n' "$SOURCE_DATE_EPOCH" "$discinfo" >"$tree/.discinfo"
  echo "This medium is a stand-in for $product, made by kiln's tests from Debian packages. Nothing can be installed from it." >"$tree/EULA"
  case $layout in
    el7)
      fill "$here/treeinfo/el7" >"$tree/.treeinfo"
      cp "$tree/EULA" "$tree/GPL"
      echo "$SOURCE_DATE_EPOCH" >"$tree/CentOS_BuildTag"
      ;;
    *)
      fill "$here/treeinfo/el8" >"$tree/.treeinfo"
      printf '[InstallMedia]\nname=%s (stand-in)\nmediaid=%s.000000\nmetadata_expire=-1\ngpgcheck=0\ncost=500\n' "$product" "$SOURCE_DATE_EPOCH" >"$tree/media.repo"
      printf '{\n    "data": [],\n    "header": {\n        "version": "1.0"\n    }\n}\n' >"$tree/extra_files.json"
      ;;
  esac
  {
    echo
    echo '[checksums]'
    for file in images/efiboot.img "$stage2" images/pxeboot/initrd.img images/pxeboot/vmlinuz; do
      echo "$file = sha256:$(sha256sum <"$tree/$file" | cut -d' ' -f1)"
    done
  } >>"$tree/.treeinfo"
}

# Fills Packages/ up to about SIZE MiB for the benchmarks, in files of 4 MiB. Noise is a cipher's key stream: fast, the
# same every time, and it does not compress.
pad_tree() {
  local layout=$1 tree=$2 size=$3 what=$4 dir have count i
  case $layout in el7) dir=$tree/Packages ;; *) dir=$tree/AppStream/Packages ;; esac
  have=$(($(du -s --apparent-size --block-size=1M "$tree" | cut -f1)))
  [ "$size" -gt "$have" ] || die "--size $size: the stand-in itself takes $have MiB" 2
  count=$(((size - have + 3) / 4))
  case $what in
    zero) for ((i = 0; i < count; i++)); do truncate -s 4M "$dir/$(printf 'padding-%05d.bin' "$i")"; done ;;
    random)
      (cd "$dir" && head -c "$((count * 4194304))" /dev/zero |
        openssl enc -aes-128-ctr -K 6b696c6e2d7374616e64696e2d706164 -iv 00000000000000000000000000000000 -nosalt |
        split -b 4M -a 5 -d --additional-suffix=.bin - padding-)
      ;;
  esac
}
