#!/usr/bin/env bash
# Runs the commands of README.md, "A first request", as a reader pastes them, and the programs of docs/quickstart.md, on the stack that
# runs in KHATA_LOCAL_DIR.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. e2e/pages.sh
# The folder that README.md names .local.
local=$(realpath "${KHATA_LOCAL_DIR:-.local}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$local" "$folder/.local"

fail() {
    printf 'first hour: %s\n' "$*" >&2
    exit 1
}

# clean COMMAND… : without settings, proxies and programs of the caller's shell, as in a new terminal.
clean() { (cd "$folder" && exec env -i HOME="$folder" PATH="$path" LC_ALL=C.UTF-8 "$@"); }

# README.md, in one shell as pasted, then again. The outcome comes a moment later.
path=/usr/local/bin:/usr/bin:/bin
create=$(section README.md "## A first request" | block 1)
show=$(section README.md "## A first request" | block 2)
cat >"$folder/readme.sh" <<SCRIPT
$create
until { $show
} >outcome && grep -q '"status":"ACTIVE"' outcome; do
    ((SECONDS < 60)) || { cat outcome; exit 1; }
    sleep 0.2
done
khata account show "\$account" && khata-api healthcheck && khata-worker healthcheck && command -v khata-sandbox
SCRIPT
for time in first second; do
    clean bash readme.sh >"$folder/printed" 2>&1 || { cat "$folder/printed" && fail "README.md, the $time time"; }
    grep -q '"object":"customer_account"' "$folder/printed" || { cat "$folder/printed" && fail "README.md created no account"; }
done
echo "README.md: the commands work, also the second time"

# The quickstarts: as printed, and with a reply that comes before the outcome, each for a customer of its own; with a key that is refused,
# and without a server, they fail and say so.
path=$PATH
for language in Python Node.js PHP Java Go; do
    part=$(section docs/quickstart.md "## $language")
    command=$(block 1 <<<"$part")
    program=${command%% *} file=${command##* }
    command -v "${program/%java/javac}" >/dev/null || fail "$program is not installed; say: e2e/tools.sh"
    code=$(block 1 'python|js|php|java|go' <<<"$part")
    for wait in 10 0; do
        sed -E "s/customer_1122/first_hour_${program}_$wait/; s/(wait_seconds[^0-9]*)10/\1$wait/" <<<"$code" >"$folder/$file"
        grep -q "first_hour_${program}_$wait" "$folder/$file" || fail "$language has no customer_1122"
        grep -qE "wait_seconds[^0-9]*$wait\b" "$folder/$file" || fail "$language has no wait_seconds=10"
        printed=$(clean bash -c ". .local/env; $command" 2>&1) || fail "$language: $printed"
        [[ $printed =~ ^ACTIVE\ banh_[0-9a-v]{26}:\ TEST,\ DIRECT_MATCH$ ]] || fail "$language printed: $printed"
    done
    for refused in 'KHATA_API_KEY=kh_test_wrong#401: Unauthorized' 'KHATA_API_URL=http://127.0.0.1:1999#refused|ECONN|ConnectException'; do
        printed=$(clean bash -c ". .local/env; export ${refused%%#*}; $command" 2>&1) && fail "$language succeeded with ${refused%%#*}: $printed"
        [[ $printed =~ ${refused#*#} && $printed != *"<nil>"* ]] || fail "$language printed with ${refused%%#*}: $printed"
    done
    echo "$language: the quickstart works"
done
