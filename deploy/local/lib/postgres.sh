# The private Postgres: own data, own port, 127.0.0.1 only, everybody needs a password.
# As durable as production (fsync and synchronous_commit on), so that what is measured here means something.

# The folder of the server's programs: of the version that made our data, else the newest there is.
postgres_bin() {
    local version=
    if [[ -r $STATE/postgres/data/PG_VERSION ]]; then
        version=$(<"$STATE/postgres/data/PG_VERSION")
    else
        version=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | cut -d/ -f5 | sort -V | tail -n 1) || true
    fi
    [[ -n $version && -x /usr/lib/postgresql/$version/bin/postgres ]] || return 1
    printf '/usr/lib/postgresql/%s/bin' "$version"
}

postgres_launch() {
    local bin user folder
    choose_port postgres postgres
    bin=$(postgres_bin) || fail "no Postgres under /usr/lib/postgresql fits the data in $STATE/postgres"
    user=$(service_user postgres)
    folder=$(service_folder postgres "$user")
    if [[ ! -d $folder/data ]]; then
        step "making a Postgres cluster" make_cluster "$bin" "$user" "$folder"
        # A key is good only for the database that it was issued in.
        rm -f "$STATE/api-key"
    fi
    # shellcheck disable=SC2034 # launch takes it by name
    local -a settings=(LANG=C.UTF-8 HOME="$folder" KHATA_LOCAL_CONFIG="$(postgres_config "$folder" | sha256sum)")
    if ! is_alive postgres; then
        stop_strays postgres
        # Nobody works in the data folder any more, so lock files are of a server that was killed. Postgres would take
        # whoever has its process id now, or a zombie that still has it, for that server, and refuse to start.
        rm -f "$folder/data/postmaster.pid" "$folder"/.s.PGSQL.*
    fi
    # By the user itself: the folder is not ours to write in, and need not be.
    postgres_config "$folder" | (cd "$folder" && as_user "$user" tee data/khata.conf >/dev/null)
    launch postgres "$user" "$folder" 0 settings "$bin/postgres" -D "$folder/data"
}

# Made beside its place and moved there when whole: an interrupted first run leaves nothing half-made.
make_cluster() {
    local bin=$1 user=$2 folder=$3
    rm -rf "$folder/data.new"
    (
        cd "$folder"
        umask 077
        printf '%s\n' "${SECRETS[postgres_superuser]}" | as_user "$user" tee superuser-password >/dev/null
        as_user "$user" env -u PGDATA "$bin/initdb" --pgdata data.new --username postgres --pwfile superuser-password \
            --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 >>"$STATE/logs/postgres.log" 2>&1 </dev/null ||
            fail_with_log postgres "could not be set up"
        rm -f superuser-password
        # After what initdb found out about the machine, ours.
        printf "include 'khata.conf'\n" | as_user "$user" tee -a data.new/postgresql.conf >/dev/null
        mv data.new data
    )
}

postgres_config() {
    local socket=$1
    # The kernel allows a socket's path 107 characters, and the setting is a list with quotes and commas of its own.
    # It is a convenience: the services connect by TCP.
    [[ ${#socket} -lt 80 && $socket =~ ^[A-Za-z0-9/._+-]+$ ]] || socket=
    cat <<CONFIG
# Written by deploy/local on every start.
listen_addresses = '127.0.0.1'
port = ${PORTS[postgres]}
unix_socket_directories = '$socket'
unix_socket_permissions = 0700
max_connections = 100
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'

# Nothing is traded for speed.
fsync = on
synchronous_commit = on
full_page_writes = on

shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 64MB
wal_buffers = 16MB
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 10min
checkpoint_completion_target = 0.9
random_page_cost = 1.1

# Statements that are slow are named, their values never: they may be somebody's.
log_line_prefix = '%m [%p] %a '
log_min_duration_statement = 500
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_lock_waits = on
CONFIG
}

postgres_await() { await postgres 120 postgres_answers; }

postgres_answers() {
    "$(postgres_bin)/pg_isready" --quiet --host 127.0.0.1 --port "${PORTS[postgres]}" --timeout 2
}

# The services' own role and database. CREATEDB, for tests that clone a template database each.
postgres_prepare() {
    query khata khata 'select 1' >/dev/null 2>&1 && return
    query postgres postgres >/dev/null <<SQL
do \$\$
begin
    if not exists (select from pg_roles where rolname = 'khata') then
        create role khata login createdb;
    end if;
end \$\$;
alter role khata password '${SECRETS[postgres_khata]}';
select 'create database khata owner khata' where not exists (select from pg_database where datname = 'khata') \gexec
SQL
    query khata khata 'select 1' >/dev/null
}

# query ROLE DATABASE [SQL] : SQL from standard input if it is not given.
query() {
    local role=$1 database=$2
    shift 2
    psql_as "$role" "$database" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 ${1:+--command "$1"}
}

psql_as() {
    local role=$1 database=$2 secret=postgres_khata
    shift 2
    [[ $role == khata ]] || secret=postgres_superuser
    # A person's own settings for their own servers must not lead elsewhere.
    (
        unset PGSERVICE PGOPTIONS PGHOSTADDR PGSSLMODE PGPASSFILE
        export PGPASSWORD=${SECRETS[$secret]} PGCONNECT_TIMEOUT=5
        exec "$(postgres_bin)/psql" --host 127.0.0.1 --port "${PORTS[postgres]}" --username "$role" --dbname "$database" "$@"
    )
}
