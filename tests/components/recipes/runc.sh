# runc. Sourced by build-go.sh. The one program here with C in it: it sets up namespaces before Go's runtime starts. Linked
# statically, so it does not ask for the machine's C library; without libseccomp, so system calls of containers are not filtered.
# shellcheck shell=bash
module=github.com/opencontainers/runc

flags() { printf -- "-X main.version=%s -linkmode external -extldflags -static" "$version"; }

compile() {
    export CGO_ENABLED=1
    go_build runc . -tags netgo,osusergo
}

proof() { "$1/runc" --version | grep -F "$version"; }
