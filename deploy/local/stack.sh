#!/usr/bin/env bash
# The local stack: private Postgres and RabbitMQ, trace viewer, gateway sandbox, khata-api, khata-worker.
# shellcheck source-path=SCRIPTDIR source-path=SCRIPTDIR/lib
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: deploy/local/stack.sh COMMAND

  install            install the packages that the machine lacks (Debian, Ubuntu)
  services           install, then start Postgres and RabbitMQ only
  up                 install, build, start everything, create the merchant "local"; again: start the rest
  restart [NAME…]    stop api and worker, or these, then up: with the present programs, settings and keyring
  down               stop everything, including the stacks of make test, bench, chaos and image-test
  clean              down, then remove the data
  status             list the processes
  env                print the settings to source
  exec COMMAND…      run a command with those settings
  with COMMAND…      start a new stack, run the command with its settings, and stop the stack in every case
  psql …             psql as the services' role
  rabbitmqctl …      rabbitmqctl for the private broker
  standby add [SIZE] add a synchronous standby of Postgres, on a file system of SIZE if given (root)
  standby ACTION     promote; fill (its file system); use-up-wal (until it ends); free (and start); remove
  clocks             install the library that gives a process a wrong clock

environment:
  KHATA_LOCAL_DIR    folder of the stack (.local of the checkout): several stacks run side by side
  KHATA_PROFILE      dev (default) or release
  KHATA_SKIP_BUILD   1: use the programs that exist
  KHATA_LOG, KHATA_WORKER_CONCURRENCY, …: passed on to the services
USAGE
    exit 2
}

. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# In the order in which they are stopped: callers first. NAME_launch starts a service, NAME_ready tests it.
SERVICES=(api worker sandbox traces rabbitmq epmd postgres)
# Servers that make chaos adds.
SPARES=(standby)
# Seconds from start to ready.
declare -A READY_WITHIN=([api]=60 [worker]=60 [sandbox]=30 [traces]=30 [rabbitmq]=120 [postgres]=120 [standby]=120)
# Signals and the seconds to wait after each; otherwise TERM:10. The API and the worker complete what they
# have begun. SIGINT is Postgres's fast shutdown, SIGQUIT leaves the rest to its recovery.
declare -A STOP_BY=([api]=TERM:40 [worker]=TERM:40 [rabbitmq]=TERM:60 [postgres]="INT:60 QUIT:10"
    [standby]=QUIT:10)

up() {
    local began=$EPOCHREALTIME
    # First: it fails if the data of a removed checkout is there, and the build takes minutes.
    make_secrets
    install_missing
    build
    start_servers
    choose_khata_ports
    start sandbox traces
    step "preparing the database and the local merchant" prepare_merchant
    start api worker
    write_env
    say "Khata is up ($(seconds_since "$began") s)"
    say "  API       $(url_of api)"
    say "  traces    $(url_of traces)"
    say "  settings  . $STATE/env"
}

restart() {
    local name
    (($# > 0)) || set -- api worker
    for name in "$@"; do
        [[ " ${SERVICES[*]} " == *" $name "* ]] || fail "there is no service '$name': name some of ${SERVICES[*]}"
    done
    for name in "$@"; do stop "$name"; done
    up
}

services() {
    install_missing
    start_servers
    write_env
}

start_servers() {
    make_secrets
    # RabbitMQ needs longer, and Postgres starts meanwhile.
    rabbitmq_launch
    start postgres rabbitmq
}

down() {
    local name
    [[ $COMMAND != down || -n $(ls "$STATE/run") ]] || say "  no process of $STATE is running"
    for name in "${SPARES[@]}" "${SERVICES[@]}"; do stop "$name"; done
    rm -f "$STATE/env"
}

clean() {
    down
    remove_state
}

status() {
    local name
    for name in "${SERVICES[@]}"; do
        if is_alive "$name"; then
            printf '%-10s running  process %-8s port %-6s log %s\n' \
                "$name" "${RECORD[0]}" "${PORTS[$name]}" "$STATE/logs/$name.log"
        else
            printf '%-10s stopped\n' "$name"
        fi
    done
}

# reading FUNCTION… : only of a stack that was started once.
reading() {
    [[ -e $STATE/values ]] || fail "no stack was started in $STATE: run 'deploy/local/stack.sh up' first"
    prepare_state
    "$@"
}

# each_stack COMMAND : "down" or "clean", also of the stacks inside (make test, bench, chaos, image-test).
each_stack() {
    local nested
    for nested in test bench chaos images/stack; do
        if [[ -d $STATE/$nested ]]; then KHATA_LOCAL_DIR=$STATE/$nested "$0" "$1"; fi
    done
    [[ ! -d $STATE ]] || changing "$1"
}

with() {
    trap 'changing down' EXIT
    changing clean
    changing up
    # A program that the command starts again is the one that was just built.
    KHATA_SKIP_BUILD=1 run_with_env "$@"
}

COMMAND=${1:-}
shift || usage >&2
case $COMMAND in
    install) changing install_missing ;;
    services | up) changing "$COMMAND" ;;
    restart) changing restart "$@" ;;
    down | clean) each_stack "$COMMAND" ;;
    status) reading status ;;
    env) cat "$STATE/env" ;;
    exec) run_with_env "$@" ;;
    with) with "$@" ;;
    psql) reading psql "$@" ;;
    rabbitmqctl) reading rabbitmqctl "$@" ;;
    standby) changing standby "$@" ;;
    clocks) changing install_packages missing_clocks ;;
    *) usage >&2 ;;
esac
