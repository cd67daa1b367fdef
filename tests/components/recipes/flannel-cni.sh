# The CNI plugin of flannel, a project of its own since the CNI plugins 1.0. Sourced by build-go.sh.
# shellcheck shell=bash
module=github.com/flannel-io/cni-plugin

flags() { printf -- "-X main.Version=v%s -X main.Program=flannel" "$version"; }

compile() { go_build flannel .; }

proof() { CNI_COMMAND=VERSION "$1/flannel" <<<'{"cniVersion":"1.0.0"}' | grep -F supportedVersions; }
