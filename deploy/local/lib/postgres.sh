# shellcheck shell=bash
# The private Postgres: own data, own port, 127.0.0.1 only, roles with a password. Settings: postgres.conf.

# Prints the folder of the server's programs: of the version that created the data, else the newest installed.
postgres_bin() {
    local version
    version=$(cat "$DATA/postgres/data/PG_VERSION" 2>/dev/null ||
        compgen -G '/usr/lib/postgresql/*/bin/initdb' | cut -d/ -f5 | sort -V | tail -n 1)
    [[ -x /usr/lib/postgresql/$version/bin/postgres ]] && printf '/usr/lib/postgresql/%s/bin' "$version"
}

postgres_launch() {
    local bin user folder
    choose_ports postgres postgres
    bin=$(postgres_bin) || fail "no Postgres in /usr/lib/postgresql fits the data in $DATA/postgres"
    user=$(service_user postgres)
    folder=$(service_folder postgres "$user")
    if [[ ! -d $folder/data ]]; then
        step "creating a Postgres cluster" create_cluster
        # An API key is valid only for the database that holds it.
        rm -f "$STATE/api-key"
    fi
    # No process works in the data folder now, so that a lock file comes from a killed server. Postgres would
    # take the process that has its id today, or a zombie that still has it, for that server and not start.
    is_alive postgres || { stop_strays postgres && rm -f "$folder/data/postmaster.pid"; }
    (cd "$folder" && as_user "$user" tee data/khata.conf <"$REPOSITORY/deploy/local/postgres.conf" >/dev/null)
    is_alive postgres || [[ -e $folder/data/khata-roles-2 ]] || create_roles
    launch postgres "$user" "$folder" 0 HOME="$folder" \
        KHATA_LOCAL_CONFIG="$(sha256sum <"$REPOSITORY/deploy/local/postgres.conf")" \
        "$bin/postgres" -D "$folder/data" -c port="${PORTS[postgres]}"
}

# Creates the cluster, the services' role and their database, and then moves them to their place: an
# interrupted run leaves no incomplete cluster. The superuser has no password and cannot connect. CREATEDB is
# for tests, which clone a template database each.
create_cluster() {
    (
        cd "$folder"
        rm -rf data.new
        as_user "$user" env -u PGDATA "$bin/initdb" --pgdata data.new --username postgres --encoding UTF8 \
            --locale C.UTF-8 --auth-host scram-sha-256 --auth-local reject &&
            as_user "$user" "$bin/postgres" --single -D data.new postgres <<SQL &&
create role khata login createdb password '${SECRETS[postgres]}'
create database khata owner khata
SQL
            say "include 'khata.conf'" | as_user "$user" tee -a data.new/postgresql.conf >/dev/null &&
            mv data.new data
    ) </dev/null >>"$STATE/logs/postgres.log" 2>&1 || fail "the Postgres cluster was not created." postgres
}

# Creates the roles of the API, the workers and the operator's commands; "khata migrate" grants their rights. They
# are separate by their rights only: the stack holds no real data, and one password serves all.
create_roles() {
    local role
    (
        cd "$folder"
        {
            for role in khata_api khata_worker khata_operator; do
                say "create role $role login password '${SECRETS[postgres]}'"
            done
            # For a standby (standby.sh).
            say "create role khata_replication replication login password '${SECRETS[postgres]}' in role pg_monitor"
            say 'grant execute on function pg_switch_wal() to khata_replication'
            # For a test: has the rights of a managed Postgres's master user, who is no superuser.
            say "create role khata_master login createrole createdb password '${SECRETS[postgres]}'"
        } | as_user "$user" "$bin/postgres" --single -D data postgres &&
            as_user "$user" touch data/khata-roles-2
    ) >>"$STATE/logs/postgres.log" 2>&1 || fail "the roles of Postgres were not created." postgres
}

# Connects as the tables' owner does.
postgres_ready() { psql --command 'select 1' >/dev/null 2>&1; }

psql() {
    (
        # The user's settings for other servers must not apply here.
        unset PGSERVICE PGOPTIONS PGHOSTADDR PGSSLMODE PGPASSFILE
        export PGPASSWORD=${SECRETS[postgres]} PGCONNECT_TIMEOUT=5
        exec "$(postgres_bin)/psql" --host 127.0.0.1 --port "${PORTS[postgres]}" -U khata -d khata "$@"
    )
}
