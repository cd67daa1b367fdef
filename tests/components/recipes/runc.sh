# runc. Sourced by build-go.sh. The one program here with C in it: it sets up namespaces before Go's runtime starts. Linked
# statically, so it does not ask for the machine's C library; with Debian's libseccomp: pods of today are given filters.
# shellcheck shell=bash
module=github.com/opencontainers/runc

flags() { printf -- "-X main.version=%s -linkmode external -extldflags -static" "$version"; }

compile() {
    need pkg-config pkg-config
    apt_private "$work/apt"
    unpack_deb libseccomp-dev "$work/libseccomp"
    export CGO_ENABLED=1 PKG_CONFIG_SYSROOT_DIR=$work/libseccomp PKG_CONFIG_PATH
    PKG_CONFIG_PATH=$(dirname "$(find "$work/libseccomp" -name libseccomp.pc)")
    go_build runc . -tags netgo,osusergo,seccomp
}

proof() { "$1/runc" --version | grep -F "$version" && "$1/runc" --version | grep '^libseccomp: [0-9]'; }
