# The state folder: everything one local stack remembers between runs.
# Two stacks never share one; which one is meant is said by KHATA_LOCAL_DIR (default: .local of the checkout).
#
#   env             what clients source               ports      chosen once, kept while nobody else takes them
#   keyring.json    the services' keys                secrets    passwords made up on the first run
#   api-key         the local merchant's key          run/       one record a process: who it is
#   postgres/       data of the private Postgres      logs/      one file a process
#   rabbitmq/       data of the private RabbitMQ      lock       held by whoever changes the stack
#   tools/          other people's clients, for tests
#   images/         make image-test's programs, and the stack that it runs

STATE=$(realpath -m -- "$REPOSITORY/${KHATA_LOCAL_DIR:-.local}")
if [[ ${KHATA_LOCAL_DIR:-} == /* ]]; then
    STATE=$(realpath -m -- "$KHATA_LOCAL_DIR")
fi

# RabbitMQ hands its path to a shell between single quotes, and would never come up.
[[ $STATE != *\'* ]] || fail "RabbitMQ cannot work in a folder with a single quote in its name: $STATE"

# Stacks of the Makefile's other targets live inside the developer's own.
NESTED_STACKS=(test bench chaos images/stack)

# Tells this stack from all others on the machine, also as part of a RabbitMQ node's name.
STATE_ID=$(sha256sum <<<"$STATE" | cut -c1-12)

# Where the data goes that service users own when they may not reach the state folder.
SHELTER=/var/lib/khata-local/$STATE_ID

LOCK_FD=

state_exists() { [[ -e $STATE/ports ]]; }

prepare_state() {
    mkdir -p "$STATE" "$STATE/run" "$STATE/logs"
    # Others may pass through to reach their own folder in here, and see nothing else.
    chmod 711 "$STATE"
    chmod 700 "$STATE/run" "$STATE/logs"
    load_pairs PORTS "$STATE/ports"
    load_pairs SECRETS "$STATE/secrets"
}

# Only one run at a time changes a stack.
lock_state() {
    mkdir -p "$STATE"
    while true; do
        exec {LOCK_FD}>>"$STATE/lock"
        if ! flock -n "$LOCK_FD"; then
            say "  waiting for another run that is changing this stack"
            flock -w 1800 "$LOCK_FD" || fail "another run has held $STATE/lock for half an hour; is it stuck?"
        fi
        # Whoever held it may have been "clean", which takes the file with it.
        # Zero by name: on the way out of a failed run, a bare return would return that run's failure.
        [[ $STATE/lock -ef /proc/self/fd/$LOCK_FD ]] && return 0
        exec {LOCK_FD}>&-
        mkdir -p "$STATE"
    done
}

unlock_state() {
    if [[ -n $LOCK_FD ]]; then
        exec {LOCK_FD}>&-
        LOCK_FD=
    fi
}

# write_private FILE : standard input becomes the file, whole or not at all, for its owner's eyes only.
write_private() {
    (
        umask 077
        cat >"$1.new"
        mv -f "$1.new" "$1"
    )
}

# --- "name value" files -------------------------------------------------------

declare -A PORTS=() SECRETS=()

load_pairs() {
    local -n pairs=$1
    local name value
    pairs=()
    [[ -e $2 ]] || return 0
    while read -r name value; do
        pairs[$name]=$value
    done <"$2"
}

save_pairs() {
    local -n pairs=$1
    local name
    for name in "${!pairs[@]}"; do
        printf '%s %s\n' "$name" "${pairs[$name]}"
    done | sort | write_private "$2"
}

# --- secrets ------------------------------------------------------------------

make_secrets() {
    local name fresh=no
    for name in postgres_superuser postgres_khata rabbitmq_khata erlang_cookie; do
        if [[ -z ${SECRETS[$name]:-} ]]; then
            SECRETS[$name]=$(random_hex 16)
            fresh=yes
        fi
    done
    [[ $fresh == yes ]] || return 0
    if [[ -e $STATE/postgres/data || -e $STATE/rabbitmq/mnesia ]]; then
        fail "$STATE/secrets is gone, and with it the passwords of the data beside it; 'make clean-local' starts over"
    fi
    save_pairs SECRETS "$STATE/secrets"
}

random_hex() { od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# --- ports --------------------------------------------------------------------

# choose_port NAME SERVICE : keeps the remembered port; a new one only if there is none, or a stranger sits on it.
choose_port() {
    local name=$1 service=$2 port=${PORTS[$1]:-}
    if [[ -n $port ]]; then
        if is_alive "$service"; then return 0; fi
        # A child of a killed service may still hold what it inherited; it is no stranger.
        stop_strays "$service"
        if ! port_is_taken "$port"; then return 0; fi
    fi
    PORTS[$name]=$(free_port)
    save_pairs PORTS "$STATE/ports"
}

# Below the range the kernel hands out to outgoing connections (from 32768), above what is well known.
free_port() {
    local tries port
    for ((tries = 0; tries < 1000; tries++)); do
        port=$((20000 + SRANDOM % 12000))
        [[ " ${PORTS[*]} " == *" $port "* ]] && continue
        port_is_taken "$port" && continue
        printf '%s' "$port"
        return
    done
    fail "no free port between 20000 and 32000"
}

# Read from the kernel's own tables: needs no tool, and connecting would not see who listens elsewhere than 127.0.0.1.
port_is_taken() {
    local hex
    printf -v hex '%04X' "$1"
    # Field 2 is the local address and port; state 0A is LISTEN.
    awk -v port=":$hex" '
        $4 == "0A" && substr($2, length($2) - 4) == port { taken = 1; exit }
        END { exit !taken }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# --- folders of the services that run as somebody else --------------------------

# service_folder NAME USER : prints the folder, made and owned by the user, where NAME keeps its data.
#
# Run by root, Postgres and RabbitMQ work as their own users, and a user can open a file only if it may pass through every
# folder above it. A checkout in root's home (mode 700) is out of their reach. Opening root's home to them would be
# no better, so the data then lies under /var/lib/khata-local and the state folder holds a link to it.
service_folder() {
    local name=$1 user=$2 place=$STATE/$1
    if [[ -L $place ]]; then
        place=$SHELTER/$name
    elif [[ ! -d $place ]]; then
        mkdir -m 700 "$place"
        if [[ -n $user ]]; then
            chown "$user:" "$place"
            if ! as_user "$user" test -w "$place"; then
                rmdir "$place"
                ln -s "$SHELTER/$name" "$place"
                place=$SHELTER/$name
            fi
        fi
    fi
    if [[ ! -d $place ]]; then
        mkdir -p "$SHELTER"
        chmod 755 "${SHELTER%/*}"
        chmod 711 "$SHELTER"
        printf '%s\n' "$STATE" >"$SHELTER/belongs-to"
        mkdir -m 700 "$place"
        chown "$user:" "$place"
    fi
    printf '%s' "$place"
}

# as_user USER COMMAND… : no USER means ourselves. setpriv replaces itself by the command, so process ids stay true.
as_user() {
    local user=$1
    shift
    if [[ -n $user ]]; then
        setpriv --reuid="$user" --regid="$user" --init-groups -- "$@"
    else
        "$@"
    fi
}

# Root lends its rights to nobody's database server; everybody else is its own service user.
service_user() {
    if ((EUID == 0)); then
        printf '%s' "$1"
    fi
}

remove_state() {
    local entry
    rm -rf -- "$SHELTER"
    rmdir --ignore-fail-on-non-empty -- "${SHELTER%/*}" 2>/dev/null || true
    # By name: a mistaken KHATA_LOCAL_DIR must not cost anybody a folder of their own.
    for entry in env keyring.json api-key ports secrets run logs postgres rabbitmq sandbox-ledger tools images/programs lock; do
        rm -rf -- "${STATE:?}/$entry" "${STATE:?}/$entry.new"
    done
    rmdir --ignore-fail-on-non-empty -- "$STATE/images" "$STATE" 2>/dev/null || true
}
