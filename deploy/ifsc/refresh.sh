#!/usr/bin/env bash
# Writes shared/ifsc/data/ifsc.bin. With a version as argument, pins that version of the crate `ifsc` first.
# shared/ifsc/data/README.md describes the checks that follow.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
if (($# > 0)); then
    cargo add --quiet "ifsc@=$1"
    cargo update --quiet --package ifsc
fi
cargo test --quiet --locked
exec cargo run --quiet --release --locked -- ../../shared/ifsc/data/ifsc.bin
