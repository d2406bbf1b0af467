#!/usr/bin/env bash
# Writes shared/ifsc/data/ifsc.bin. With a version as argument, pins that version of the crate `ifsc` first; with "latest", the newest
# one that cargo finds. shared/ifsc/data/README.md describes the checks that follow.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:-} in
    '') ;;
    latest)
        cargo add --quiet ifsc@0
        cargo update --quiet --package ifsc
        version=$(cargo pkgid --quiet ifsc | sed 's/.*[@#]//')
        cargo add --quiet "ifsc@=$version"
        ;;
    *)
        cargo add --quiet "ifsc@=$1"
        cargo update --quiet --package ifsc
        ;;
esac
cargo test --quiet --locked
exec cargo run --quiet --release --locked -- ../../shared/ifsc/data/ifsc.bin
