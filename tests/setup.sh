#!/usr/bin/env bash
# Installs the packages that kiln's tests and demo need, and only those that are missing. Root, or sudo.
set -euo pipefail
cache=${KILN_CACHE:-$HOME/.cache/kiln}

# Packages of Debian 12 and 13, by what they are for.
debian=(
  gcc libc6-dev make git curl ca-certificates file python3 python3-venv       # building
  xorriso genisoimage isomd5sum p7zip-full mtools dosfstools gdisk fdisk  # oracles for formats
  xfsprogs openssl shellcheck jq rsync util-linux tar zstd xz-utils cpio  # oracles and helpers
  isolinux syslinux-common syslinux-utils grub-common grub-pc-bin         # stand-in media: loaders
  grub-efi-amd64-bin grub-efi-amd64-signed shim-signed                    # stand-in media: signed loaders
  squashfs-tools busybox-static createrepo-c kmod rpm                     # stand-in media: installer
  qemu-system-x86 qemu-utils ovmf                                         # boots
  mmdebstrap systemd-container iproute2 nftables tcpdump                  # lab
  nginx-light libnginx-mod-stream keepalived chrony firewalld systemd containerd etcd-server etcd-client # rendered configuration is read by them
  skopeo umoci docker.io                                                      # oracles for images, beside containerd
)
# What Debian packages need to be installed to build Kubernetes 1.20.2 for the demo lies in tests/components.

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

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
    { tail -n 20 "$log" >&2; echo "setup: apt-get failed, see above" >&2; exit 3; }
}

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
if [ -e "$policy" ] || [ "$(id -u)" != 0 ]; then policy=$(mktemp); else trap 'rm -f "$policy" "$log"' EXIT; fi

command -v cargo >/dev/null || {
  echo "setup: no Rust: install Rust 1.88 or later (rustup, or your distribution's packages), then run this again" >&2
  exit 3
}
if command -v apt-get >/dev/null; then
  on_debian
else
  echo "setup: only Debian 12 and 13 are set up by this script; on other systems install the programs named in tests/setup.sh" >&2
  exit 3
fi
if ! command -v ksvalidator >/dev/null && ! [ -x "$cache/venv/bin/ksvalidator" ]; then
  echo "setup: installing pykickstart into the cache"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check pykickstart
fi
echo "setup: complete"
