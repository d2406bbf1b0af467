#!/usr/bin/env bash
# make test: all that must hold before a change goes in. Needs nothing set up, leaves nothing running.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
stack=$PWD/deploy/local/stack.sh
folder=${KHATA_LOCAL_DIR:-.local}

# A developer's sourced .local/env must not lead the tests to the developer's own stack. What the release before is, only the
# caller knows (migrations/README.md).
for name in $(compgen -e | grep -E '^(KHATA|OTEL)_' | grep -vx KHATA_TEST_PREVIOUS || true); do unset "$name"; done
export KHATA_LOCAL_DIR=$folder/test
heading() { printf '\n=== %s ===\n' "$*"; }

heading "what the machine needs"
"$stack" install
# Beside the test's own stack, which starts from nothing each time: they are the same in every run.
KHATA_LOCAL_DIR=$folder "$stack" tools
export PATH=$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin
for tool in fmt:rustfmt clippy:clippy; do
    cargo "${tool%:*}" --version >/dev/null 2>&1 || {
        echo "khata: cargo ${tool%:*} is missing; say: rustup component add ${tool#*:}" >&2
        exit 1
    }
done
echo "  everything is there"

heading "formatting"
cargo fmt --all --check
if command -v shellcheck >/dev/null; then
    shellcheck --external-sources deploy/local/stack.sh deploy/local/test.sh fuzz/run.sh deploy/ifsc/refresh.sh .ci/run \
        deploy/docker/*.sh deploy/sandbox/gateways.sh deploy/k8s/*.sh
fi

heading "images, compose and their configurations"
KHATA_LOCAL_DIR=$folder deploy/docker/check.sh

heading "Kubernetes"
KHATA_LOCAL_DIR=$folder deploy/k8s/check.sh

heading "lints"
cargo clippy --workspace --all-targets -- -D warnings

heading "services for the tests"
trap '"$stack" down' EXIT
# From nothing each time: what an earlier run left in a database must not decide this one.
"$stack" clean
"$stack" services

heading "tests"
cargo build --workspace --bins
(
    # Nothing but these: a test that needs more starts it itself.
    KHATA_TEST_DATABASE_URL=$("$stack" exec printenv KHATA_DATABASE_URL)
    KHATA_TEST_AMQP_URL=$("$stack" exec printenv KHATA_AMQP_URL)
    KHATA_TEST_TOOLS=$(realpath "$folder/tools")
    export KHATA_TEST_DATABASE_URL KHATA_TEST_AMQP_URL KHATA_TEST_TOOLS
    unset KHATA_LOCAL_DIR
    cargo test --workspace
)

heading "the test services stop"
"$stack" down
trap - EXIT

heading "chaos: workers and the broker are killed under load"
KHATA_LOCAL_DIR=$folder make --no-print-directory chaos

printf '\nmake test: everything passed in %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
