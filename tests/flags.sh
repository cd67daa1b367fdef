#!/bin/sh
# Gives the flags that kiln writes for Kubernetes 1.20 to the real programs of that version: an unknown flag is fatal to
# them. The flags come from the golden files, which the plan tests hold against what kiln writes.
#
# usage: tests/flags.sh [DIR]     DIR: folder with kube-apiserver, kubelet, …; default: the newest of the cache
set -eu
cd "$(dirname "$0")/.."

cache=${KILN_CACHE:-$HOME/.cache/kiln}/components
dir=${1:-}
if [ -z "$dir" ]; then
    found=$(find "$cache" components -path '*/kubernetes/1.20.2/kube-apiserver' 2>/dev/null | head -n 1)
    if [ -z "$found" ]; then
        echo "no Kubernetes 1.20.2 below $cache or components: run \`make components\` first" >&2
        exit 1
    fi
    dir=$(dirname "$found")
fi

# Prints the flags of program $1 on a node of role $2, one a line.
flags() {
    sed -n "\\|^==> .* /opt/kubernetes/cfg/$1.conf\$|,/^\$/p" "tests/golden/plan/el9-1.20/$2.files" |
        sed -n 's/^\([A-Z_]*_OPTS="\)\{0,1\}\(--[^ "]*\).*$/\2/p'
    # The variables are systemd's, and come from /opt/kiln/node.env on a node.
    # shellcheck disable=SC2016
    sed -n "s|^ExecStart=/opt/kubernetes/bin/$1 \\\$[A-Z_]*_OPTS *||p" "overlays/$1/usr/lib/systemd/system/$1.service" |
        tr ' ' '\n' | sed 's/\${KILN_NODE_NAME}/n1/; s/\${KILN_NODE_ADDRESS}/192.0.2.1/; s/\${KILN_NODE_LABELS}//'
}

failed=0
check() {
    flags "$1" "$2" > "$tmp"
    count=$(grep -c '^--' "$tmp")
    if [ "$count" -lt 2 ]; then
        echo "FAIL $1 ($2): found only $count flags to check" >&2
        failed=1
        return
    fi
    set -- "$1" "$2" "$count" "$dir/$1"
    # The flags are one word a line, and hold no blanks.
    # shellcheck disable=SC2046
    if said=$("$4" $(cat "$tmp") --version 2>&1); then
        echo "ok   $1 ($2): $3 flags, $(echo "$said" | tail -n 1)"
    else
        echo "FAIL $1 ($2): $said" >&2
        failed=1
    fi
}

tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    check "$program" master
done
for program in kubelet kube-proxy; do
    check "$program" worker
done

# The check must be able to fail.
if "$dir/kube-apiserver" --kubelet-https-is-not-a-flag=true --version >/dev/null 2>&1; then
    echo "FAIL kube-apiserver took a flag that does not exist" >&2
    failed=1
fi
exit "$failed"
