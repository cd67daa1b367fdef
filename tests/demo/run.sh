#!/usr/bin/env bash
# The demo: components, stand-in base, `kiln build --profile master`, a boot in QEMU, the result.
set -euo pipefail
cd "$(dirname "$0")/../.."
kiln=$PWD/$1
out=$PWD/out/demo

say() { printf '\n### %s\n' "$*"; }

# The images of the demo are built with Go; without it the demo would stop after ten minutes and not now.
go_wanted=1.26.4
go_found=$(go env GOVERSION 2>/dev/null | tr -cd 0-9. || true)
if ! compgen -G "components/images/metrics-server-*.tar" >/dev/null &&
  [ "$(printf '%s\n' "$go_wanted" "${go_found:-0}" | sort -V | head -n 1)" != "$go_wanted" ]; then
  echo "demo: Go $go_wanted or later is needed for the container images, and ${go_found:-none} is here: install it from your" \
    "distribution's packages or go.dev, then run this again" >&2
  exit 3
fi

say "1/5 Components: the control plane that the ISO carries and its images (about 10 minutes the first time, then at once)"
KILN=$kiln tests/components/make.sh components

say "2/5 Base: a stand-in for a vendor's install ISO in the layout of EL9 (about a minute the first time)"
mkdir -p "$out"
tests/standin/make.sh el9 "$out/base.iso"
cp tests/demo/cluster.toml "$out/cluster.toml"
ln -sfn "$PWD/components" "$out/components"

say "3/5 kiln check, fetch, build (seconds)"
cd "$out"
"$kiln" check
"$kiln" fetch --update
"$kiln" build --profile master

iso=$out/out/demo-master.iso
say "4/5 Boot it in QEMU: UEFI, as a USB stick, on the machine of k8s-master1 (about 20 seconds)"
"$kiln" boot "$iso" --firmware uefi --as usb --mac 52:54:00:00:31:71 --expect-node k8s-master1

say "5/5 What was built"
"$kiln" inspect "$iso"
(cd out && sha256sum -c SHA256SUMS)
say "Done: $iso has booted and named its node."
