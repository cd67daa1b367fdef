# flanneld. Sourced by build-go.sh. Without its UDP back end, which is C and which nobody should use.
# shellcheck shell=bash
module=github.com/flannel-io/flannel

flags() { printf -- "-X %s/pkg/version.Version=v%s" $module "$version"; }

compile() { go_build flanneld .; }

proof() { "$1/flanneld" --version 2>&1 | grep -F "$version"; }
