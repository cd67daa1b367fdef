#!/bin/bash
# Makes a stand-in for a vendor's install medium out of Debian packages: the layout, the loaders and the command lines
# are those of the EL release, the content is not. README.md says what each part stands in for, and where it differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/standin/packages.sh
. "$here/packages.sh"
# shellcheck source=tests/standin/tree.sh
. "$here/tree.sh"
# shellcheck source=tests/standin/layouts.sh
. "$here/layouts.sh"
# shellcheck source=tests/standin/root.sh
. "$here/root.sh"

usage() {
  cat <<'EOF'
usage: make.sh LAYOUT [OUT.iso] [--installer] [--size MiB] [--fill random|zero]
       make.sh --key            print the cache key (scripts and package versions)
LAYOUT: el7 (genisoimage, isohybrid), el8 (same), el9 (isohybrid-gpt-basdat), el10 (GRUB2, appended ESP)
--installer  with a stage 2 that carries the kickstart out (a Debian root; made once, in minutes)
--size  pad with Packages/ files up to about that size; the same size gives the same bytes
--fill  what the padding holds: seeded noise, or zeros that cost no disk space (default: random)
Kept under ${KILN_CACHE:-~/.cache/kiln}/standin/KEY/; a second run only copies, and without OUT.iso says where that is.
No root needed.
EOF
}

die() { echo "standin: $1" >&2; exit "${2:-1}"; }
say() { echo "standin: $*" >&2; }

# What a layout needs, with the Debian package for the message when it is missing. A tool with another name on EL has both.
need_tools() {
  local tools package missing=()
  while read -r tools package; do
    has_one "$tools" || missing+=("$package")
  done < <(
    cat <<'EOF'
xorrisofs xorriso
mkfs.vfat dosfstools
mcopy mtools
mksquashfs squashfs-tools
implantisomd5 isomd5sum
createrepo_c createrepo-c
rpmbuild rpm
depmod kmod
cpio cpio
zstd zstd
openssl openssl
python3 python3-minimal
EOF
    ! command -v apt-get >/dev/null || echo dpkg-deb dpkg
    case $1 in
      el7 | el8) printf '%s\n' 'genisoimage genisoimage' 'isohybrid syslinux-utils' ;;
      el10) echo 'grub-mkimage|grub2-mkimage grub-common' ;;
    esac
  )
  [ ${#missing[@]} -eq 0 ] || die "tools are missing: run make setup, or install ${missing[*]} (Debian's names)" 3
}

# Whether one of the tools NAME|NAME is there.
has_one() {
  local tool
  for tool in ${1//|/ }; do
    ! PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || return 0
  done
  return 1
}

main() {
  local layout='' out='' size=0 fill=random installer=''
  while [ $# -gt 0 ]; do
    case $1 in
      --size) [[ ${2-} =~ ^[0-9]+$ ]] || die "--size takes a number of MiB" 2; size=$2; shift ;;
      --fill) [[ ${2-} =~ ^(random|zero)$ ]] || die "--fill takes random or zero" 2; fill=$2; shift ;;
      --installer) installer=-installer ;;
      --key) cache_key; return ;;
      -h|--help) usage; return ;;
      -*) usage >&2; die "unknown option $1" 2 ;;
      *) if [ -z "$layout" ]; then layout=$1; elif [ -z "$out" ]; then out=$1; else die "too many arguments" 2; fi ;;
    esac
    shift
  done
  case $layout in el7|el8|el9|el10) ;; *) usage >&2; exit 2 ;; esac
  need_tools "$layout"
  [ -z "$installer" ] || need_installer_tools
  PATH=$PATH:/usr/sbin:/sbin
  umask 022
  export LC_ALL=C TZ=UTC0 SOURCE_DATE_EPOCH=1700000000   # when all of it was "made": 2023-11-14
  cache=${KILN_CACHE:-$HOME/.cache/kiln}/standin
  local key
  key=$(cache_key)
  store=$cache/$key
  mkdir -p "$store"
  local name=$layout$installer
  [ "$size" -eq 0 ] || name+=-$size-$fill
  # One build at a time; a build that was killed leaves nothing under the final name.
  exec 9>"$store/lock"
  flock 9
  if [ ! -e "$store/$name.iso" ]; then
    say "making $name.iso (once; kept in $store)"
    work=$(mktemp -d "$store/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    build "$layout" "$size" "$fill" "$work/out.iso" "$installer"
    mv "$work/out.iso" "$store/$name.iso"
  fi
  [ -n "$out" ] || { echo "$store/$name.iso"; return; }
  cp --reflink=auto --sparse=always "$store/$name.iso" "$out.part"
  mv "$out.part" "$out"
  say "$out: $layout, $(($(stat -c %s "$out") / 1048576)) MiB"
}

build() {
  local layout=$1 size=$2 fill=$3 iso=$4 installer=$5
  fetch_packages
  make_tree "$layout" "$work/tree" "$installer"
  [ "$size" -eq 0 ] || pad_tree "$layout" "$work/tree" "$size" "$fill"
  find "$work/tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  "write_${layout}" "$work/tree" "$iso"
  implantisomd5 --force --supported-iso "$iso" >/dev/null
  [ "$fill" != zero ] || fallocate --dig-holes "$iso"
}

main "$@"
