#!/bin/sh
# Makes a small synthetic base in the layout of a vendor's install ISO: same tools and command lines as lorax, content
# that cannot boot a system. For tests of the writer; tests/standin makes the bases that boot.
# Usage: make-base.sh el7|el9|el10 OUT.iso [EXTRA_TREE]
set -eu
layout=$1 out=$(realpath -m "$2") extra=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
t=$work/t
mkdir -p "$t/EFI/BOOT/fonts" "$t/images/pxeboot" "$t/Packages" "$t/repodata" "$t/LiveOS"
label=CentOS-Stream-9-BaseOS-x86_64
[ "$layout" != el7 ] || label='CentOS 7 x86_64'
[ "$layout" != el10 ] || label=CentOS-Stream-10-BaseOS-x86_64
pattern() { # pattern BYTES SEED: bytes that repeat nowhere near
    openssl enc -aes-128-ctr -nosalt -K "$(printf '%032d' "$2")" -iv 00000000000000000000000000000000 </dev/zero 2>/dev/null | head -c "$1" || true
}
printf '1700000000.0\n%s\nx86_64\n' "${layout#el}" >"$t/.discinfo"
printf '[general]\narch = x86_64\nfamily = CentOS Stream\nversion = %s\n[stage2]\nmainimage = images/install.img\n[tree]\narch = x86_64\n' "${layout#el}" >"$t/.treeinfo"
pattern 70000 1 >"$t/images/pxeboot/vmlinuz"
pattern 90001 2 >"$t/images/pxeboot/initrd.img"
pattern 500000 3 >"$t/images/install.img"
# A repository of names: what kiln's profiles ask for on any release, and nothing that is needed besides.
names='chrony conntrack-tools curl ebtables ethtool firewalld iproute ipset iptables iptables-nft ipvsadm keepalived
    kernel-modules-extra nftables nginx nginx-mod-stream openssh-server policycoreutils-python policycoreutils-python-utils
    socat tar'
{
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">'
    for name in $names; do
        echo "<package type=\"rpm\"><name>$name</name><arch>x86_64</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/>"
        echo "<checksum type=\"sha256\" pkgid=\"YES\">$name</checksum><location href=\"Packages/$name.rpm\"/><format/></package>"
    done
    echo '</metadata>'
} | gzip -9n >"$t/repodata/primary.xml.gz"
cat >"$t/repodata/comps.xml" <<'C'
<?xml version="1.0" encoding="UTF-8"?>
<comps>
<group><id>core</id></group>
<environment><id>minimal</id></environment>
<environment><id>minimal-environment</id></environment>
</comps>
C
document() { # document KIND FILE: its entry of repomd.xml
    printf '<data type="%s"><checksum type="sha256">%s</checksum><location href="repodata/%s"/><size>%s</size></data>\n' \
        "$1" "$(sha256sum <"$t/repodata/$2" | cut -d' ' -f1)" "$2" "$(wc -c <"$t/repodata/$2" | tr -d ' ')"
}
{
    echo '<repomd xmlns="http://linux.duke.edu/metadata/repo">'
    document primary primary.xml.gz
    document group comps.xml
    echo '</repomd>'
} >"$t/repodata/repomd.xml"
for f in BOOTX64.EFI grubx64.efi mmx64.efi; do pattern 20000 5 >"$t/EFI/BOOT/$f"; done
pattern 100 6 >"$t/EFI/BOOT/fonts/unicode.pf2"
esc=$(printf %s "$label" | sed 's/ /\\x20/g')
grub() {
    cat <<G
set default="1"
function load_video {
  insmod all_video
}
load_video
set gfxpayload=keep
insmod gzio
insmod part_gpt
insmod ext2
set timeout=60
### END /etc/grub.d/00_header ###
search --no-floppy --set=root -l '$label'
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Install CentOS' --class fedora --class gnu-linux --class gnu --class os {
	$1 /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=$esc quiet
	$2 /images/pxeboot/initrd.img
}
menuentry 'Test this media & install CentOS' --class fedora --class gnu-linux --class gnu --class os {
	$1 /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=$esc rd.live.check quiet
	$2 /images/pxeboot/initrd.img
}
G
}
grub linuxefi initrdefi >"$t/EFI/BOOT/grub.cfg"
[ "$layout" != el7 ] || cp "$t/EFI/BOOT/grub.cfg" "$t/EFI/BOOT/BOOT.conf"
# Names and depths that a real tree has, and some that try the writer.
deep=$t/a/b/c/d/e/f/g/h/i/j
mkdir -p "$deep"
echo deep >"$deep/file-in-a-deep-place.txt"
i=0
while [ $i -lt 60 ]; do
    pattern $((i * 97)) 7 >"$t/Packages/a-package-with-a-rather-long-name-$i-1.2.3-4.el9.x86_64.rpm"
    i=$((i + 1))
