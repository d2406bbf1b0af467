#!/usr/bin/env bash
# Writes shared/data/ifsc.bin anew. With a version: from that version of the crate `ifsc`, which is then the pinned one.
# shared/data/README.md says what to look at afterwards.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
if (($# > 0)); then
    cargo add --quiet "ifsc@=$1"
    cargo update --quiet --package ifsc
fi
cargo test --quiet --locked
exec cargo run --quiet --release --locked -- ../../shared/data/ifsc.bin
