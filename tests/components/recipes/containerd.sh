# containerd 2 with its shim and ctr. Sourced by build-go.sh. Without the btrfs snapshotter, which needs C headers.
# shellcheck shell=bash
module=github.com/containerd/containerd/v2

flags() {
    printf -- "-X %s/version.Version=v%s -X %s/version.Package=%s" $module "$version" $module $module
}

compile() {
    local program
    for program in containerd containerd-shim-runc-v2 ctr; do
        go_build "$program" "./cmd/$program" -tags no_btrfs,netgo,osusergo,static_build
    done
}

proof() { "$1/containerd" --version | grep -F "v$version"; }
