# .local/env: what a client, a test or a person needs to use the stack, to be sourced by a shell.

write_env() {
    {
        printf '# Written by deploy/local/stack.sh. To use it:  . %s\n' "$STATE/env"
        line KHATA_LOCAL_DIR "$STATE"
        line KHATA_DATABASE_URL "$(database_url)"
        line KHATA_AMQP_URL "$(amqp_url)"
        if is_alive api && [[ -s $STATE/api-key ]]; then
            line KHATA_API_URL "$(url_of api)"
            line KHATA_API_KEY "$(<"$STATE/api-key")"
            line KHATA_METRICS_URL "$(url_of metrics)/metrics"
            line KHATA_WORKER_URL "$(url_of worker)"
            line KHATA_SANDBOX_URL "$(url_of sandbox)"
            line KHATA_TRACES_URL "$(url_of traces)"
            printf '# The rest of what one more khata-worker needs, so that it can be started by its name alone.\n'
            line KHATA_KEYRING_FILE "$STATE/keyring.json"
            line KHATA_QUEUE_PREFIX khata
            line KHATA_SANDBOX_MODE true
            line KHATA_WORKER_LISTEN 127.0.0.1:0
            line KHATA_METRICS_LISTEN 127.0.0.1:0
            line OTEL_EXPORTER_OTLP_ENDPOINT "$(url_of otlp)"
        fi
        printf '# Processes.\n'
        for name in "${STOPPING_ORDER[@]}"; do
            if is_alive "$name"; then line "KHATA_PID_${name^^}" "$(pid_of "$name")"; fi
        done
    } | write_private "$STATE/env"
}

line() { printf "export %s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }

# run_with_env COMMAND… : as somebody who had sourced it; pgbench and psql of our Postgres's version on the path.
run_with_env() {
    local bin
    [[ -e $STATE/env ]] || fail "$STATE/env is not there: nothing has been started"
    bin=$(postgres_bin)
    (
        # shellcheck source=/dev/null
        . "$STATE/env"
        PATH=$bin:$PATH
        exec "$@"
    )
}
