# cri-dockerd. Sourced by build-go.sh.
# shellcheck shell=bash
module=github.com/Mirantis/cri-dockerd

flags() { printf -- "-X %s/cmd/version.Version=%s" $module "$version"; }

compile() { go_build cri-dockerd . -tags netgo,osusergo; }

proof() { "$1/cri-dockerd" --version 2>&1 | grep -F "$version"; }
