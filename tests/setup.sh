#!/usr/bin/env bash
# Installs the packages that kiln's tests and demo need, and only those that are missing. Root, or sudo.
# Debian 12 and 13 get all of it. EL9 gets what its repositories have: enough for `make build`, `make demo` and most tests; what
# it cannot give is named at the end (docs/hosts.md). With --heavy also what only `make test-all` needs (Debian).
set -euo pipefail
cache=${KILN_CACHE:-$HOME/.cache/kiln}
# Another root for what is looked at or written by path; the tests of this script set it.
root=${KILN_SETUP_ROOT:-}

# Packages of Debian 12 and 13, by what they are for.
debian=(
  gcc libc6-dev make git curl ca-certificates file python3 python3-venv       # building
  python3-yaml                                                            # oracle for cloud-init's files
  xorriso genisoimage isomd5sum p7zip-full mtools dosfstools gdisk fdisk  # oracles for formats
  xfsprogs openssl shellcheck jq rsync util-linux tar zstd xz-utils cpio  # oracles and helpers
  isolinux syslinux-common syslinux-utils grub-common grub-pc-bin         # stand-in media: loaders
  grub-efi-amd64-bin grub-efi-amd64-signed shim-signed                    # stand-in media: signed loaders
  squashfs-tools busybox-static createrepo-c kmod rpm                     # stand-in media: installer
  dnf dnf-plugins-core                                                    # oracles for repositories
  qemu-system-x86 qemu-utils ovmf                                         # boots
  mmdebstrap systemd-container iproute2 nftables tcpdump                  # lab
  nginx-light libnginx-mod-stream keepalived chrony firewalld systemd containerd etcd-server etcd-client # rendered configuration is read by them
  skopeo umoci docker.io docker-registry                                      # oracles for images, beside containerd
  minisign                                                                # oracle for signatures
)
# What `make test-all` needs besides, with --heavy: loaders and a DHCP server for boots from the network, a browser for the page of kiln serve.
heavy=(pxelinux dnsmasq-base chromium)
# Debian 12 has the client of docker in docker.io, later releases do not.
debian_after_12=(docker-cli)
# What Debian packages need to be installed to build Kubernetes 1.20.2 for the demo lies in tests/components.

# What EL9 (BaseOS, AppStream, CRB, EPEL) is asked for. Programs are asked for by path, which dnf resolves: names of packages
# differ between releases and rebuilds, paths do not. The two that are no programs have one name everywhere.
el=(
  glibc-static edk2-ovmf
  /usr/bin/{gcc,make,git,curl,file,python3}
  /usr/bin/{xorriso,xorrisofs,genisoimage,isoinfo,checkisomd5,implantisomd5,7z,mcopy,openssl,shellcheck,jq,rsync,zstd,xz,cpio}
  /usr/sbin/{mkfs.vfat,sgdisk,mkfs.xfs,depmod,nginx,keepalived}
  /usr/bin/{isohybrid,grub2-mkimage,grub2-script-check,mksquashfs,createrepo_c,mergerepo_c,rpmbuild,dnf,qemu-img,skopeo,ar,minisign}
  /usr/libexec/qemu-kvm /usr/sbin/chronyd
)
# Of these, what `make build` and `make demo` cannot do without.
el_demo=(
  glibc-static edk2-ovmf /usr/libexec/qemu-kvm /usr/bin/{gcc,make,git,curl,python3,xorrisofs,implantisomd5,mcopy,zstd,xz,cpio}
  /usr/bin/{mksquashfs,createrepo_c,rpmbuild,openssl} /usr/sbin/{mkfs.vfat,depmod}
)
# Programs that tests want and EL9's repositories are not known to have.
el_without=(etcd containerd umoci docker docker-registry mmdebstrap dpkg-deb apt-get)

