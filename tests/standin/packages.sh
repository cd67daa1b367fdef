# shellcheck shell=bash disable=SC2154  # make.sh sets here, cache, work and the like
# The Debian packages whose files a stand-in is made of: their versions (for the cache key), their download by apt into the
# cache, and their unpacking. Nothing is installed and nothing needs root.

standin_packages=(shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed grub-pc-bin grub-common isolinux syslinux-common busybox-static)

# The signed kernel that linux-image-amd64 stands for at the moment.
kernel_package() {
  apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# Packages and versions, one a line.
package_list() {
  local kernel
  kernel=$(kernel_package)
  [ -n "$kernel" ] || die "apt knows no linux-image-amd64; run apt-get update" 4
  # One call: apt-cache takes half a second to start.
  apt-cache policy "${standin_packages[@]}" "$kernel" | awk '/^[^ ]/ { sub(/:$/, ""); name = $1 } $1 == "Candidate:" { print name, $2 }'
}

# What a stand-in depends on: these scripts and the packages.
cache_key() {
  local packages
  packages=$(package_list)
  { find "$here/installer" "$here/root" -type f -not -path '*/tests/*' -not -name '*.pyc' -print0 | sort -z | xargs -0 cat
    cat "$here"/*.sh "$here"/*.py "$here/packages.list" "$here/comps.xml" "$here"/initrd/* "$here"/menus/* "$here"/treeinfo/*; echo "$packages"; } |
    sha256sum | cut -c1-16
}

# Unpacks the packages into $debian, a folder of the cache that all versions of these scripts share.
fetch_packages() {
  local packages deb
  mapfile -t packages < <(package_list | tr ' ' '=')
  debian=$cache/debian-$(package_list | sha256sum | cut -c1-16)
  [ ! -d "$debian" ] || return 0
  say "downloading ${#packages[@]} Debian packages"
  mkdir -p "$work/debs" "$work/debian"
  (cd "$work/debs" && apt-get -q download "${packages[@]}" >apt.log 2>&1) ||
    die "apt-get download failed; run apt-get update and try again: $(tail -n 1 "$work/debs/apt.log")" 4
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/debian"; done
  rm -rf "$work/debs"
  depmod -b "$work/debian" "$(basename "$work"/debian/lib/modules/*)"
  # Another layout's build may have been quicker.
  mv -T "$work/debian" "$debian" 2>/dev/null || [ -d "$debian" ] || die "cannot write $debian" 5
}
