# CoreDNS. Sourced by build-go.sh.
# shellcheck shell=bash
module=github.com/coredns/coredns

# reflect2 before 1.0.2 panics when Go 1.18 or later built it.
prepare() { [[ $version != 1.[0-7].* ]] || go mod edit -replace github.com/modern-go/reflect2=github.com/modern-go/reflect2@v1.0.2; }

flags() { printf -- "-X %s/coremain.GitCommit=archive" $module; }

compile() { go_build coredns .; }

proof() { "$1/coredns" -version | grep -F "CoreDNS-$version"; }
