# shellcheck shell=bash
# Processes: started in the background, identified without doubt, stopped gently.
#
# The kernel uses process ids again, so that an id alone proves nothing. A record, run/NAME, holds process id,
# start time (field 22 of /proc/PID/stat), the machine's boot id and a fingerprint of program and settings;
# the first three identify the process. A killed process's child is known by its KHATA_LOCAL_PROCESS.

declare -A LAUNCHED_AT=()
BOOT_ID=$(</proc/sys/kernel/random/boot_id)

# launch NAME USER FOLDER NICENESS [VARIABLE=VALUE]… COMMAND… : starts NAME unless it runs with this program
# and these settings. An empty USER is the current one. The process gets these variables, PATH, and no others.
launch() {
    local name=$1 user=$2 folder=$3 niceness=$4 arguments=$* setting fingerprint started
    local -a environment=(LANG=C.UTF-8 "KHATA_LOCAL_PROCESS=$STATE#$name")
    shift 4
    while [[ $1 == [A-Z]*=* ]]; do
        environment+=("$1")
        shift
    done
    [[ -x $1 ]] || fail "$1 is missing"
    # A service reads its keyring only when it starts.
    for setting in "${environment[@]}"; do
        [[ $setting != KHATA_KEYRING_FILE=* ]] || arguments+=$'\n'$(sha256sum <"${setting#*=}")
    done
    fingerprint=$(printf '%s\n' "$arguments" "$(stat -L -c '%d:%i:%s:%y' "$1")" | sha256sum | cut -c1-16)
    if is_alive "$name"; then
        [[ ${RECORD[3]} != "$fingerprint" ]] || return 0
        stop "$name" "its program, its settings or its keyring changed"
    fi
    stop_strays "$name"
    [[ $(stat -c %s "$STATE/logs/$name.log" 2>/dev/null) -lt 20000000 ]] || mv -f "$STATE/logs/$name.log"{,.1}
    LAUNCHED_AT[$name]=$EPOCHREALTIME
    (
        cd "$folder"
        exec </dev/null >>"$STATE/logs/$name.log" 2>&1
        # Above all the lock, which a service would hold while it runs. Also pipes of make and of the caller.
        for file in "/proc/$BASHPID/fd/"*; do
            file=${file##*/}
            ((file < 3)) || exec {file}>&-
        done
        # Each command becomes the next, so that $! stays the id: setsid forks only as a group leader.
        become=(setsid)
        # A kernel that groups processes by session (autogroup) compares niceness within a group only. Each
        # service has a session of its own, so that the group needs the niceness too.
        # shellcheck disable=SC2016 # the new shell expands it
        [[ $niceness == 0 ]] ||
            become+=(sh -c 'echo "$0" >/proc/self/autogroup; exec nice -n "$0" "$@"' "$niceness")
        replace_environment "${environment[@]}"
        exec "${become[@]}" ${user:+setpriv --reuid="$user" --regid="$user" --init-groups --} "$@"
    ) &
    # Otherwise bash reports when another program kills the process.
    disown
    started=$(start_time "$!")
    say "$! ${started:-gone} $BOOT_ID $fingerprint" | write_private "$STATE/run/$name"
}

# start NAME… : launches all of them, then waits until each is ready. Prints nothing of those that ran before.
start() {
    local name
    for name in "$@"; do "${name}_launch"; done
    for name in "$@"; do
        [[ -n ${LAUNCHED_AT[$name]:-} ]] || { await "$name" && continue; }
        BEGAN=${LAUNCHED_AT[$name]} step "starting $name" await "$name"
    done
}

# await NAME : until NAME is ready. Fails when its process has ended, or after its time in READY_WITHIN.
await() {
    local deadline=$((SECONDS + READY_WITHIN[$1]))
    until "$1_ready"; do
        is_alive "$1" || fail "$1 stopped while starting." "$1"
        ((SECONDS < deadline)) || fail "$1 is not ready after ${READY_WITHIN[$1]} s. The machine may be busy, and $1 goes on starting: say 'make up', or this command, again." "$1"
        sleep 0.1
    done
}

# stop NAME [REASON] : sends each signal of STOP_BY, waits its number of seconds, and sends SIGKILL last.
stop() {
    local name=$1 reason=${2:-} began=$EPOCHREALTIME pid signal deadline
    if is_alive "$name"; then
        pid=${RECORD[0]}
        for signal in ${STOP_BY[$name]:-TERM:10} KILL:60; do
            [[ $signal != KILL:* ]] || say "$END_OF_STEP  $name (process $pid) does not stop: killing it"
            kill -s "${signal%:*}" "$pid" 2>/dev/null || true
            deadline=$((SECONDS + ${signal#*:}))
            while is_alive "$name" && ((SECONDS < deadline)); do sleep 0.05; done
            is_alive "$name" || break
        done
        say "$END_OF_STEP  stopped $name (process $pid)${reason:+: $reason} … $(seconds_since "$began") s"
    fi
    stop_strays "$name"
    rm -f "$STATE/run/$name"
}

# Stops processes that a service left behind: children of a killed one, or a process without a record.
stop_strays() {
    local signal pids deadline
    for signal in TERM KILL; do
        mapfile -t pids < <(strays "$1")
        ((${#pids[@]} > 0)) || return 0
        kill -s "$signal" "${pids[@]}" 2>/dev/null || true
        deadline=$((SECONDS + 5))
        while ((SECONDS < deadline)) && [[ -n $(strays "$1") ]]; do sleep 0.1; done
    done
}

strays() {
    {
        # The environments of other users' processes are unreadable, and irrelevant.
        grep -lzxF -- "KHATA_LOCAL_PROCESS=$STATE#$1" /proc/[0-9]*/environ 2>/dev/null || true
        # Postgres's children write their titles over their environment, but work in the data folder.
        [[ $1 != postgres && $1 != standby ]] ||
            find /proc/[0-9]*/cwd -maxdepth 0 -lname "$DATA/$1/data" 2>/dev/null || true
    } | cut -d/ -f3 | sort -u
}

# is_alive NAME : whether the process that run/NAME records still runs. RECORD then holds the record.
is_alive() {
    RECORD=()
    [[ ! -e $STATE/run/$1 ]] || read -ra RECORD <"$STATE/run/$1" || true
    [[ ${RECORD[2]:-} == "$BOOT_ID" && $(start_time "${RECORD[0]}") == "${RECORD[1]}" ]]
}

# A zombie counts as dead: in a container without a real init, its parent may never collect it. The program's
# name, in parentheses, may hold any character; field 3, the state, follows the last parenthesis.
start_time() {
    awk '{ sub(/.*\) /, ""); if ($1 !~ /[ZX]/) print $20 }' "/proc/$1/stat" 2>/dev/null || true
}

# Not by env(1): every user of the machine can read a process's arguments.
replace_environment() {
    # shellcheck disable=SC2046 # names hold no spaces
    unset -v $(compgen -e | grep -vx PATH) 2>/dev/null || true
    export "$@"
}

# replies PORT BYTES PATTERN REQUEST : whether the first BYTES of the reply match. Needs no installed tool.
replies() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf '%b' "$4" >&3
        # shellcheck disable=SC2053 # a pattern
        [[ $(timeout 2 head -c "$2" <&3 | tr -d '\0') == $3 ]]
    ) 2>/dev/null
}

# http_ok PORT PATH : whether the status is 200. Reads to the end: closing earlier resets the connection.
http_ok() { replies "$1" 1M 'HTTP/1.? 200*' "GET $2 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"; }
