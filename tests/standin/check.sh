#!/bin/bash
# Asserts that the stand-ins are in the layouts they claim, as read by tools that kiln has no part in. With arguments, only
# those layouts; LAYOUT-installer is the medium with a stage 2 that installs. Exit 1 and a list of what differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wrong() { echo "check: $layout: $*" >&2; failed=1; }
# has TEXT WHAT: the report holds a line that matches.
has() { grep -qE -- "$1" "$work/report" || wrong "xorriso reports no \"$1\""; }

check_common() {
  local file want_stage2=images/install.img
  checkisomd5 "$iso" >/dev/null 2>&1 || wrong 'checkisomd5 fails'
  has "^Volume Id *: $label$"
  has '^El Torito boot img : +1 +BIOS +y +none'
  has '^El Torito boot img : +2 +UEFI +y +none'
  [ "$layout" != el7 ] || want_stage2=LiveOS/squashfs.img
  for file in .discinfo .treeinfo EFI/BOOT/BOOTX64.EFI EFI/BOOT/grubx64.efi EFI/BOOT/mmx64.efi EFI/BOOT/grub.cfg \
    EFI/BOOT/fonts/unicode.pf2 images/efiboot.img images/pxeboot/vmlinuz images/pxeboot/initrd.img "$want_stage2" "$@"; do
    grep -qxF "'/$file'" "$work/files" || wrong "/$file is missing"
  done
  get .discinfo
  [ "$(sed -n 3p "$work/out")" = x86_64 ] || wrong '.discinfo line 3 is not x86_64'
  get .treeinfo
  grep -qx "mainimage = $want_stage2" "$work/out" || wrong ".treeinfo does not name $want_stage2"
  # The copy of EFI/BOOT in the FAT image is the one on the medium, and the loaders are signed (PE certificate table).
  get images/efiboot.img
  mv "$work/out" "$work/esp"
  mlabel -s -i "$work/esp" :: | grep -q ANACONDA || wrong 'efiboot.img is not labelled ANACONDA'
  for file in BOOTX64.EFI grubx64.efi mmx64.efi grub.cfg; do
    get "EFI/BOOT/$file"
    mcopy -n -i "$work/esp" "::EFI/BOOT/$file" "$work/copy"
    cmp -s "$work/out" "$work/copy" || wrong "efiboot.img has another $file"
    rm -f "$work/copy"
    case $file in *.efi|*.EFI) signed "$work/out" || wrong "EFI/BOOT/$file is not signed" ;; esac
  done
  get images/pxeboot/vmlinuz
  signed "$work/out" || wrong 'the kernel is not signed'
}

get() { rm -f "$work/out"; osirrox -indev "$iso" -extract "/$1" "$work/out" >/dev/null 2>&1 || wrong "cannot read /$1"; chmod u+w "$work/out"; }

# Whether a PE32+ file has a certificate table: data directory 4 (PE/COFF, "Optional Header Data Directories").
signed() {
  local pe
  pe=$(od -An -tu4 -j60 -N4 "$1" | tr -d ' ')
  [ "$(od -An -tu4 -j$((pe + 24 + 112 + 36)) -N4 "$1" | tr -d ' ')" -gt 0 ]
}

# The medium's stage 2 holds the installer and what it lays down, and its repositories the names that kiln's profiles ask for.
check_installer() {
  local stage2=images/install.img file primary
  [ "$layout" != el7 ] || stage2=LiveOS/squashfs.img
  get "$stage2"
  unsquashfs -l -d '' "$work/out" >"$work/stage2"
  for file in /kiln-standin/stage2 /kiln-standin/installer/__main__.py /kiln-standin/lib/pykickstart/parser.py /usr/sbin/grubby \
    /usr/sbin/sshd /usr/sbin/chronyd /usr/sbin/NetworkManager /usr/sbin/nginx /usr/sbin/keepalived /usr/sbin/efibootmgr; do
    grep -qx "$file" "$work/stage2" || wrong "stage 2 has no $file"
  done
  grep -qE '^/boot/initrd.img-' "$work/stage2" || wrong 'stage 2 has no initramfs to install'
  : >"$work/names"
  while read -r primary; do
    get "$primary"
    gzip -dc "$work/out" | grep -oE '<name>[^<]+' | cut -c7- >>"$work/names"
  done < <(grep -oE "[^']*primary.xml.gz" "$work/files" | cut -c2-)
  for file in chrony nginx openssh-server policycoreutils-python; do
    grep -q "^$file" "$work/names" || wrong "no repository has $file"
  done
}

check_layout() {
  layout=${1%-installer}
  local installer=()
  [ "$layout" = "$1" ] || installer=(--installer)
  iso=$("$here/make.sh" "$layout" "${installer[@]}")
  xorriso -indev "$iso" -pvd_info -report_el_torito plain -report_system_area plain >"$work/report" 2>/dev/null
  xorriso -indev "$iso" -find / >"$work/files" 2>/dev/null
  case $layout in
    el7)
      label='CentOS 7 x86_64'
      check_common Packages repodata/repomd.xml TRANS.TBL CentOS_BuildTag EFI/BOOT/BOOT.conf isolinux/isolinux.{bin,cfg} isolinux/TRANS.TBL
      has '^System area summary: MBR isohybrid'
      has '^GPT partname local : +1 +ISOHybrid ISO'
      has '^MBR partition path : +2 +/images/efiboot.img'
      ;;
    el8)
      label=CentOS-Stream-8-x86_64-dvd
      check_common BaseOS/repodata/repomd.xml AppStream/repodata/repomd.xml media.repo isolinux/isolinux.{bin,cfg} isolinux/TRANS.TBL
      has '^System area summary: MBR isohybrid'
      ;;
    el9)
      label=CentOS-Stream-9-BaseOS-x86_64
      check_common BaseOS/repodata/repomd.xml AppStream/repodata/repomd.xml media.repo extra_files.json isolinux/isolinux.{bin,cfg}
      has '^System area summary: MBR isohybrid'
      has '^GPT entry array .*overlapping'
      has '^GPT start and size : +1 +0 '
      has '^GPT partition path : +2 +/images/efiboot.img'
      ;;
    el10)
      label=CentOS-Stream-10-BaseOS-x86_64
      check_common BaseOS/repodata/repomd.xml media.repo boot/grub2/grub.cfg boot/grub2/i386-pc/normal.mod images/eltorito.img
      has '^System area summary: .*grub2-mbr'
      has '^Partition offset +: 16$'
      has '^GPT partname local : +2 +Appended2'
      has '^GPT start and size : +1 +64 '
      ! grep -q "^'/isolinux" "$work/files" || wrong 'EL10 has no isolinux'
      ;;
    *) echo "check: no layout $layout" >&2; exit 2 ;;
  esac
  [ "$layout" = "$1" ] || check_installer
  [ "$failed" -ne 0 ] || echo "check: $1: as it should be"
}

[ $# -gt 0 ] || set -- el7 el8 el9 el10
for one in "$@"; do check_layout "$one"; done
exit "$failed"