die() { echo "setup: $2" >&2; exit "$1"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Which system this is: debian12, debian (any later one), el9, or nothing that is known.
system() {
  local ID='' ID_LIKE='' VERSION_ID=''
  if [ -r "$root/etc/os-release" ]; then
    # shellcheck source=/dev/null
    . "$root/etc/os-release"
  fi
  case " $ID $ID_LIKE " in
    *' debian '*) if [ "$VERSION_ID" = 12 ]; then echo debian12; else echo debian; fi ;;
    *' rhel '* | *' centos '*) case $VERSION_ID in 9 | 9.*) echo el9 ;; esac ;;
  esac
}

on_debian() {
  local missing=() package
  for package in "${debian[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
  as_root apt-get update -qq
  # Services of these packages must not start on a developer's machine.
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  as_root env DEBIAN_FRONTEND=noninteractive PATH="$PATH" \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die 3 "apt-get failed, see above"; }
}

# Whether a wanted thing of EL9 is there: a path, or a package.
el_has() {
  case $1 in
    /*) [ -e "$root$1" ] ;;
    *) rpm -q "$1" >/dev/null 2>&1 ;;
  esac
}

on_el9() {
  local missing=() wanted lacking=$cache/not-in-el9
  for wanted in "${el[@]}"; do
    el_has "$wanted" || grep -qxF -e "$wanted" "$lacking" 2>/dev/null || missing+=("$wanted")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing what has these ${#missing[@]}: ${missing[*]}"
    # CRB has the static C library, EPEL the tools of other distributions. RHEL has neither under these names by default.
    as_root dnf -q -y install dnf-plugins-core epel-release >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; die 3 "dnf cannot install epel-release; on RHEL enable CodeReady Builder and EPEL by hand, then run this again"; }
    as_root dnf -q config-manager --set-enabled crb >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; die 3 "dnf cannot enable the repository crb; enable CodeReady Builder by hand, then run this again"; }
    # What no repository has does not keep the rest from being installed; it is named below.
    as_root dnf -q -y install --setopt=install_weak_deps=False --setopt=strict=0 "${missing[@]}" >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; die 3 "dnf failed, see above"; }
  fi
  local needed=() without=()
  for wanted in "${el_demo[@]}"; do
    el_has "$wanted" || needed+=("$wanted")
  done
  for wanted in "${el[@]}"; do
    el_has "$wanted" || without+=("$wanted")
  done
  [ ${#needed[@]} -eq 0 ] || die 3 "no repository has what \`make demo\` needs: ${needed[*]}; install them by other means, then run this again"
  # A second run does not ask for the same again.
  mkdir -p "$cache"
  printf '%s\n' "${without[@]}" >"$lacking"
  for wanted in "${el_without[@]}"; do
    command -v "$wanted" >/dev/null || without+=("$wanted")
  done
  [ ${#without[@]} -eq 0 ] ||
    echo "setup: not to be had from EL9's repositories: ${without[*]}; tests that need them will fail, \`make build\` and \`make demo\` do not need them (remove $lacking to have dnf asked again)"
}

[ "${1-}" != --heavy ] || debian+=("${heavy[@]}")
policy=$root/usr/sbin/policy-rc.d
log=$(mktemp)
if [ -e "$policy" ] || [ "$(id -u)" != 0 ]; then policy=$(mktemp); else trap 'rm -f "$policy" "$log"' EXIT; fi

command -v cargo >/dev/null ||
  die 3 "no Rust: install Rust 1.88 or later (rustup, or your distribution's packages), then run this again"
case $(system) in
  debian12) on_debian ;;
  debian)
    debian+=("${debian_after_12[@]}")
    on_debian
    ;;
  el9) on_el9 ;;
  *) die 3 "only Debian 12, 13 and EL9 are set up by this script; on other systems install the programs named in tests/setup.sh" ;;
esac
# Oracles that pip brings: a program each, and the package it is in.
for oracle in ksvalidator=pykickstart pyspdxtools=spdx-tools; do
  if ! command -v "${oracle%=*}" >/dev/null && ! [ -x "$cache/venv/bin/${oracle%=*}" ]; then
    echo "setup: installing ${oracle#*=} into the cache"
    [ -x "$cache/venv/bin/pip" ] || python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "${oracle#*=}"
  fi
done
echo "setup: complete"
