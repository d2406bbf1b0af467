#!/usr/bin/env bash
# make fuzz: runs libFuzzer on each target for KHATA_FUZZ_SECONDS (60), from the seeds and from the corpus of earlier runs.
# Writes an input that fails to .local/fuzz/finds: add the file to fuzz/seeds together with the fix.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
local=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}")
tools=$local/tools
seconds=${KHATA_FUZZ_SECONDS:-60}
version=0.13.2
export PATH=$tools/bin:$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin

if [[ $("$tools/bin/cargo-fuzz" --version 2>/dev/null) != "cargo-fuzz $version" ]]; then
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-fuzz
fi

# Without a sanitizer, which needs a nightly compiler: Khata has no unsafe code that a sanitizer would check.
options=(--dev --sanitizer none --features libfuzzer --target-dir "${CARGO_TARGET_DIR:-target}/fuzz")
export CARGO_PROFILE_DEV_OPT_LEVEL=1

for target in body account gateway; do
    corpus=$local/fuzz/corpus/$target finds=$local/fuzz/finds/$target/ log=$local/fuzz/$target.log
    mkdir -p "$corpus" "$finds"
    printf '=== %s: building, then %s s ===\n' "$target" "$seconds"
    if ! cargo fuzz run "${options[@]}" "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=5 -artifact_prefix="$finds" -print_final_stats=1 >"$log" 2>&1; then
        grep -E -A 3 "panicked at|^error|^==.*ERROR|Test unit written" "$log" >&2
        printf 'khata: the target %s fails; the output is in %s\n' "$target" "$log" >&2
        exit 1
    fi
    grep -E "^Done|^stat::(number|average|new)" "$log"
done
