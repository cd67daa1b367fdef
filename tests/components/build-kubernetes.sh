#!/usr/bin/env bash
# Builds Kubernetes 1.20.2 from Debian's source package and prints the folder that holds the binaries.
#
# For the demo and the tests where the official release files cannot be reached. About 5 minutes on two idle cores, 34 MB of
# source. The result is cached by the hash of this script and the source's version; an interrupted build leaves nothing that
# looks done. Needs no root: the compiler is unpacked from Debian's packages beside the build, not installed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/lib.sh
source "$here/lib.sh"

version=1.20.2
source_version='1.20.5+really1.20.2' # Debian's number for the same thing; the revision after it may move
go=1.19
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

key=$( (cat "$here/build-kubernetes.sh" && echo "$source_version") | sha256sum | cut -c1-16)
root=$(cache_root)
done_dir=$root/$key/kubernetes/$version
if [[ -d $done_dir ]]; then
    echo "$done_dir"
    exit 0
fi

need apt-get apt
need dpkg-source dpkg-dev
need rsync rsync
need jq jq
need make make
need flock util-linux
mkdir -p "$root"
# One build at a time: a second one waits here and then finds the result.
exec 9>"$root/kubernetes.lock"
flock 9
if [[ -d $done_dir ]]; then
    echo "$done_dir"
    exit 0
fi

rm -rf "$root"/build-kubernetes.* # what a killed build left; the lock says nobody is in there
work=$(mktemp -d "$root/build-kubernetes.XXXXXX")
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT

say "fetching the source of Kubernetes $version and the Go $go compiler (Debian packages)"
apt_private "$work/apt"
full=$(apt_cache showsrc kubernetes 2>/dev/null | awk -v want="$source_version" '$1 == "Version:" && index($2, want) == 1 { print $2 }' |
    sort -V | tail -n 1) || true
[[ -n $full ]] || die "no source package kubernetes $source_version in this machine's apt sources (Debian 12 has it)"
(cd "$work" && apt_get source --download-only "kubernetes=$full" >source.log 2>&1) || die "fetching the source failed: $(tail -n 3 "$work/source.log")"
for package in golang-$go-go golang-$go-src golang-github-modern-go-reflect2-dev; do
    unpack_deb "$package" "$work/tools"
done
say "unpacking"
dpkg-source --no-check -x "$work"/kubernetes_*.dsc "$work/kubernetes" >"$work/unpack.log" 2>&1 || die "$(tail -n 3 "$work/unpack.log")"

# The vendored reflect2 1.0.1 panics when built by Go 1.18 or later; Debian's 1.0.2 does not.
reflect2=$work/kubernetes/vendor/github.com/modern-go/reflect2
rm -rf "$reflect2"
cp -r "$work/tools/usr/share/gocode/src/github.com/modern-go/reflect2" "$reflect2"

# Without this file the build finds no version, or a wrong one.
cat >"$work/version" <<VERSION
KUBE_GIT_COMMIT=faecb196815e248d3ecfb03c680a4507229c2a56
KUBE_GIT_TREE_STATE=archive
KUBE_GIT_VERSION=v$version
KUBE_GIT_MAJOR=1
KUBE_GIT_MINOR=20
VERSION

say "building (the log is $work/build.log)"
mkdir -p "$work/gopath/src/k8s.io"
ln -s "$work/kubernetes" "$work/gopath/src/k8s.io/kubernetes"
epoch=$(dpkg-parsechangelog -l "$work/kubernetes/debian/changelog" -S Timestamp)
(
    cd "$work/gopath/src/k8s.io/kubernetes"
    export PATH=$work/tools/usr/lib/go-$go/bin:$PATH GOROOT=$work/tools/usr/lib/go-$go
    export GOPATH=$work/gopath GOCACHE=$work/gocache GOFLAGS=-mod=vendor CGO_ENABLED=0 HOME=$work
    export KUBE_GIT_VERSION_FILE=$work/version SOURCE_DATE_EPOCH=$epoch
    make WHAT="${programs[*]/#/cmd/}" GOLDFLAGS="-s -w"
) >"$work/build.log" 2>&1 || {
    cp "$work/build.log" "$root/kubernetes-$version.log"
    tail -n 20 "$work/build.log" >&2
    die "the build of Kubernetes failed; the whole log is $root/kubernetes-$version.log"
}

out=$work/out
mkdir "$out"
for program in "${programs[@]}"; do
    install -m 0755 "$work/kubernetes/_output/bin/$program" "$out/$program" 2>/dev/null ||
        install -m 0755 "$work/kubernetes/_output/local/go/bin/$program" "$out/$program"
done
[[ $("$out/kubectl" version --client --short 2>/dev/null) == *"v$version"* ]] || die "the built kubectl does not say v$version"
sync -f "$out"
mkdir -p "$(dirname "$done_dir")"
mv -T "$out" "$done_dir"
say "Kubernetes $version is in $done_dir"
echo "$done_dir"
