# shellcheck shell=bash
# Sourced first by each script that works on a local stack: system checks, progress, the rest of this folder.

if [[ $(uname -s) != Linux ]]; then
    echo "khata: the local stack needs Linux. On macOS or Windows, use compose (docs/deployment.md), or a virtual machine of Debian" >&2
    exit 1
fi
# CI may close standard input. The next file that a script opens must not take the free descriptor.
{ : <&0; } 2>/dev/null || exec </dev/null
export LC_ALL=C.UTF-8 HOME=${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

LIBRARY=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
REPOSITORY=${LIBRARY%/deploy/local/lib}

say() { printf '%s\n' "$*"; }

# Before a message while a step's line is half-written.
END_OF_STEP=

# fail MESSAGE [LOG] : ends the run. Prints the last lines of logs/LOG.log if a log is named.
fail() {
    printf '%skhata: %s\n' "$END_OF_STEP" "$1" >&2
    if [[ -n ${2:-} ]]; then
        printf 'The last lines of %s:\n' "$STATE/logs/$2.log" >&2
        tail -n 20 "$STATE/logs/$2.log" 2>/dev/null | sed 's/^/    /' >&2
    fi
    exit 1
}

# step TITLE COMMAND… : prints one line, completed with the seconds since BEGAN or since now.
step() {
    local began=${BEGAN:-$EPOCHREALTIME}
    printf '  %s … ' "$1"
    END_OF_STEP=$'\n'
    "${@:2}"
    END_OF_STEP=
    say "$(seconds_since "$began") s"
}

# Seconds with one decimal since an earlier $EPOCHREALTIME.
seconds_since() {
    local tenths=$(((${EPOCHREALTIME/./} - ${1/./}) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

. "$LIBRARY/state.sh"
. "$LIBRARY/process.sh"
. "$LIBRARY/install.sh"
. "$LIBRARY/postgres.sh"
. "$LIBRARY/standby.sh"
. "$LIBRARY/rabbitmq.sh"
. "$LIBRARY/khata.sh"
