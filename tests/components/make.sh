#!/usr/bin/env bash
# Fills a components folder with all that a cluster runs, and the container images that it needs:
#
#   tests/components/make.sh [FOLDER]                     Kubernetes 1.20.2, in ./components
#   KUBERNETES=1.37.2 tests/components/make.sh [FOLDER]   in ./components-1.37.2
#
# The official release files where they can be reached. Else programs that are built or taken elsewhere: 1.20.2 from Debian's
# source package, with etcd, containerd, runc and the CNI plugins out of Debian's binary packages, which are linked against
# Debian's C library and are for the demo and the tests, not for nodes; 1.37.2 and all that goes with it from the Go module proxy.
# The images are kiln's own (images.sh), so kiln has to be built. What is there already is not fetched again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/lib.sh
source "$here/lib.sh"
kubernetes=${KUBERNETES:-1.20.2}
kubernetes_files=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
# Official releases that go with it; static, so that they run on every release.
case $kubernetes in
    1.20.2) folder=components etcd=3.4.23 containerd=1.6.20 runc=1.1.5 cni=1.1.1 ;;
    1.37.2) folder=components-1.37.2 etcd=3.7.3 containerd=2.3.7 runc=1.4.3 cni=1.9.1 ;;
    *) die "Kubernetes $kubernetes cannot be made here; 1.20.2 and 1.37.2 can" ;;
