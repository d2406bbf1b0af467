#!/usr/bin/env bash
# Checks the dependencies by deny.toml, with cargo-deny: licences, forbidden crates, sources, known vulnerabilities. Installs
# cargo-deny under .local/tools. The advisories about vulnerabilities are in a git repository. Where it is out of reach, that
# check is left out, and the other ones still run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/tools")
advisories=https://github.com/RustSec/advisory-db

deploy/checks/tools.sh
export PATH=$tools/deploy/bin:$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin

checks=(bans licenses sources)
if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code "$advisories" HEAD >/dev/null 2>&1; then
    checks+=(advisories)
else
    echo "  known vulnerabilities are NOT checked: $advisories is out of reach" >&2
fi
# Two versions of one crate are a warning, of which there are many; only errors matter here.
cargo-deny --log-level error --locked check --show-stats "${checks[@]}"
