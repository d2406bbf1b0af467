# Khata itself: built, started, and given the local merchant with its key and gateway accounts.

PROFILE=${KHATA_PROFILE:-dev}
case $PROFILE in
    dev) PROGRAMS=${CARGO_TARGET_DIR:-$REPOSITORY/target}/debug ;;
    release) PROGRAMS=${CARGO_TARGET_DIR:-$REPOSITORY/target}/release ;;
    *) fail "KHATA_PROFILE is dev or release, not '$PROFILE'" ;;
esac

build() {
    local began=$EPOCHREALTIME
    [[ ${KHATA_SKIP_BUILD:-} != 1 ]] || return 0
    say "  building Khata ($PROFILE)"
    # Cargo tells its own progress. It must not inherit the lock: a compiler daemon would keep it.
    (
        cd "$REPOSITORY"
        cargo build --workspace --bins --profile "$PROFILE" {LOCK_FD}>&-
    ) || fail "the build failed"
    say "  built in $(seconds_since "$began") s"
}

choose_khata_ports() {
    choose_port api api
    choose_port metrics api
    choose_port worker worker
    choose_port sandbox sandbox
    choose_port traces traces
    choose_port otlp traces
}

# --- settings: what every process of Khata is told; each takes what it knows -----------

# What whoever runs this wants otherwise than by default: KHATA_LOG, KHATA_TRACES_PER_SECOND, KHATA_WORKER_CONCURRENCY, …
# Not where things are: that is ours to say, and may be in their environment only from a sourced .local/env.
mapfile -t TUNING < <(env | grep -E '^KHATA_(LOG|(API|WORKER|SCHEDULER|SANDBOX|TRACES)_[A-Z_]+)=' |
    grep -vE '^[A-Z_]+_(URL|KEY|LISTEN|MODE|LEDGER)=' | sort)

database_url() { printf 'postgres://khata:%s@127.0.0.1:%s/khata' "${SECRETS[postgres_khata]}" "${PORTS[postgres]}"; }
amqp_url() { printf 'amqp://khata:%s@127.0.0.1:%s/khata' "${SECRETS[rabbitmq_khata]}" "${PORTS[rabbitmq]}"; }
url_of() { printf 'http://127.0.0.1:%s' "${PORTS[$1]}"; }

khata_settings() {
    local -n into=$1
    into=(
        LANG=C.UTF-8
        HOME="$HOME"
        "${TUNING[@]}"
        KHATA_DATABASE_URL="$(database_url)"
        KHATA_AMQP_URL="$(amqp_url)"
        KHATA_KEYRING_FILE="$STATE/keyring.json"
        KHATA_QUEUE_PREFIX=khata
        KHATA_SANDBOX_MODE=true
        OTEL_EXPORTER_OTLP_ENDPOINT="$(url_of otlp)"
    )
}

# --- processes ---------------------------------------------------------------------------

sandbox_and_traces_launch() {
    # shellcheck disable=SC2034 # launch takes them by name
    local -a traces=(
        LANG=C.UTF-8 HOME="$HOME"
        KHATA_TRACES_LISTEN="127.0.0.1:${PORTS[traces]}"
        KHATA_TRACES_OTLP_LISTEN="127.0.0.1:${PORTS[otlp]}"
    )
    # shellcheck disable=SC2034
    local -a sandbox=(
        LANG=C.UTF-8 HOME="$HOME" "${TUNING[@]}"
        KHATA_SANDBOX_LISTEN="127.0.0.1:${PORTS[sandbox]}"
        KHATA_SANDBOX_LEDGER="$STATE/sandbox-ledger"
    )
    launch traces '' "$STATE" 0 traces "$PROGRAMS/khata-traces"
    # It stands in for somebody else's machines: here it takes what Khata leaves.
    launch sandbox '' "$STATE" 10 sandbox "$PROGRAMS/khata-sandbox"
}

services_launch() {
    local -a settings
    khata_settings settings
    # shellcheck disable=SC2034 # launch takes them by name
    local -a api=("${settings[@]}" KHATA_LISTEN="127.0.0.1:${PORTS[api]}" KHATA_METRICS_LISTEN="127.0.0.1:${PORTS[metrics]}")
    # A short lease, so that what a killed worker held is rescued in seconds; production's default is 30.
    # shellcheck disable=SC2034
    local -a worker=(KHATA_WORKER_LEASE_SECONDS=10 "${settings[@]}" KHATA_WORKER_LISTEN="127.0.0.1:${PORTS[worker]}")
    launch api '' "$STATE" 0 api "$PROGRAMS/khata-api" serve
    # On one machine both want the same cores, and accepting comes before validating: what is accepted is safe in
    # Postgres and can wait, a merchant's request cannot. In production they are apart, and the worker needs no nice.
    launch worker '' "$STATE" 10 worker "$PROGRAMS/khata-worker"
}

sandbox_await() { await sandbox 30 http_ok "${PORTS[sandbox]}" /_sandbox/health; }
traces_await() { await traces 30 http_ok "${PORTS[traces]}" /api/services; }
api_await() { await api 60 http_ok "${PORTS[api]}" /health/ready; }
worker_await() { await worker 60 http_ok "${PORTS[worker]}" /health/ready; }

# --- the local merchant --------------------------------------------------------------------
# Every part may be run again, so a first run that was cut short is finished by the next one.

prepare_merchant() {
    make_keyring
    admin migrate >/dev/null
    # Limits that a demonstration, a measurement and a day of trying things do not meet.
    admin merchant create --name local --if-absent --json >/dev/null
    admin merchant set --merchant local --requests-per-second 1000000 --validations-per-account-per-day 32767 \
        --json >/dev/null
    add_gateways
    issue_key
}

# An account at each gateway of the sandbox, and their call-backs to the API.
add_gateways() {
    with_settings "$REPOSITORY/deploy/sandbox/gateways.sh" local "$(url_of sandbox)" "$(url_of api)" "$PROGRAMS/khata-api" ||
        fail_with_log setup "could not give the local merchant its gateways"
}

make_keyring() {
    [[ ! -s $STATE/keyring.json ]] || return 0
    admin keyring generate | write_private "$STATE/keyring.json"
    # Keys are stored hashed with the keyring's own: a new one knows none of them.
    rm -f "$STATE/api-key"
}

# It is shown only once, when it is issued. One that was issued but not kept is of no use to anybody.
issue_key() {
    local answer key
    [[ ! -s $STATE/api-key ]] || return 0
    answer=$(admin key issue --merchant local --json)
    key=$(sed -n 's/.*"key" *: *"\([^"]*\)".*/\1/p' <<<"$answer")
    [[ -n $key ]] || fail "khata-api key issue answered without a key"
    printf '%s\n' "$key" | write_private "$STATE/api-key"
}

admin() {
    with_settings "$PROGRAMS/khata-api" "$@" || fail_with_log setup "could not do 'khata-api $1${2:+ $2}'"
}

# with_settings COMMAND… : with the services' settings, through the environment and not where others can see them.
with_settings() {
    local -a settings
    khata_settings settings
    (
        replace_environment "${settings[@]}"
        exec "$@" 2>>"$STATE/logs/setup.log"
    )
}
