# shellcheck shell=bash
# Khata: built, started, and given the merchant "local" with an API key and gateway accounts.

PROFILE=${KHATA_PROFILE:-dev}
[[ $PROFILE == dev || $PROFILE == release ]] || fail "KHATA_PROFILE must be dev or release, not '$PROFILE'"
PROGRAMS=$(cd "$REPOSITORY" && realpath -m -- "${CARGO_TARGET_DIR:-target}/${PROFILE/dev/debug}")

# The caller's choices: KHATA_LOG, KHATA_TRACES_PER_SECOND, KHATA_OPERATOR_ALERTS_URL, … Not the stack's own addresses, keys and
# modes, which are in the caller's environment if it sourced .local/env, nor what only scripts, tests and the operator's commands
# read. A setting of the services is passed on unless it is one of these: a test compares the list with docs/settings.md.
NOT_PASSED_ON='KHATA_(LOCAL_DIR|PROFILE|SKIP_BUILD|ACTOR|TIMEZONE|WEBHOOK_SECRET|TEST_[A-Z_]+|PID_[A-Z_]+|PORT_[A-Z_]+'
NOT_PASSED_ON+='|(OWNER|DATABASE|AMQP|API|METRICS|WORKER|SANDBOX|TRACES)_URL|API_KEY|KEYRING|KEYRING_FILE|QUEUE_PREFIX'
NOT_PASSED_ON+='|SANDBOX_MODE|SANDBOX_LEDGER|([A-Z]+_)*LISTEN|METRICS_PORT_FILE)'
mapfile -t TUNING < <(env | grep -E '^KHATA_[A-Z_]+=' | grep -vE "^$NOT_PASSED_ON=" | sort)

build() {
    [[ ${KHATA_SKIP_BUILD:-} != 1 ]] || return 0
    say "  building Khata ($PROFILE)"
    # Cargo must not inherit the lock: a compiler daemon that it starts would keep it.
    (cd "$REPOSITORY" && cargo build --workspace --bins --profile "$PROFILE" {LOCK_FD}>&-) ||
        fail "the build failed"
}

address_of() { printf '127.0.0.1:%s' "${PORTS[$1]}"; }
# database_url [ROLE] : the owner of the tables is "khata".
database_url() {
    printf 'postgres://%s:%s@%s/khata' "${1:-khata}" "${SECRETS[postgres]}" "$(address_of postgres)"
}
amqp_url() { printf 'amqp://khata:%s@%s/khata' "${SECRETS[rabbitmq]}" "$(address_of rabbitmq)"; }
url_of() { printf 'http://%s' "$(address_of "$1")"; }

