#!/usr/bin/env bash
# Runs the commands of docs/operations.md, "Point-in-time restore", on the stack of KHATA_LOCAL_DIR, and checks what Khata does with the
# validations of the minutes that are lost: begun before, begun within, and created within. make restore runs it on a new stack.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. e2e/pages.sh
export KHATA_SKIP_BUILD=1
stack=deploy/local/stack.sh
page=$(section docs/operations.md "### Point-in-time restore")
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT

fail() {
    printf 'restore: %s\n' "$*" >&2
    exit 1
}

# The role that may make base backups, for psql and pg_basebackup.
[[ $KHATA_OWNER_URL =~ ://khata:([^@]+)@([^:]+):([0-9]+)/ ]] || fail "KHATA_OWNER_URL is $KHATA_OWNER_URL"
export PGPASSWORD=${BASH_REMATCH[1]} PGHOST=${BASH_REMATCH[2]} PGPORT=${BASH_REMATCH[3]} PGUSER=khata_replication PGDATABASE=postgres
query() { psql --no-psqlrc --quiet --no-align --tuples-only --dbname "${2:-$KHATA_OWNER_URL}" --command "$1"; }
data=$(query 'show data_directory' postgres)
owner=$(stat -c %U "$data")
archive=${data%/*}/backup

# at_postgres COMMANDS : as the user that Postgres runs as.
at_postgres() {
    local as=()
    [[ $owner == "$(id -un)" ]] || as=(setpriv --reuid="$owner" --regid="$owner" --init-groups)
    (cd / && "${as[@]}" bash -euo pipefail -c "$1")
}

# commands NUMBER [LANGUAGE] : a block of the page, with the folder of this run.
commands() { block "$@" <<<"$page" | sed "s|/srv/khata-backup|$archive|g"; }

# stop NAME SIGNAL : ends a process of the stack.
stop() {
    local pid
    pid=$(sed -n "s/^export KHATA_PID_$1='\(.*\)'$/\1/p" "$KHATA_LOCAL_DIR/env")
    kill -s "$2" "$pid"
    # A zombie has no program.
    while readlink "/proc/$pid/exe" >/dev/null; do sleep 0.1; done
}

# A call that got 503 is made again, as merchants do.
call() { curl --silent --show-error --retry 5 --user "$KHATA_API_KEY:" "$@"; }

# create CUSTOMER FIRST : creates three accounts with numbers from FIRST on.
create() {
    local number
    for number in "$2"{1..3}; do
        call --fail-with-body "$KHATA_API_URL/customers/$1/accounts" -d ifsc=AABF0008032 -d account_number="$number" \
            -d beneficiary_name=test >/dev/null
    done
}

accounts_of() { call --fail-with-body "$KHATA_API_URL/customers/$1/customer-accounts/list"; }

# await NUMBER QUERY
await() {
    local deadline=$((SECONDS + 120))
    until [[ $(query "$2") == "$1" ]]; do
        ((SECONDS < deadline)) || fail "not $1 after two minutes: $2"
        sleep 0.2
    done
}
await_outcomes() { await 0 'select count(*) from validations where completed_at is null'; }

# pending MILLISECONDS : the time for which CASHFREE does not know an outcome.
pending() {
    curl --silent --show-error --fail-with-body --request PUT --json "{\"gateway\": \"CASHFREE\", \"pending_ms\": $1}" \
        "$KHATA_SANDBOX_URL/_sandbox/behaviour" >/dev/null
}

# references NAME CONDITION : of attempts t, of accounts a, to the file of this name.
references() {
    query "select t.reference from validation_attempts t join validations v on (v.merchant_id, v.id) = (t.merchant_id, t.validation_id)
        join customer_accounts a on (a.merchant_id, a.id) = (v.merchant_id, v.account_id) where $2 order by 1" >"$own/$1"
    [[ $(wc -l <"$own/$1") == 3 ]] || fail "three attempts are $1, not $(wc -l <"$own/$1")"
}

# finds RULE [FILE]… : the comparison of CASHFREE's statement finds exactly the references of these files by the rule.
finds() {
    awk -v rule="$1" '
        /^[a-z-]+: [0-9]+$/ { inside = $1 == rule ":" }
        inside && match($0, /kh[0-9a-v]+_[0-9][0-9]/) { print substr($0, RSTART, RLENGTH) }' "$own/comparison" | sort -u >"$own/found"
    sort -u "${@:2}" </dev/null | diff - "$own/found" >&2 || fail "$1 differs from ${*:2}: $(cat "$own/comparison")"
}

# compare CODE : the statement has every rupee that CASHFREE paid.
compare() {
    local code=0
    {
        echo reference,amount,time
        sed -nE 's/.*"at":"([^"]+)","gateway":"CASHFREE","reference":"([^"]+)".*/\2,1.00,\1/p' "$KHATA_LOCAL_DIR/sandbox-ledger"
    } >"$own/statement.csv"
    khata doctor --statement "$own/statement.csv" --gateway "$gateway" >"$own/comparison" || code=$?
    [[ $code == "$1" ]] || fail "khata doctor --statement ended with $code: $(cat "$own/comparison")"
}

gateway=$(khata gateway list --merchant local --json | sed -nE 's|.*/CASHFREE/webhooks/(gwa_[0-9a-v]+).*|\1|p')

echo "restore: the archive and the base backup"
at_postgres "mkdir -p '$archive/wal'"
commands 1 ini | at_postgres "cat >>'$data/postgresql.conf'"
stop POSTGRES INT
"$stack" services
create final 9100000
await_outcomes
# shellcheck disable=SC2016 # the page's own variable
at_postgres "$(commands 1)"$'\n''echo "$backup"' | tee "$own/printed"
backup=$(tail -n 1 "$own/printed")

echo "restore: accounts that are final, begun, and not begun at the moment"
create later 9200000
await_outcomes
pending 20000
create begun 9300000
await 3 "select count(*) from validation_attempts where state = 'PENDING'"
stop WORKER TERM
pending 0
create waiting 9400000
accounts_of later >"$own/later"
sleep 1
moment=$(query 'select now()')
sleep 1

echo "restore: the minutes after $moment"
"$stack" up
create lost 9500000
await_outcomes
cursor=$(call --fail-with-body "$KHATA_API_URL/events?after=latest" | grep -oE 'evt_[0-9a-v]+' | head -n 1)
references begun "t.started_at < '$moment' and t.settled_at > '$moment'"
references again "a.created_at < '$moment' and t.started_at > '$moment'"
references gone "a.created_at > '$moment'"
compare 0
last=$(query 'select pg_walfile_name(pg_switch_wal())' postgres)
until [[ $(query "select last_archived_wal >= '$last' from pg_stat_archiver" postgres) == t ]]; do sleep 0.2; done

echo "restore: back to the moment"
stop WORKER TERM
stop API TERM
stop POSTGRES QUIT
mv "$data" "$data.lost"
export backup moment
PGDATA=$data at_postgres "$(commands 2)"
"$stack" services
KHATA_DATABASE_URL=$KHATA_OWNER_URL bash -euo pipefail -c "$(commands 3)"
# Nothing was called since: the rupees of the lost minutes have no attempt.
compare 1
finds rupee-without-attempt "$own/again" "$own/gone"
finds rupees-of-one-reference

echo "restore: Khata goes on"
"$stack" up
await_outcomes
khata doctor
accounts_of later | diff - "$own/later" || fail "accounts that were final have changed"
[[ $(accounts_of lost) == *'"RESOURCE_NOT_FOUND"'* ]] || fail "an account of the lost minutes is there: $(accounts_of lost)"
[[ $(call "$KHATA_API_URL/events?after=$cursor") == *'"EVENT_NOT_KEPT"'* ]] || fail "a cursor of the lost minutes is accepted"
compare 1
finds rupee-without-attempt "$own/gone"
finds rupees-of-one-reference "$own/again"
while read -r reference; do
    [[ $(grep -c "$reference" "$own/statement.csv") == 1 ]] || fail "$reference was begun before the moment, and paid again"
done <"$own/begun"
echo "restore: 3 attempts that were begun paid once, 3 validations that were not begun paid again under their references, and the 3 rupees
of accounts that are gone; khata doctor --statement names each of the last six"
