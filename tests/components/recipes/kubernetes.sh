# Kubernetes, all six programs. Sourced by build-go.sh. About 15 minutes on two idle cores.
# shellcheck shell=bash
module=k8s.io/kubernetes

# The release's staging modules are published beside it, numbered v0.MINOR.PATCH for v1.MINOR.PATCH; inside its own
# repository they are folders that a module archive does not carry.
prepare() {
    rm -rf go.work go.work.sum vendor
    sed -i -E "s#=> \./staging/src/(k8s\.io/[a-z-]+)#=> \1 v0.${version#*.}#" go.mod
}

# Without these the programs say that they are of no version, and clients and servers compare versions.
flags() {
    local name
    for name in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
        printf -- "-X %s.gitVersion=v%s " "$name" "$version"
        printf -- "-X %s.gitMajor=%s " "$name" "$(cut -d. -f1 <<<"$version")"
        printf -- "-X %s.gitMinor=%s " "$name" "$(cut -d. -f2 <<<"$version")"
        printf -- "-X %s.gitTreeState=archive -X %s.buildDate=1970-01-01T00:00:00Z " "$name" "$name"
    done
}

compile() {
    local program
    for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        go_build "$program" "./cmd/$program"
    done
}

proof() { "$1/kubectl" version --client | grep -F "v$version"; }