choose_khata_ports() {
    choose_ports api api metrics
    choose_ports worker worker
    choose_ports sandbox sandbox
    choose_ports traces traces otlp
    SETTINGS=(
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

traces_launch() {
    launch traces '' "$STATE" 0 HOME="$HOME" KHATA_TRACES_LISTEN="$(address_of traces)" \
        KHATA_TRACES_OTLP_LISTEN="$(address_of otlp)" \
        ${KHATA_TRACES_MEMORY_BYTES:+KHATA_TRACES_MEMORY_BYTES="$KHATA_TRACES_MEMORY_BYTES"} "$PROGRAMS/khata-traces"
}

# On one machine the services want the same cores. Accepting has priority over validating: an accepted account
# is safe in Postgres and can wait, a merchant's request cannot. The sandbox gets the rest.
sandbox_launch() {
    launch sandbox '' "$STATE" 10 HOME="$HOME" "${TUNING[@]}" KHATA_SANDBOX_LISTEN="$(address_of sandbox)" \
        KHATA_SANDBOX_LEDGER="$STATE/sandbox-ledger" "$PROGRAMS/khata-sandbox"
}

api_launch() {
    launch api '' "$STATE" 0 "${SETTINGS[@]}" KHATA_LISTEN="$(address_of api)" \
        KHATA_METRICS_LISTEN="$(address_of metrics)" KHATA_DATABASE_URL="$(database_url khata_api)" \
        "$PROGRAMS/khata-api" serve
}

# A lease of 10 s, so that a killed worker's validations are rescued in seconds. Production's default is 30 s.
worker_launch() {
    launch worker '' "$STATE" 10 KHATA_WORKER_LEASE_SECONDS=10 "${SETTINGS[@]}" \
        KHATA_WORKER_LISTEN="$(address_of worker)" KHATA_DATABASE_URL="$(database_url khata_worker)" \
        "$PROGRAMS/khata-worker"
}

sandbox_ready() { http_ok "${PORTS[sandbox]}" /_sandbox/health; }
traces_ready() { http_ok "${PORTS[traces]}" /api/services; }
api_ready() { http_ok "${PORTS[api]}" /health/ready; }
worker_ready() { http_ok "${PORTS[worker]}" /health/ready; }

# Each part can run again, so that the next run completes an interrupted one.
prepare_merchant() {
    local key
    if [[ ! -s $STATE/keyring.json ]]; then
        khata keyring generate | write_private "$STATE/keyring.json"
        # The keyring's own key hashes API keys: a new keyring knows no old API key.
        rm -f "$STATE/api-key"
    fi
    ROLE=khata khata migrate >/dev/null
    # With limits that a demonstration, a measurement or a day of trials does not reach. An existing merchant keeps its own.
    khata merchant create --name local --if-absent --requests-per-second 1000000 \
        --validations-per-account-per-day 32767 --penny-drops-per-day 1000000000 --json >/dev/null
    # An account at each gateway of the sandbox, and the gateways' webhooks to the API.
    with_settings "$REPOSITORY/deploy/sandbox/gateways.sh" local "$(url_of sandbox)" "$(url_of api)" \
        "$PROGRAMS/khata" || fail "the merchant local did not get its gateway accounts." setup
    # Khata shows a key only once, when it issues it. A key that was lost before it was stored cannot be used.
    if [[ ! -s $STATE/api-key ]]; then
        key=$(khata key issue --merchant local --json | sed -n 's/.*"key" *: *"\([^"]*\)".*/\1/p')
        [[ -n $key ]] || fail "khata key issue printed no key"
        say "$key" | write_private "$STATE/api-key"
    fi
}

khata() { with_settings "$PROGRAMS/khata" "$@" || fail "'khata $1${2:+ $2}' failed." setup; }

# with_settings COMMAND… : with the services' settings in the environment, where other users cannot read them,
# and the operator's role in the database, or ROLE.
with_settings() {
    (
        # The name in the audit log.
        replace_environment LANG=C.UTF-8 "${SETTINGS[@]}" KHATA_ACTOR="${KHATA_ACTOR:-stack.sh}" \
            KHATA_DATABASE_URL="$(database_url "${ROLE:-khata_operator}")"
        exec "$@" 2>>"$STATE/logs/setup.log"
    )
}

# .local/env: settings for clients, tests and operators, to be sourced by a shell.
write_env() {
    local name
    {
        printf '# Written by deploy/local/stack.sh. To use this stack:  . %s\n' "$STATE/env"
        # shellcheck disable=SC2016 # the shell that sources the file expands it
        printf 'export PATH=%q:"$PATH"\n' "$PROGRAMS"
        # Tests and benchmarks create databases, and "khata migrate" changes tables: they need the owner's URL.
        variables KHATA_LOCAL_DIR "$STATE" KHATA_OWNER_URL "$(database_url)" \
            KHATA_DATABASE_URL "$(database_url khata_operator)" KHATA_AMQP_URL "$(amqp_url)"
        if is_alive api && [[ -s $STATE/api-key ]]; then
            variables KHATA_API_URL "$(url_of api)" KHATA_API_KEY "$(<"$STATE/api-key")" \
                KHATA_METRICS_URL "$(url_of metrics)/metrics" KHATA_WORKER_URL "$(url_of worker)" \
                KHATA_SANDBOX_URL "$(url_of sandbox)" KHATA_TRACES_URL "$(url_of traces)"
            # "khata" then needs no other settings, and "khata-api healthcheck" asks the running API. One more khata-api or
            # khata-worker needs addresses of its own and the URL of its role (docs/commands.md).
            variables KHATA_KEYRING_FILE "$STATE/keyring.json" KHATA_QUEUE_PREFIX khata \
                KHATA_SANDBOX_MODE true KHATA_LISTEN "$(address_of api)" KHATA_WORKER_LISTEN "$(address_of worker)" \
                KHATA_METRICS_LISTEN 127.0.0.1:0 OTEL_EXPORTER_OTLP_ENDPOINT "$(url_of otlp)"
        fi
        for name in "${SERVICES[@]}" "${SPARES[@]}"; do
            ! is_alive "$name" ||
                variables "KHATA_PID_${name^^}" "${RECORD[0]}" "KHATA_PORT_${name^^}" "${PORTS[$name]:-}"
        done
    } | write_private "$STATE/env"
}

# variables [NAME VALUE]… : no value holds a single quote, as the state folder's name holds none.
variables() { printf "export %s='%s'\n" "$@"; }

# run_with_env COMMAND… : with .local/env, and with psql and pgbench of the stack's own Postgres.
run_with_env() {
    local bin
    [[ -e $STATE/env ]] || fail "$STATE/env is missing: run 'deploy/local/stack.sh up' first"
    bin=$(postgres_bin)
    (
        # shellcheck source=/dev/null
        . "$STATE/env"
        PATH=$bin:$PATH
        exec "$@"
    )
}