done
long=$(printf 'n%.0s' $(seq 1 200))
echo long >"$t/Packages/$long.txt"
ln -s Packages/a-package-with-a-rather-long-name-1-1.2.3-4.el9.x86_64.rpm "$t/link"
# genisoimage writes components over some 100 bytes wrongly; these are under it, and the target still needs a continuation.
part=$(printf "p%.0s" $(seq 1 60))
ln -s "../$part/../$part/$part/$part/x" "$t/Packages/long-link"
: >"$t/EULA"
[ -z "$extra" ] || cp -a "$extra/." "$t/"
esp() {
    rm -f "$1"
    truncate -s 2M "$1"
    mkfs.vfat -n ANACONDA -i 4b494c4e "$1" >/dev/null
    mcopy -s -i "$1" "$t/EFI" ::
}
if [ "$layout" != el10 ]; then
    mkdir "$t/isolinux"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$t/isolinux/"
    cp "$t/images/pxeboot/vmlinuz" "$t/images/pxeboot/initrd.img" "$t/isolinux/"
    cat >"$t/isolinux/isolinux.cfg" <<C
default vesamenu.c32
timeout 600
display boot.msg
label linux
  menu label ^Install CentOS
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=$esc quiet

label check
  menu label Test this ^media & install CentOS
  menu default
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=$esc rd.live.check quiet
C
    esp "$t/images/efiboot.img"
fi
find "$t" -exec touch -h -d @1700000000 {} +
export SOURCE_DATE_EPOCH=1700000000
rm -f "$out"
case $layout in
el7)
    genisoimage -quiet -o "$out" -b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table \
        -no-emul-boot -eltorito-alt-boot -e images/efiboot.img -no-emul-boot -R -J -joliet-long -V "$label" -T "$t" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    isohybrid --uefi "$out" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    ;;
el9)
    xorrisofs -quiet -o "$out" -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin -b isolinux/isolinux.bin -c isolinux/boot.cat \
        -boot-load-size 4 -boot-info-table -no-emul-boot -eltorito-alt-boot -e images/efiboot.img -no-emul-boot \
        -isohybrid-gpt-basdat -R -J -joliet-long -V "$label" "$t" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    ;;
el10)
    mkdir -p "$t/boot/grub2/i386-pc"
    grub linux initrd >"$t/boot/grub2/grub.cfg"
    pattern 9000 8 >"$t/boot/grub2/i386-pc/normal.mod"
    grub-mkimage -O i386-pc-eltorito -d /usr/lib/grub/i386-pc -o "$t/images/eltorito.img" -p /boot/grub2 iso9660 biosdisk
    find "$t" -exec touch -h -d @1700000000 {} +
    esp "$work/efiboot.img"
    xorrisofs -quiet -o "$out" -R -J -joliet-long -V "$label" --grub2-mbr /usr/lib/grub/i386-pc/boot_hybrid.img -partition_offset 16 \
        -appended_part_as_gpt -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B "$work/efiboot.img" \
        -iso_mbr_part_type EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 -c boot.cat --boot-catalog-hide \
        -b images/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
        -eltorito-alt-boot -e '--interval:appended_partition_2:all::' -no-emul-boot "$t" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    ;;
*)
    echo "unknown layout $layout" >&2
    exit 2
    ;;
esac
