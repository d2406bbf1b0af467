# shellcheck shell=bash
# State folder: everything that a local stack keeps between runs. KHATA_LOCAL_DIR names it (default: .local of
# the checkout); two stacks never share one.
#
#   env           settings for clients to source       values    ports and passwords, chosen by the first run
#   keyring.json  the services' keys                   run/      one record a process
#   api-key       API key of the merchant "local"      logs/     one file a process
#   postgres/     data of the private Postgres         lock      held by the run that changes the stack
#   rabbitmq/     data of the private RabbitMQ         tools/    programs that tests and checks run
#   standby/      data of a standby of Postgres        images/   programs and stack of make image-test

STATE=$(cd "$REPOSITORY" && realpath -m -- "${KHATA_LOCAL_DIR:-.local}")
# RabbitMQ gives its path to a shell between single quotes.
[[ $STATE != *\'* ]] || fail "RabbitMQ cannot work in a folder with a single quote in its name: $STATE"

# Distinguishes this stack from every other on the machine, also in the name of the RabbitMQ node.
STATE_ID=$(sha256sum <<<"$STATE" | cut -c1-12)
# Parent of postgres/ and rabbitmq/. Root runs these servers as users of their own, and a user opens a file
# only if it may enter every folder above it. Root's home (mode 700) must stay closed.
SHELTER=/var/lib/khata-local/$STATE_ID
DATA=$STATE
((EUID != 0)) || DATA=$SHELTER

declare -A PORTS=() SECRETS=()
LOCK_FD=

# changing FUNCTION… : while no other run changes the stack.
changing() {
    lock_state
    prepare_state
    "$@"
    unlock_state
}

prepare_state() {
    mkdir -p "$STATE/run" "$STATE/logs"
    chmod 700 "$STATE" "$STATE/run" "$STATE/logs"
    # An earlier function of this run may have removed the file.
    PORTS=() SECRETS=()
    # shellcheck source=/dev/null
    [[ ! -e $STATE/values ]] || . "$STATE/values"
}

# "clean" removes the lock file: a run that waited for it then locks the new file.
lock_state() {
    until [[ -n $LOCK_FD && $STATE/lock -ef /proc/self/fd/$LOCK_FD ]]; do
        unlock_state
        mkdir -p "$STATE"
        exec {LOCK_FD}>>"$STATE/lock"
        flock -n "$LOCK_FD" && continue
        say "  waiting for another run that is changing this stack"
        flock -w 1800 "$LOCK_FD" || fail "another run has held $STATE/lock for half an hour"
    done
}

unlock_state() {
    [[ -z $LOCK_FD ]] || exec {LOCK_FD}>&-
    LOCK_FD=
}

# write_private FILE : writes standard input to the file, completely or not at all, private to its owner.
write_private() { (umask 077 && cat >"$1.new" && mv -f "$1.new" "$1"); }

save_values() {
    printf 'PORTS=(%s)\nSECRETS=(%s)\n' "${PORTS[*]@K}" "${SECRETS[*]@K}" | write_private "$STATE/values"
}

make_secrets() {
    local name
    ((${#SECRETS[@]} == 0)) || return 0
    [[ ! -e $DATA/postgres/data && ! -e $DATA/rabbitmq/mnesia ]] ||
        fail "an earlier checkout left data in $DATA; its passwords ($STATE/values) are gone: 'make clean-local' removes the data"
    for name in postgres rabbitmq erlang_cookie; do
        SECRETS[$name]=$(od -An -v -N 16 -tx1 /dev/urandom | tr -d ' \n')
    done
    save_values
}

# choose_ports SERVICE NAME… : keeps each port of an earlier run unless another program uses it.
choose_ports() {
    local service=$1 name port
    # A child of a killed service may still hold a port that it inherited.
    is_alive "$service" || stop_strays "$service"
    for name in "${@:2}"; do
        port=${PORTS[$name]:-}
        if [[ -n $port ]] && { is_alive "$service" || ! port_is_taken "$port"; }; then continue; fi
        # Below the kernel's range for outgoing connections (from 32768), above the well-known ports.
        until [[ -n $port && " ${PORTS[*]} " != *" $port "* ]] && ! port_is_taken "$port"; do
            port=$((20000 + SRANDOM % 12000))
        done
        PORTS[$name]=$port
        save_values
    done
}

# Reads the kernel's tables, where field 2 is address and port in hexadecimal, and state 0A is LISTEN. A
# connection attempt would miss a program that listens on another address than 127.0.0.1.
port_is_taken() {
    awk -v port="$(printf ':%04X' "$1")" '
        $4 == "0A" && substr($2, length($2) - 4) == port { taken = 1; exit }
        END { exit !taken }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# service_user USER : prints USER for root. Every other user runs the servers itself.
service_user() { ((EUID != 0)) || say "$1"; }

# service_folder NAME USER : prints the folder where the server keeps its data, created and owned by the user.
service_folder() {
    if [[ ! -d $DATA/$1 ]]; then
        mkdir -p "$DATA"
        ((EUID != 0)) || chmod 711 "$DATA"
        install -d -m 700 ${2:+-o "$2"} "$DATA/$1"
    fi
    say "$DATA/$1"
}

# as_user USER COMMAND… : an empty USER is the current one. setpriv keeps the process id.
as_user() { ${1:+setpriv --reuid="$1" --regid="$1" --init-groups --} "${@:2}"; }

remove_state() {
    local entry
    # The folder may be a file system of its own.
    ! mountpoint -q "$DATA/standby" || umount "$DATA/standby"
    rm -rf -- "$SHELTER"
    # Entry by entry: a wrong KHATA_LOCAL_DIR must not cost a folder that holds other files.
    for entry in env keyring.json api-key values run logs postgres standby rabbitmq sandbox-ledger tools \
        images/programs lock; do
        rm -rf -- "${STATE:?}/$entry" "${STATE:?}/$entry.new"
    done
    rmdir --ignore-fail-on-non-empty -- "$STATE/images" "$STATE" "${SHELTER%/*}" 2>/dev/null || true
}
