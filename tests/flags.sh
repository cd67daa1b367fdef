#!/bin/sh
# Gives the flags and configuration files that kiln writes to the real programs of Kubernetes 1.20.2 and 1.37.2: an unknown flag is
# fatal to them, an unknown field of a file is dropped with one line in a log. Flags and files come from the golden
# files, which the plan tests hold against what kiln writes.
#
# usage: tests/flags.sh [VERSION…]     default: both, as `make components` and `make components KUBERNETES=1.37.2` left them
set -eu
cd "$(dirname "$0")/.."

cache=${KILN_CACHE:-$HOME/.cache/kiln}/components
# The programs may lie where nobody but root may go; they run as nobody, who may start nothing and change nothing.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
failed=0

fail() {
    echo "FAIL $*" >&2
    failed=1
}

# Prints file $2 of the golden plan of a node of role $1.
golden() {
    sed -n "\\|^==> .* $2\$|,/^==> /p" "tests/golden/plan/$case/$1.files" | sed '1d; /^==> /d'
}

# Prints the flags of program $1 on a node of role $2, one a line.
flags() {
    golden "$2" "/opt/kubernetes/cfg/$1.conf" | sed -n 's/^\([A-Z_]*_OPTS="\)\{0,1\}\(--[^ "]*\).*$/\2/p'
    # The variables are systemd's, and come from /opt/kiln/node.env on a node.
    # shellcheck disable=SC2016
    sed -n "s|^ExecStart=/opt/kubernetes/bin/$1 \\\$[A-Z_]*_OPTS *||p" "overlays/$1/usr/lib/systemd/system/$1.service" |
        tr ' ' '\n' | sed 's/\${KILN_NODE_NAME}/n1/; s/\${KILN_NODE_ADDRESS}/192.0.2.1/; s/\${KILN_NODE_LABELS}//'
}

check_flags() {
    flags "$1" "$2" > "$work/flags"
    count=$(grep -c '^--' "$work/flags")
    if [ "$count" -lt 2 ]; then
        fail "$version $1 ($2): found only $count flags to check"
        return
    fi
    # The flags are one word a line, and hold no blanks.
    # shellcheck disable=SC2046
    if said=$("$dir/$1" $(cat "$work/flags") --version 2>&1); then
        echo "ok   $version $1 ($2): $count flags, $(echo "$said" | tail -n 1)"
    else
        fail "$version $1 ($2): $said"
    fi
}

# What program $1 says about the configuration file $2 before it ends, for want of rights or files.
read_config() {
    run="timeout 30 $work/$1 --config=$2 --v=0"
    if [ "$1" = kubelet ]; then
        run="$run --hostname-override=n1 --root-dir=$work/none --cert-dir=$work/none"
    fi
    # shellcheck disable=SC2086
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs $run 2>&1
    else
        $run 2>&1
    fi
}

# Whether the file was read to its end, and strictly: the complaint must be about something later.
check_config() {
    cp "$dir/$1" "$work/$1" 2>/dev/null || true
    golden "$2" "/opt/kubernetes/cfg/$1-config.yml" > "$work/config.yml"
    # This machine's cgroups may be of version 1, which the nodes of this case have not and today's kubelet refuses.
    if [ "$1" = kubelet ] && [ "$version" != 1.20.2 ] && [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
        echo 'failCgroupV1: false' >> "$work/config.yml"
    fi
    chmod 644 "$work/config.yml"
    [ "$(wc -l < "$work/config.yml")" -gt 8 ] || fail "$version $1 ($2): no configuration file to check"
    said=$(read_config "$1" "$work/config.yml" || true)
    case "$said" in
        *[Ss]trict*decod* | *"unknown field"* | *"failed to load"*config* | *"failed to validate"*)
            fail "$version $1 ($2) does not take its configuration: $said" ;;
        *"unable to load client CA file"* | *"needs to run as uid"* | *kube-proxy.kubeconfig*)
            echo "ok   $version $1 ($2): configuration of $(grep -c : "$work/config.yml") lines" ;;
        *)
            fail "$version $1 ($2) ended before or after its configuration was read: $said" ;;
    esac
    # The check must be able to fail.
    echo 'kilnIsNoField: true' >> "$work/config.yml"
    said=$(read_config "$1" "$work/config.yml" || true)
    case "$said" in
        *[Ss]trict*decod* | *"unknown field"*) ;;
        *) fail "$version $1 took a field that does not exist: $said" ;;
    esac
}

[ $# -gt 0 ] || set -- 1.20.2 1.37.2
for version in "$@"; do
    case=el9-${version%.*}
    found=$(find "$cache" components "components-$version" -path "*/kubernetes/$version/kube-apiserver" 2>/dev/null | head -n 1)
    if [ -z "$found" ]; then
        echo "no Kubernetes $version below $cache: run \`make components KUBERNETES=$version\` first" >&2
        exit 1
    fi
    dir=$(dirname "$found")
    for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
        check_flags "$program" master
    done
    for program in kubelet kube-proxy; do
        check_flags "$program" worker
        check_config "$program" worker
    done
    check_config kubelet master
    # The check must be able to fail.
    if "$dir/kube-apiserver" --kubelet-https-is-not-a-flag=true --version >/dev/null 2>&1; then
        fail "$version kube-apiserver took a flag that does not exist"
    fi
done
exit "$failed"
