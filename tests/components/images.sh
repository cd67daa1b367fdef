#!/usr/bin/env bash
# Makes the container images that a cluster of Kubernetes needs, as archives in a components folder:
#
#   tests/components/images.sh FOLDER KUBERNETES
#
# pause from pause.c, busybox out of Debian's package, the rest from programs that build-go.sh makes. `kiln image create`
# writes them; KILN names the program. They bear the names of the publishers' images and stand in for them in the demo and the
# tests: nodes in use get the publishers' own. What is there already is not made again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/lib.sh
source "$here/lib.sh"
[[ $# -eq 2 ]] || die "usage: images.sh FOLDER KUBERNETES"
target=$(realpath -m "$1") kubernetes=$2
kiln=$(realpath "${KILN:-$here/../../target/x86_64-unknown-linux-gnu/release/kiln}") || die "no kiln: run \`make build\`, or set KILN"

# The versions that profiles/images.toml names for this Kubernetes.
busybox=1.35.0 flannel=0.28.10 flannel_cni=1.9.1-flannel3
case $kubernetes in
    1.20.*) pause=3.2 coredns=1.7.0 coredns_name=coredns:1.7.0 metrics=0.5.2 ;;
    1.37.*) pause=3.10.2 coredns=1.14.6 coredns_name=coredns/coredns:v1.14.6 metrics=0.9.0 ;;
    *) die "no images are known for Kubernetes $kubernetes; known are 1.20 and 1.37" ;;
esac

need gcc gcc
! command -v apt-get >/dev/null || need dpkg-deb dpkg
need flock util-linux
mkdir -p "$target/images" "$(cache_root)"
exec 9>"$target/images/.lock"
flock 9
work=$(mktemp -d "$(cache_root)/images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# create FILE NAME OPTION…: an image under a file name, unless it is there.
create() {
    local file=$target/images/$1 name=$2
    shift 2
    "$kiln" --quiet image create --name "$name" --output "$file" "$@"
    say "$name is in $file"
}
have() { [[ -f $target/images/$1 ]]; }

# debian DIR PACKAGE…: packages unpacked below DIR.
debian() {
    local dir=$1 package
    shift
    [[ -n ${APT_OPTIONS:-} ]] || apt_private "$work/apt"
    for package in "$@"; do
        unpack_deb "$package" "$dir"
    done
}

if ! have "pause-$pause.tar"; then
    gcc -Os -static -nostdlib -ffreestanding -fno-stack-protector -s -Wl,--build-id=none -o "$work/pause" "$here/pause.c"
    create "pause-$pause.tar" "registry.k8s.io/pause:$pause" --file "$work/pause=/pause:0755" --entrypoint /pause --user 65535:65535
fi

# A root with busybox under all of its names.
busybox_root() {
    [[ ! -d $work/busybox ]] || return 0
    debian "$work/deb-busybox" busybox-static
    mkdir -p "$work/busybox/bin" "$work/busybox/etc"
    install -m 0755 "$work/deb-busybox/bin/busybox" "$work/busybox/bin/busybox"
    local name
    for name in $("$work/busybox/bin/busybox" --list); do
        [[ $name == busybox ]] || ln -s busybox "$work/busybox/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >"$work/busybox/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$work/busybox/etc/group"
}
if ! have "busybox-$busybox.tar"; then
    busybox_root
    [[ $("$work/busybox/bin/busybox" | head -n 1) == *"v$busybox "* ]] || say "note: Debian's busybox is not $busybox"
    create "busybox-$busybox.tar" "docker.io/library/busybox:$busybox" --tree "$work/busybox" --dir /tmp --dir /root --cmd sh \
        --env PATH=/bin
fi

if ! have "coredns-$coredns.tar"; then
    built=$("$here/build-go.sh" coredns "$coredns")
    create "coredns-$coredns.tar" "registry.k8s.io/$coredns_name" --file "$built/coredns=/coredns:0755" --entrypoint /coredns
fi

if ! have "flannel-cni-$flannel_cni.tar"; then
    # In place of the project of its own, which cannot be had: its ancestor.
    built=$("$here/build-go.sh" flannel-cni 0.9.1)
    busybox_root
    create "flannel-cni-$flannel_cni.tar" "ghcr.io/flannel-io/flannel-cni-plugin:v$flannel_cni" --tree "$work/busybox" \
        --file "$built/flannel=/flannel:0755" --env PATH=/bin
fi

# flanneld runs iptables, or nft, which Debian links with its C library: that comes along.
if ! have "flannel-$flannel.tar"; then
    built=$("$here/build-go.sh" flannel "$flannel")
    busybox_root
    debian "$work/flannel" libc6 iptables nftables libnftables1 libxtables12 libip4tc2 libip6tc2 libmnl0 libnftnl11 \
        libnfnetlink0 libnetfilter-conntrack3 libjansson4 libgmp10 libedit2 libbsd0 libmd0 libtinfo6
    root=$work/flannel-root
    mkdir -p "$root/usr"
    cp -a "$work/busybox/." "$root/"
    cp -a "$work/flannel/usr/sbin" "$work/flannel/usr/lib" "$work/flannel/usr/lib64" "$root/usr/"
    cp -aT "$work/flannel/lib" "$root/lib"
    cp -aT "$work/flannel/lib64" "$root/lib64"
    rm -rf "$root/usr/lib/systemd" "$root/lib/systemd" "$root"/usr/lib/*/{gconv,audit}
    # Debian's packages leave the choice between the two iptables to a tool that is not here.
    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        ln -sf xtables-nft-multi "$root/usr/sbin/$name"
    done
    chroot_check=("$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu")
    "${chroot_check[@]}" "$root/usr/sbin/nft" --version >/dev/null || die "nft of the flannel image does not start"
    "${chroot_check[@]}" --argv0 iptables "$root/usr/sbin/xtables-nft-multi" --version >/dev/null || die "iptables of the flannel image does not start"
    create "flannel-$flannel.tar" "ghcr.io/flannel-io/flannel:v$flannel" --tree "$root" --dir /tmp --dir /run \
        --file "$built/flanneld=/opt/bin/flanneld:0755" --entrypoint /opt/bin/flanneld --env PATH=/usr/sbin:/sbin:/bin
fi

if ! have "metrics-server-$metrics.tar"; then
    # The Go module proxy serves no release before 0.9.0: under an older name it is the program of that one.
    built=$("$here/build-go.sh" metrics-server 0.9.0)
    create "metrics-server-$metrics.tar" "registry.k8s.io/metrics-server/metrics-server:v$metrics" --dir /tmp \
        --file "$built/metrics-server=/metrics-server:0755" --entrypoint /metrics-server --user 65534:65534
fi
