#!/usr/bin/env bash
# Builds one component from the source that the Go module proxy serves and prints the folder that holds the programs:
#
#   tests/components/build-go.sh COMPONENT VERSION
#
# recipes/COMPONENT.sh says how. The sources are what the checksum database says they are: go refuses anything else. Paths and
# dates of this machine are not in the programs. The result is cached by the hash of this script, the recipe, the version and
# the compiler; an interrupted build leaves nothing that looks done. Needs no root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/components/lib.sh
source "$here/lib.sh"
[[ $# -eq 2 ]] || die "usage: build-go.sh COMPONENT VERSION"
component=$1 version=$2
recipe=$here/recipes/$component.sh
[[ -f $recipe ]] || die "no recipe for $component: there is $(cd "$here/recipes" && echo *.sh)"
need go golang-go
need flock util-linux

export GOTOOLCHAIN=local GOWORK=off
compiler=$(go version)
key=$( (cat "$here/build-go.sh" "$recipe" && echo "$version $compiler") | sha256sum | cut -c1-16)
root=$(cache_root)
done_dir=$root/$key/$component/$version
if [[ -d $done_dir ]]; then
    echo "$done_dir"
    exit 0
fi
mkdir -p "$root"
# One build of a component at a time: a second one waits here and then finds the result.
exec 9>"$root/$component.lock"
flock 9
if [[ -d $done_dir ]]; then
    echo "$done_dir"
    exit 0
fi
rm -rf "$root/build-$component".* # what a killed build left; the lock says nobody is in there
work=$(mktemp -d "$root/build-$component.XXXXXX")
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/source" "$work/out"

# What a recipe may define.
module=''
modules=()
prepare() { :; }
flags() { :; }
# go_build PROGRAM PACKAGE [FLAG…]: compiles a program into the output.
go_build() {
    local program=$1 package=$2
    shift 2
    go build -mod=mod -trimpath -buildvcs=false "$@" -ldflags "-s -w -buildid= $(flags)" -o "$work/out/$program" "$package"
}
# shellcheck source=/dev/null
source "$recipe"

build() {
    export CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 GOFLAGS=-mod=mod
    cd "$work/source"
    if [[ -n $module ]]; then
        # The module's own folder, so that what its go.mod replaces is replaced.
        local folder
        folder=$(cd "$work" && go mod download -json "$module@v$version" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
        [[ -d $folder ]] || return 1
        cp -r "$folder/." .
        chmod -R u+w .
    else
        go mod init kiln.invalid/build
        go get "${modules[@]/%/@v$version}"
    fi
    prepare
    compile
    proof "$work/out"
}

say "building $component $version from the Go module proxy"
# Not `if ! build`: in a condition the shell would go on after the first failing step.
set +e
(
    set -e
    build
) >"$work/build.log" 2>&1
status=$?
set -e
if [[ $status -ne 0 ]]; then
    cp "$work/build.log" "$root/$component-$version.log"
    tail -n 20 "$work/build.log" >&2
    die "the build of $component failed; the whole log is $root/$component-$version.log"
fi
chmod 0755 "$work/out"/*
sync -f "$work/out"
mkdir -p "$(dirname "$done_dir")"
mv -T "$work/out" "$done_dir"
say "$component $version is in $done_dir"
echo "$done_dir"
