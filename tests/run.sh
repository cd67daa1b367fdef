#!/usr/bin/env bash
# All tests that fit into the gate, in the order in which they are quickest to fail.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  local start=$SECONDS name=$1
  shift
  echo "=== $name"
  "$@"
  echo "=== $name: $((SECONDS - start)) s"
}

step "check" make --no-print-directory check
step "the stand-in's installer" tests/standin/unit.sh
step "unit and format tests" cargo test --locked
step "release binary" make --no-print-directory build
step "stand-in media" make --no-print-directory standin
step "stand-in media are what they claim" tests/standin/check.sh
step "boots" make --no-print-directory boot-tests
