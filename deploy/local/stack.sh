#!/usr/bin/env bash
# The local stack: a private Postgres, a private RabbitMQ, a trace viewer, the gateway sandbox, khata-api and khata-worker.
# One story a file in lib/; here is what can be asked for. People use it through make; see usage below for the rest.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: deploy/local/stack.sh COMMAND

  install            install what the machine lacks (Debian, Ubuntu)
  tools              install what the end-to-end tests run besides Khata
  deploy-tools       install what the checks of deploy/ run
  image-tools        install what runs images, where Docker does not
  services           install, then start Postgres and RabbitMQ only
  up                 install, build, start everything, make the local merchant; again: only what is not running
  down               stop everything, also the stacks of make test, bench, chaos and image-test
  clean              down, and remove the data
  status             what runs
  env                print the settings to source
  exec COMMAND…      run a command with those settings
  with COMMAND…      a fresh stack, the command with its settings, and the stack stopped again, whatever comes
  psql …             psql as the services' role
  rabbitmqctl …      rabbitmqctl for the private broker

settings, from the environment:
  KHATA_LOCAL_DIR    the stack's folder (.local of the checkout): a stack each, side by side
  KHATA_PROFILE      dev (default) or release
  KHATA_SKIP_BUILD   1: take the programs as they are
  KHATA_LOG, KHATA_WORKER_CONCURRENCY, …: the services' own tuning is passed on
USAGE
}

if [[ $(uname -s) != Linux ]]; then
    echo "khata: the local stack needs Linux (Debian or Ubuntu; on other systems, a container or a virtual machine of one)" >&2
    exit 1
fi

# CI may close standard input; what we open next must not become it.
{ : <&0; } 2>/dev/null || exec </dev/null
export LC_ALL=C.UTF-8

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
LIBRARY=$REPOSITORY/deploy/local/lib
# shellcheck source=lib/say.sh
. "$LIBRARY/say.sh"
# shellcheck source=lib/state.sh
. "$LIBRARY/state.sh"
# shellcheck source=lib/process.sh
. "$LIBRARY/process.sh"
# shellcheck source=lib/install.sh
. "$LIBRARY/install.sh"
# shellcheck source=lib/tools.sh
. "$LIBRARY/tools.sh"
# shellcheck source=lib/postgres.sh
. "$LIBRARY/postgres.sh"
# shellcheck source=lib/rabbitmq.sh
. "$LIBRARY/rabbitmq.sh"
# shellcheck source=lib/khata.sh
. "$LIBRARY/khata.sh"
# shellcheck source=lib/env.sh
. "$LIBRARY/env.sh"

# Those who call go before those who are called.
STOPPING_ORDER=(api worker sandbox traces rabbitmq epmd postgres)

up() {
    local began=$EPOCHREALTIME
    install_missing
    build
    start_services
    choose_khata_ports
    sandbox_and_traces_launch
    await_launched sandbox traces
    step "preparing the database and the local merchant" prepare_merchant
    services_launch
    await_launched api worker
    write_env
    say "Khata is up ($(seconds_since "$began") s)"
    say "  API       $(url_of api)"
    say "  traces    $(url_of traces)"
    say "  settings  . $STATE/env"
}

services() {
    install_missing
    start_services
    write_env
}

start_services() {
    make_secrets
    # Together: the broker needs longer, the database starts meanwhile.
    rabbitmq_launch
    postgres_launch
    await_launched postgres rabbitmq
    postgres_prepare
}

# What was running already is not mentioned, but it has to answer all the same.
await_launched() {
    local name
    for name in "$@"; do
        if [[ -n ${LAUNCHED_AT[$name]:-} ]]; then
            step_since "${LAUNCHED_AT[$name]}" "starting $name" "${name}_await"
        else
            "${name}_await"
        fi
    done
}

down() {
    local name
    for name in "${STOPPING_ORDER[@]}"; do stop "$name"; done
    rm -f "$STATE/env"
}

down_and_say() {
    down
    [[ $STOPPED_ANY == yes ]] || say "  nothing was running in $STATE"
}

status() {
    local name
    for name in "${STOPPING_ORDER[@]}"; do
        if is_alive "$name"; then
            printf '%-10s running  process %-8s port %-6s log %s\n' \
                "$name" "$(pid_of "$name")" "${PORTS[$name]}" "$STATE/logs/$name.log"
        else
            printf '%-10s stopped\n' "$name"
        fi
    done
}

# changing FUNCTION… : with the stack to ourselves.
changing() {
    lock_state
    prepare_state
    "$@"
    unlock_state
}

looking() {
    state_exists || fail "nothing has been started in $STATE"
    prepare_state
}

clean() {
    down
    remove_state
}

# each_stack COMMAND : here and in the stacks that lie inside this one, where there are any.
each_stack() {
    local nested
    for nested in "${NESTED_STACKS[@]}"; do
        if [[ -d $STATE/$nested ]]; then KHATA_LOCAL_DIR=$STATE/$nested "$0" "$1"; fi
    done
    [[ -d $STATE ]] || return 0
    changing "$2"
}

with() {
    STOP_AT_THE_END=yes
    changing clean
    changing up
    # What the command starts again, it starts from what was just built.
    KHATA_SKIP_BUILD=1 run_with_env "$@"
}

# However the run ends, also by a failure or by Ctrl-C.
STOP_AT_THE_END=no
leave() {
    unlock_state
    allow_service_starts
    [[ $STOP_AT_THE_END == no ]] || changing down
}
trap leave EXIT

find_rust
command=${1:-}
shift || true
case $command in
    install) changing install_missing ;;
    tools) changing install_tools ;;
    deploy-tools) changing install_deploy_tools ;;
    image-tools) changing install_image_tools ;;
    services) changing services ;;
    up) changing up ;;
    down) each_stack down down_and_say ;;
    clean) each_stack clean clean ;;
    status) looking && status ;;
    env) cat "$STATE/env" ;;
    exec) run_with_env "$@" ;;
    with) with "$@" ;;
    psql) looking && psql_as khata khata "$@" ;;
    rabbitmqctl) looking && rabbitmqctl "$@" ;;
    *)
        usage >&2
        exit 2
        ;;
esac