esac
# Absolute: copies are made from other folders.
target=$(realpath -m "${1:-$folder}")
etcd_files=(etcd etcdctl)
[[ $kubernetes == 1.20.* ]] || etcd_files+=(etcdutl)
kubernetes_url=${KILN_KUBERNETES_URL:-https://dl.k8s.io/release}
github_url=${KILN_GITHUB_URL:-https://github.com}

# have COMPONENT: whether the folder has it: Kubernetes in the version above, of the others any. Folders appear by rename, so
# what is there is whole.
have() {
    if [[ $1 == kubernetes ]]; then
        [[ -d $target/kubernetes/$kubernetes ]]
    else
        compgen -G "$target/$1/[0-9]*" >/dev/null
    fi
}

# place FROM COMPONENT VERSION FILE…: copies files into the folder, complete or not at all.
place() {
    local from=$1 component=$2 dir=$target/$2 version=$3 staging
    shift 3
    mkdir -p "$dir"
    rm -rf "$dir"/.new.*
    staging=$(mktemp -d "$dir/.new.XXXXXX")
    (cd "$from" && cp --reflink=auto -L -- "$@" "$staging/")
    chmod 0755 "$staging" "$staging"/*
    mv -T "$staging" "$dir/$version"
    say "$component $version is in $dir/$version"
}

# reachable URL: whether the official files can be had. Gives up after 3 seconds.
reachable() {
    command -v curl >/dev/null && curl -fsSIL --connect-timeout 3 --max-time 3 -o /dev/null "$1" 2>/dev/null
}

# download URL FILE SHA256-FILE-URL: fetches a file and compares it with the digest that the publisher gives.
download() {
    local want
    say "downloading $1"
    curl -fsSL --retry 3 -o "$2" "$1" || die "$1 could not be downloaded"
    want=$(curl -fsSL --retry 3 "$3" | grep -E "^[0-9a-f]{64}(\$|.*[ */]${1##*/}\$)" | head -n 1 | cut -c1-64) || true
    [[ -n $want ]] || die "$3 names no digest for ${1##*/}"
    echo "$want  $2" | sha256sum -c --quiet >/dev/null 2>&1 || die "$1 is not what its publisher's digest says"
}

official() {
    local work=$1 file url
    if ! have kubernetes; then
        mkdir "$work/k"
        for file in "${kubernetes_files[@]}"; do
            url=$kubernetes_url/v$kubernetes/bin/linux/amd64/$file
            download "$url" "$work/k/$file" "$url.sha256"
        done
        place "$work/k" kubernetes "$kubernetes" "${kubernetes_files[@]}"
    fi
    if ! have etcd; then
        url=$github_url/etcd-io/etcd/releases/download/v$etcd
        download "$url/etcd-v$etcd-linux-amd64.tar.gz" "$work/etcd.tgz" "$url/SHA256SUMS"
        tar -C "$work" -xzf "$work/etcd.tgz"
        place "$work/etcd-v$etcd-linux-amd64" etcd "$etcd" "${etcd_files[@]}"
    fi
    if ! have containerd; then
        url=$github_url/containerd/containerd/releases/download/v$containerd/containerd-static-$containerd-linux-amd64.tar.gz
        download "$url" "$work/containerd.tgz" "$url.sha256sum"
        mkdir "$work/c" && tar -C "$work/c" -xzf "$work/containerd.tgz"
        place "$work/c/bin" containerd "$containerd" containerd containerd-shim-runc-v2 ctr
    fi
    if ! have runc; then
        url=$github_url/opencontainers/runc/releases/download/v$runc
        download "$url/runc.amd64" "$work/runc" "$url/runc.sha256sum"
        place "$work" runc "$runc" runc
    fi
    if ! have cni-plugins; then
        url=$github_url/containernetworking/plugins/releases/download/v$cni/cni-plugins-linux-amd64-v$cni.tgz
        download "$url" "$work/cni.tgz" "$url.sha256"
        mkdir "$work/n" && tar -C "$work/n" -xzf "$work/cni.tgz"
        (cd "$work/n" && find . -maxdepth 1 -type f -perm -u+x -printf '%P\n') >"$work/n.list"
        mapfile -t files <"$work/n.list"
        place "$work/n" cni-plugins "$cni" "${files[@]}"
    fi
}

# debian_version PACKAGE: upstream's part of the version of the candidate: 1.6.20~ds1-1 gives 1.6.20.
debian_version() {
    apt_cache show --no-all-versions "$1" | sed -n 's/^Version: \(.*:\)\?\([0-9][0-9.]*[0-9]\).*/\2/p' | head -n 1
}

# from_debian COMPONENT PACKAGES FOLDER [FILE…]: files out of packages; all of the folder when none is named. The first
# package gives the version.
from_debian() {
    local component=$1 version packages=$2 folder=$3 root package
    shift 3
    have "$component" && return
    root=$work/deb-$component
    for package in $packages; do
        unpack_deb "$package" "$root"
    done
    version=$(debian_version "${packages%% *}")
    [[ -n $version ]] || die "the version of ${packages%% *} is not known to apt"
    if [[ $# -eq 0 ]]; then
        (cd "$root/$folder" && find . -maxdepth 1 -type f -printf '%P\n') >"$work/list"
        mapfile -t files <"$work/list"
        set -- "${files[@]}"
    fi
    place "$root/$folder" "$component" "$version" "$@"
}

# from_proxy COMPONENT VERSION: all files of a build from the Go module proxy.
from_proxy() {
    local built
    have "$1" && return
    built=$("$here/build-go.sh" "$1" "$2")
    (cd "$built" && find . -maxdepth 1 -type f -printf '%P\n') >"$work/list"
    mapfile -t files <"$work/list"
    place "$built" "$1" "$2" "${files[@]}"
}

# Everything that is not there, of one source.
fill() {
    if reachable "$kubernetes_url/v$kubernetes/bin/linux/amd64/kubectl.sha256" &&
        reachable "$github_url/etcd-io/etcd/releases/download/v$etcd/SHA256SUMS"; then
        say "fetching the official release files of ${missing[*]}"
        official "$work"
    elif ! command -v apt-get >/dev/null; then
        die "the official release files cannot be reached ($kubernetes_url, $github_url), and only a Debian machine can make ${missing[*]} without them"
    elif [[ $kubernetes == 1.20.* ]]; then
        say "the official release files cannot be reached; ${missing[*]} come from Debian"
        if ! have kubernetes; then
            built=$("$here/build-kubernetes.sh")
            place "$built" kubernetes "$kubernetes" "${kubernetes_files[@]}"
        fi
        if [[ ${missing[*]} != kubernetes ]]; then
            apt_private "$work/apt"
            from_debian etcd "etcd-server etcd-client" usr/bin etcd etcdctl
            from_debian containerd containerd usr/bin containerd containerd-shim-runc-v2 ctr
            from_debian runc runc usr/sbin runc
            from_debian cni-plugins containernetworking-plugins usr/lib/cni
        fi
    else
        say "the official release files cannot be reached; ${missing[*]} are built from the Go module proxy"
        from_proxy kubernetes "$kubernetes"
        from_proxy etcd "$etcd"
        from_proxy containerd "$containerd"
        from_proxy runc "$runc"
        from_proxy cni-plugins "$cni"
    fi
}

# docker, for clusters that ask for it: always Debian's, since its publisher gives no digests.
docker_from_debian() {
    local root=$work/deb-docker package
    [[ -n ${APT_OPTIONS:-} ]] || apt_private "$work/apt"
    for package in docker.io tini containerd runc; do
        unpack_deb "$package" "$root"
    done
    # Debian 12 has the client in docker.io.
    [[ -e $root/usr/bin/docker ]] || unpack_deb docker-cli "$root"
    mkdir "$root/all"
    cp "$root"/usr/bin/{docker,containerd,containerd-shim-runc-v2,ctr} "$root"/usr/sbin/{dockerd,docker-proxy,runc} "$root/all/"
    cp "$root/usr/bin/tini-static" "$root/all/docker-init"
    # Under 1.24 and later kiln takes what cri-dockerd of its publisher takes: 23.0. Ours takes Debian's 20.10, too.
    local version
    version=$(debian_version docker.io)
    [[ $kubernetes == 1.20.* || $version != 20.10.* ]] || version=23.0.0
    place "$root/all" docker "$version" docker dockerd docker-proxy docker-init containerd containerd-shim-runc-v2 ctr runc
}

! command -v apt-get >/dev/null || need dpkg-deb dpkg
missing=()
for component in kubernetes etcd containerd runc cni-plugins; do
    have $component || missing+=("$component")
done
mkdir -p "$target" "$(cache_root)"
exec 9>"$target/.lock"
flock 9
if [[ ${#missing[@]} -gt 0 ]]; then
    work=$(mktemp -d "$(cache_root)/fill.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fill
fi
if ! have docker && command -v apt-get >/dev/null; then
    work=$(mktemp -d "$(cache_root)/fill.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    docker_from_debian
fi
# What a kubelet of 1.24 and later needs to speak to docker; always from the Go module proxy, for the same reason.
if [[ $kubernetes != 1.20.* ]] && ! have cri-dockerd; then
    work=$(mktemp -d "$(cache_root)/fill.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    from_proxy cri-dockerd 0.4.0
fi
"$here/images.sh" "$target" "$kubernetes"
say "$target has all that Kubernetes $kubernetes needs"
