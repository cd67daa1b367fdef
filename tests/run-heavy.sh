#!/usr/bin/env bash
# What does not fit into the gate: media of many gigabytes, the flags of real Kubernetes binaries, longer fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --release --locked --features heavy --test heavy -- --nocapture
make --no-print-directory components
tests/flags.sh
KILN_FUZZ_SECONDS=60 cargo test --release --locked --test fuzz -- --nocapture
