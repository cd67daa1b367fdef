#!/bin/sh
# Coverage-guided fuzzing: every target of fuzz/ for so many seconds, or the targets named.
# Usage: tests/fuzz/run.sh SECONDS [TARGET…]
# What is found is kept in fuzz/artifacts/TARGET/; the corpus that grew is in fuzz/corpus/TARGET/ (neither is checked in).
set -eu

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET…]}
shift
cd "$(dirname "$0")/../.."
command -v cargo-fuzz >/dev/null || {
  echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked (it needs a C++ compiler)" >&2
  exit 3
}
[ $# -gt 0 ] || set -- disk fat iso inspect tar cpio asked tree toml menu manifest oci fetched rpm repodata wire frame

# libFuzzer's flags are unstable ones; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
for target in "$@"; do
  seeds=tests/fuzz/corpus/$target
  grown=fuzz/corpus/$target
  mkdir -p "$grown"
  [ "$target" != menu ] || cp tests/data/menus/*.cfg "$grown"
  [ "$target" != inspect ] || cp tests/fuzz/corpus/iso/*.img "$grown"
  [ "$target" != toml ] || cp src/cluster/sample.toml "$grown"
  echo "==> fuzzing $target for $seconds s"
  # Memory is limited to what a reader of small input may ever need; a test that hangs for 10 s is a finding.
  cargo fuzz run "$target" "$grown" "$seeds" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=262144 -print_final_stats=1
done
