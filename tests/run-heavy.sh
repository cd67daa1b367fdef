#!/usr/bin/env bash
# What does not fit into the gate: media of many gigabytes, flags and files of real Kubernetes binaries, real API
# servers, the speed of downloads, installs of every role on every layout, network boots (root), disk images, longer fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh --heavy
# One set for all: the library is compiled once.
features=boot-tests,heavy
cargo test --release --locked --features "$features" --test heavy -- --nocapture
cargo test --release --locked --features "$features" --test preflight
make --no-print-directory components
make --no-print-directory components KUBERNETES=1.37.2
cargo test --release --locked --features "$features" --test apiserver -- --nocapture --test-threads=1
tests/flags.sh
cargo test --release --locked --features "$features" --test fetch_heavy -- --nocapture
cargo test --release --locked --features "$features" --test serve_heavy -- --test-threads=1 --nocapture
cargo test --release --locked --features "$features" --test rack_page -- --nocapture
cargo test --release --locked --features "$features" --test install_heavy -- --nocapture --test-threads=1
cargo test --release --locked --features "$features" --test pxe_boot -- --test-threads=1 --nocapture
cargo test --release --locked --features "$features" --test boot_disk -- --test-threads=1 --nocapture
KILN_FUZZ_SECONDS=60 cargo test --release --locked --features "$features" --test fuzz -- --nocapture
