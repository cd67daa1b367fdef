# shellcheck shell=bash disable=SC2154  # make.sh sets here, cache, work and the like
# The Debian packages whose files a stand-in is made of: their versions (for the cache key), their download by apt into the
# cache, and their unpacking. Nothing is installed and nothing needs root. Where there is no apt, on EL9, debs.py does both.

standin_packages=(shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed grub-pc-bin grub-common isolinux syslinux-common busybox-static)

# The signed kernel that linux-image-amd64 stands for at the moment.
kernel_package() {
  apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# Packages and versions, one a line.
package_list() {
  local kernel
  if ! command -v apt-get >/dev/null; then
    python3 "$here/debs.py" list "${standin_packages[@]}" linux-image-amd64
    return
  fi
  kernel=$(kernel_package)
  [ -n "$kernel" ] || die "apt knows no linux-image-amd64; run apt-get update" 4
  # One call: apt-cache takes half a second to start.
  apt-cache policy "${standin_packages[@]}" "$kernel" | awk '/^[^ ]/ { sub(/:$/, ""); name = $1 } $1 == "Candidate:" { print name, $2 }'
}

# What a stand-in depends on: these scripts and the packages.
cache_key() {
  local packages
  packages=$(package_list)
  { find "$here/installer" "$here/root" -type f -not -path '*/installer/tests/*' -not -name '*.pyc' -print0 | sort -z | xargs -0 cat
    cat "$here"/*.sh "$here"/*.py "$here/packages.list" "$here/comps.xml" "$here"/initrd/* "$here"/menus/* "$here"/treeinfo/*; echo "$packages"; } |
    sha256sum | cut -c1-16
}

# Gives a tree of unpacked packages one shape: Debian 12's packages have files in /bin and /lib, 13's the same ones below /usr.
merge_usr() {
  local folder
  for folder in bin sbin lib; do
    mkdir -p "$1/usr/$folder"
    [ ! -d "$1/$folder" ] || { cp -al "$1/$folder/." "$1/usr/$folder/" && rm -rf "${1:?}/$folder"; }
    ln -s "usr/$folder" "$1/$folder"
  done
}

# Unpacks the packages into $debian, a folder of the cache that all versions of these scripts share.
fetch_packages() {
  local packages
  mapfile -t packages < <(package_list | tr ' ' '=')
  # How the tree is shaped is part of the key: merge_usr.
  debian=$cache/debian-$({ package_list; declare -f merge_usr; } | sha256sum | cut -c1-16)
  [ ! -d "$debian" ] || return 0
  say "downloading ${#packages[@]} Debian packages"
  mkdir -p "$work/debs" "$work/debian"
  if ! command -v apt-get >/dev/null; then
    python3 "$here/debs.py" unpack "$work/debian" "${standin_packages[@]}" linux-image-amd64 || exit
  else
    download_by_apt
  fi
  rm -rf "$work/debs"
  merge_usr "$work/debian"
  depmod -b "$work/debian" "$(basename "$work"/debian/lib/modules/*)"
  # Another layout's build may have been quicker.
  mv -T "$work/debian" "$debian" 2>/dev/null || [ -d "$debian" ] || die "cannot write $debian" 5
}

# Into $work/debian, by apt and dpkg.
download_by_apt() {
  local deb
  (cd "$work/debs" && apt-get -q download "${packages[@]}" >apt.log 2>&1) ||
    die "apt-get download failed; run apt-get update and try again: $(tail -n 1 "$work/debs/apt.log")" 4
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/debian"; done
}
