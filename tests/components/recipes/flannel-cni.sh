# The CNI plugin of flannel, as it was in the last release of the CNI plugins that had it (0.9.1). Sourced by build-go.sh. Since
# then it is a project of its own, github.com/flannel-io/cni-plugin, which the Go module proxy does not serve.
# shellcheck shell=bash
module=github.com/containernetworking/plugins

flags() { printf -- "-X %s/pkg/utils/buildversion.BuildVersion=v%s" $module "$version"; }

compile() { go_build flannel ./plugins/meta/flannel; }

proof() { CNI_COMMAND=VERSION "$1/flannel" <<<'{"cniVersion":"0.3.1"}' | grep -F supportedVersions; }
