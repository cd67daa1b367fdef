# cri-dockerd. Sourced by build-go.sh.
# shellcheck shell=bash
module=github.com/Mirantis/cri-dockerd

# Debian 12's docker has API 1.41. The client negotiates; only the check at the start wants 1.42.
prepare() { sed -i 's/MinimumDockerAPIVersion = "1.42.0"/MinimumDockerAPIVersion = "1.41.0"/' libdocker/client.go; }

flags() { printf -- "-X %s/cmd/version.Version=%s" $module "$version"; }

compile() { go_build cri-dockerd . -tags netgo,osusergo; }

proof() { "$1/cri-dockerd" --version 2>&1 | grep -F "$version"; }
