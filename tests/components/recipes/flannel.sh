# flanneld. Sourced by build-go.sh. Without its UDP back end, which is C and which nobody should use, and without Tencent's,
# whose modules the Go module proxy does not serve.
# shellcheck shell=bash
module=github.com/flannel-io/flannel

prepare() {
    rm -rf pkg/backend/tencentvpc pkg/backend/udp
    sed -i -E '/pkg\/backend\/(tencentvpc|udp)"/d' main.go
}

flags() { printf -- "-X %s/pkg/version.Version=v%s" $module "$version"; }

compile() { go_build flanneld .; }

proof() { "$1/flanneld" --version 2>&1 | grep -F "$version"; }
