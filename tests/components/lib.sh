# Shared by the scripts of this folder; sourced, not run.
# shellcheck shell=bash

# Prints what is being done, to standard error.
say() { printf '==> %s\n' "$*" >&2; }

# Ends with a message.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need PROGRAM PACKAGE: ends with a message that names the Debian package when PROGRAM is missing.
need() { command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"; }

cache_root() { printf '%s/components\n' "${KILN_CACHE:-$HOME/.cache/kiln}"; }

# apt_private DIR: an apt of our own below DIR: the machine's sources and keys, and deb-src for each of them, but lists and
# cache of its own. Needs no root and changes nothing on the machine. Afterwards `apt_get` and `apt_cache` use it.
apt_private() {
    local dir=$1 file
    APT_OPTIONS=(none)
    command -v apt-get >/dev/null || return 0 # unpack_deb does without
    mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/parts"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -f $file ]] || continue
        sed -n -E 's/^[[:space:]]*deb([[:space:]].*)/deb\1\ndeb-src\1/p' "$file" >"$dir/parts/$(basename "$file" .list).list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        sed -E 's/^Types:.*/Types: deb deb-src/' "$file" >"$dir/parts/$(basename "$file")"
    done
    APT_OPTIONS=(-q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$dir/parts"
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir" -o "Dir::Cache::Archives=$dir/archives"
        -o "APT::Sandbox::User=" -o "Acquire::Retries=3" -o "Acquire::http::Timeout=20")
    apt_get update >"$dir/update.log" 2>&1 || {
        tail -n 5 "$dir/update.log" >&2
        die "the package lists could not be fetched (apt-get update); this step needs a Debian mirror"
    }
}
apt_get() { apt-get "${APT_OPTIONS[@]}" "$@"; }
apt_cache() { apt-cache "${APT_OPTIONS[@]}" "$@"; }

# unpack_deb PACKAGE DIR: fetches PACKAGE by the private apt, or without one where there is none, and unpacks it below DIR.
# Debian 12's packages have files in /bin and /lib, 13's the same ones below /usr: /bin and /lib become links, and both are found.
unpack_deb() {
    local package=$1 dir=$2 work folder
    mkdir -p "$dir"/usr
    for folder in bin sbin lib lib64; do
        mkdir -p "$dir/usr/$folder"
        [[ -e $dir/$folder ]] || ln -s "usr/$folder" "$dir/$folder"
    done
    if ! command -v apt-get >/dev/null; then
        python3 "$(dirname "${BASH_SOURCE[0]}")/../standin/debs.py" unpack "$dir" "$package" || die "the package $package could not be fetched"
        return
    fi
    work=$(mktemp -d)
    (cd "$work" && apt_get download "$package" >"$work/log" 2>&1) || {
        cat "$work/log" >&2
        rm -rf "$work"
        die "the package $package could not be fetched"
    }
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -C "$dir" -x --keep-directory-symlink --no-same-owner
    rm -rf "$work"
}
