# metrics-server. Sourced by build-go.sh.
# shellcheck shell=bash
module=sigs.k8s.io/metrics-server

# Its OpenAPI definitions are generated and not in the archive. The generator is among its dependencies.
prepare() {
    local out=pkg/api/generated/openapi
    [[ ! -f $out/zz_generated.openapi.go ]] || return 0
    go run k8s.io/kube-openapi/cmd/openapi-gen --output-dir "$out" --output-pkg "$module/$out" \
        --output-file zz_generated.openapi.go --go-header-file /dev/null --report-filename /dev/null \
        k8s.io/metrics/pkg/apis/metrics/v1beta1 k8s.io/apimachinery/pkg/apis/meta/v1 \
        k8s.io/apimachinery/pkg/api/resource k8s.io/apimachinery/pkg/version
}

flags() {
    printf -- "-X sigs.k8s.io/metrics-server/pkg/version.gitVersion=v%s -X k8s.io/client-go/pkg/version.gitVersion=v%s" "$version" "$version"
}

compile() { go_build metrics-server ./cmd/metrics-server; }

proof() { "$1/metrics-server" --version | grep -F "$version"; }
