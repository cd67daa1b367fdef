# shellcheck shell=bash disable=SC2154  # make.sh sets here, cache, work and the like
# The image formats: lorax's own command lines for each release (weldr/lorax branches rhel7, rhel8, rhel9, rhel10, x86.tmpl),
# with the paths of Debian's packages in place of the vendor's, and the identifiers that tools would draw at random fixed.

# lorax rhel7-branch. genisoimage is Debian's name for the mkisofs that EL has; -T is what pungi's DVDs are made with too.
write_el7() {
  genisoimage -quiet -o "$2" -b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table -no-emul-boot \
    -eltorito-alt-boot -e images/efiboot.img -no-emul-boot -R -J -joliet-long -V "$label" -T "$1" 2>"$work/genisoimage.log" ||
    die "genisoimage: $(cat "$work/genisoimage.log")"
  # isohybrid draws its GUIDs at random and genisoimage knows no fixed date: settle.py puts constants in both.
  python3 "$here/settle.py" dates "$2" "$SOURCE_DATE_EPOCH"
  isohybrid --uefi --id 0x4b494c4e "$2" 2>"$work/isohybrid.log" || die "isohybrid: $(cat "$work/isohybrid.log")"
  python3 "$here/settle.py" guids "$2"
}

write_el8() { write_el7 "$@"; }

# lorax rhel9-branch.
write_el9() {
  xorrisofs -quiet -o "$2" -isohybrid-mbr "$debian/usr/lib/ISOLINUX/isohdpfx.bin" \
    -b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table -no-emul-boot \
    -eltorito-alt-boot -e images/efiboot.img -no-emul-boot -isohybrid-gpt-basdat -R -J -V "$label" -graft-points "$1" \
    2>"$work/xorriso.log" || die "xorrisofs: $(cat "$work/xorriso.log")"
}

# lorax rhel10-branch.
write_el10() {
  xorrisofs -quiet -o "$2" -R -J -V "$label" --grub2-mbr "$debian/usr/lib/grub/i386-pc/boot_hybrid.img" -partition_offset 16 \
    -appended_part_as_gpt -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B "$1/images/efiboot.img" \
    -iso_mbr_part_type EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 -c boot.cat --boot-catalog-hide \
    -b images/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
    -eltorito-alt-boot -e '--interval:appended_partition_2:all::' -no-emul-boot -graft-points "$1" \
    2>"$work/xorriso.log" || die "xorrisofs: $(cat "$work/xorriso.log")"
}
