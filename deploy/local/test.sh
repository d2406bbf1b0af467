#!/usr/bin/env bash
# make test: everything that must hold before a change is merged. Leaves no process running.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
stack=$PWD/deploy/local/stack.sh
folder=${KHATA_LOCAL_DIR:-.local}

# The settings of a sourced .local/env must not lead the tests to the developer's own stack. Only the caller
# knows where the previous release is (migrations/README.md).
# shellcheck disable=SC2046 # names hold no spaces
unset -v $(compgen -e | grep -E '^(KHATA|OTEL)_' | grep -vx KHATA_TEST_PREVIOUS)
export KHATA_LOCAL_DIR=$folder/test
heading() { printf '\n=== %s ===\n' "$*"; }

heading "packages and programs"
"$stack" install
# In the developer's folder: they outlive the tests' own stack, which starts from nothing each time.
KHATA_LOCAL_DIR=$folder e2e/tools.sh
export PATH=$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin

heading "formatting"
cargo fmt --all --check
if command -v shellcheck >/dev/null; then
    git ls-files -z '*.sh' .ci/run ':!deploy/local/lib' | xargs -0 shellcheck --external-sources
fi

heading "dependencies"
KHATA_LOCAL_DIR=$folder deploy/checks/dependencies.sh

heading "images, compose and their configurations"
KHATA_LOCAL_DIR=$folder deploy/docker/check.sh

heading "Kubernetes"
KHATA_LOCAL_DIR=$folder deploy/k8s/check.sh

heading "lints"
cargo clippy --workspace --all-targets -- -D warnings

heading "start of the test services"
trap '"$stack" down' EXIT
# Without the data of an earlier run, which must not decide this one.
"$stack" clean
"$stack" services

heading "tests"
# With the test programs: without them, Cargo builds the libraries with fewer features, and the tests build them again.
cargo build --workspace --all-targets
(
    # Only these settings: a test starts further services itself.
    KHATA_TEST_DATABASE_URL=$("$stack" exec printenv KHATA_OWNER_URL)
    KHATA_TEST_AMQP_URL=$("$stack" exec printenv KHATA_AMQP_URL)
    KHATA_TEST_TOOLS=$(realpath "$folder/tools")
    export KHATA_TEST_DATABASE_URL KHATA_TEST_AMQP_URL KHATA_TEST_TOOLS
    unset KHATA_LOCAL_DIR
    # Tests wait for servers and for time more than they compute.
    RUST_TEST_THREADS=$((2 * $(nproc)))
    export RUST_TEST_THREADS
    # All failures in one run, and not only those of the first program.
    cargo test --workspace --no-fail-fast
)

heading "README.md and the quickstarts"
KHATA_SKIP_BUILD=1 "$stack" up
e2e/first_hour.sh

heading "end of the test services"
"$stack" down
trap - EXIT

heading "chaos: faults chosen by a random seed"
KHATA_SKIP_BUILD=1 KHATA_LOCAL_DIR=$folder make --no-print-directory chaos SCENARIO=mix

printf '\nmake test: everything passed in %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
