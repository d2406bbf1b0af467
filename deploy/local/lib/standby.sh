# shellcheck shell=bash
# A synchronous standby of the private Postgres, which can take its place, for the faults of make chaos. It has a port of its own.
# The data may lie on a file system of a limited size, which can be filled.

# standby ACTION [SIZE] : see the usage of stack.sh.
standby() {
    local bin user folder
    bin=$(postgres_bin) || fail "no Postgres in /usr/lib/postgresql fits the data in $DATA/postgres"
    user=$(service_user postgres)
    folder=$DATA/standby
    case ${1:-} in
        add)
            step "adding a standby of Postgres" add_standby "${2:-}"
            write_env
            ;;
        promote) promote_standby ;;
        fill) fill_standby ;;
        use-up-wal) use_up_wal ;;
        free)
            rm -f -- "$folder/ballast"
            start standby
            ;;
        remove) remove_standby ;;
        *) usage >&2 ;;
    esac
}

# The primary waits for the standby only after the standby has all earlier changes.
add_standby() {
    remove_standby
    choose_ports standby standby
    service_folder standby "$user" >/dev/null
    [[ -z $1 ]] || mount -t tmpfs -o "size=$1,mode=700,uid=$(id -u "${user:-$EUID}")" khata-standby "$folder" 2>/dev/null ||
        fail "no file system can be mounted on $folder: it needs root's rights"
    (
        cd "$folder"
        as_replication as_user "$user" "$bin/pg_basebackup" --pgdata data --checkpoint fast --wal-method stream \
            --write-recovery-conf --dbname "$(replication_of postgres) application_name=standby"
    ) </dev/null >>"$STATE/logs/standby.log" 2>&1 || fail "the standby was not created." standby
    standby_launch
    await standby
    await_replication "state = 'streaming'"
    synchronous standby
    await_replication "sync_state = 'sync'"
}

standby_launch() {
    is_alive standby || { stop_strays standby && rm -f "$folder/data/postmaster.pid"; }
    # Little WAL, in new files each time: its file system may be small, and when it is full, no old file serves again.
    launch standby "$user" "$folder" 0 HOME="$folder" "$bin/postgres" -D "$folder/data" \
        -c port="${PORTS[standby]}" -c min_wal_size=32MB -c max_wal_size=64MB -c wal_recycle=off
}

standby_ready() { psql --port "${PORTS[standby]}" --command 'select 1' >/dev/null 2>&1; }

replication_of() { say "host=127.0.0.1 port=${PORTS[$1]} user=khata_replication dbname=postgres"; }

at_standby() { as_replication "$bin/psql" "$@" "$(replication_of standby)"; }

as_replication() {
    (
        unset PGSERVICE PGOPTIONS PGHOSTADDR PGSSLMODE PGPASSFILE PGDATA
        export PGPASSWORD=${SECRETS[postgres]} PGCONNECT_TIMEOUT=5
        "$@"
    )
}

# await_replication CONDITION : until the primary reports it of its standby.
await_replication() {
    local deadline=$((SECONDS + 60))
    until [[ $(as_replication "$bin/psql" -Atc "select count(*) from pg_stat_replication where $1" \
        "$(replication_of postgres)" 2>/dev/null) == 1 ]]; do
        ((SECONDS < deadline)) || fail "the standby has no $1 after a minute." standby
        sleep 0.1
    done
}

promote_standby() {
    (cd "$folder" && as_user "$user" "$bin/pg_ctl" promote --pgdata data --timeout 60) \
        >>"$STATE/logs/standby.log" 2>&1 || fail "the standby was not promoted." standby
}

# No table can grow any more. The first connection to a database writes a file, without which no other one succeeds.
fill_standby() {
    at_standby -c 'select 1' >/dev/null 2>&1 || true
    mountpoint -q "$folder" || fail "$folder is no file system of its own: add the standby with a size"
    dd if=/dev/zero bs=64k 2>/dev/null >>"$folder/ballast" || true
}

# Begins one file of WAL after another, until Postgres ends because it cannot make the next one.
use_up_wal() {
    local switches=0
    while ((switches++ < 50)) && is_alive standby; do
        at_standby -c 'select pg_current_xact_id()' -c 'select pg_switch_wal()' >/dev/null 2>&1 || true
        # A checkpoint removes old files.
        fill_standby
        sleep 0.1
    done
    ! is_alive standby || fail "Postgres did not end, although its file system is full." standby
}

# synchronous [NAME] : the primary waits for the standby NAME, or for none.
synchronous() {
    {
        cat "$REPOSITORY/deploy/local/postgres.conf"
        say "synchronous_standby_names = '${1:-}'"
    } | as_user "$user" tee "$DATA/postgres/data/khata.conf" >/dev/null
    ! is_alive postgres || kill -s HUP "${RECORD[0]}"
}

remove_standby() {
    synchronous
    stop standby
    ! mountpoint -q "$folder" || umount "$folder"
    rm -rf -- "$folder"
}
