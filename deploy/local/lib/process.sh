# Processes: started detached, recognised for certain, stopped politely.
#
# A process id alone is no proof of identity: ids are used again. So a record holds the id, the process's start time
# (field 22 of /proc/PID/stat) and the machine's boot id; all three must still fit, or it is somebody else. What left
# no record (a child of a process that was killed) carries MARK in its environment.
#
# A record, run/NAME:  pid start-time boot-id fingerprint

declare -A LAUNCHED_AT=()
STOPPED_ANY=no

BOOT_ID=$(</proc/sys/kernel/random/boot_id)

# launch NAME USER FOLDER NICENESS ENVIRONMENT COMMAND… : starts NAME unless it runs already just as it is described here.
# USER '' means ourselves; ENVIRONMENT names an array of NAME=VALUE and is all that the process gets to see.
launch() {
    local name=$1 user=$2 folder=$3 niceness=$4 pid fingerprint
    local -n environment=$5
    shift 5
    [[ -x $1 ]] || fail "$1 is not there"
    fingerprint=$(fingerprint "$user" "$folder" "$niceness" "${environment[*]}" "$@" "$(stat -L -c '%d:%i:%s:%y' "$1")")
    if is_alive "$name"; then
        [[ $(recorded "$name" 4) != "$fingerprint" ]] || return 0
        stop "$name" "its program or its settings changed"
    fi
    stop_strays "$name"
    rotate_log "$name"
    LAUNCHED_AT[$name]=$EPOCHREALTIME
    (
        cd "$folder"
        exec </dev/null >>"$STATE/logs/$name.log" 2>&1
        close_other_files
        # Each replaces the one before (setsid forks only for a group leader, which a subshell is not): $! stays the id.
        become=(setsid)
        # Where the kernel groups processes by session (autogroup), niceness counts only within the group, and each of
        # ours is alone in its own: the group is told too.
        # shellcheck disable=SC2016 # expanded by the shell that it starts
        [[ $niceness == 0 ]] || become+=(sh -c 'echo "$0" >/proc/self/autogroup; exec nice -n "$0" "$@"' "$niceness")
        [[ -z $user ]] || become+=(setpriv --reuid="$user" --regid="$user" --init-groups --)
        replace_environment "${environment[@]}" "$(mark "$name")"
        exec "${become[@]}" "$@"
    ) &
    pid=$!
    record "$name" "$pid" "$fingerprint"
}

# await NAME LIMIT CHECK… : until CHECK succeeds; gives up as soon as the process is gone, or after LIMIT seconds.
await() {
    local name=$1 limit=$2 deadline=$((SECONDS + $2))
    shift 2
    until "$@"; do
        is_alive "$name" || fail_with_log "$name" "stopped while starting"
        ((SECONDS < deadline)) || fail_with_log "$name" "is not ready after $limit s"
        sleep 0.1
    done
}

# stop NAME [WHY] : what it takes depends on who it is.
stop() {
    local name=$1 why=${2:-} began=$EPOCHREALTIME pid
    if is_alive "$name"; then
        pid=$(pid_of "$name")
        case $name in
            # SIGINT is Postgres's fast shutdown: sessions are ended, everything is flushed. SIGQUIT leaves it to recovery.
            postgres) end_process "$name" INT 60 QUIT 10 ;;
            rabbitmq) end_process "$name" TERM 60 ;;
            # Both finish what is in hand before they go.
            api | worker) end_process "$name" TERM 40 ;;
            *) end_process "$name" TERM 10 ;;
        esac
        close_step
        STOPPED_ANY=yes
        say "  stopped $name (process $pid)${why:+: $why} … $(seconds_since "$began") s"
    fi
    stop_strays "$name"
    rm -f "$STATE/run/$name"
}

# end_process NAME SIGNAL SECONDS [SIGNAL SECONDS]… : SIGKILL only when all of them have been waited for in vain.
end_process() {
    local name=$1 pid deadline
    shift
    pid=$(pid_of "$name")
    while (($# > 0)); do
        kill -s "$1" "$pid" 2>/dev/null || true
        deadline=$((SECONDS + $2))
        while is_alive "$name" && ((SECONDS < deadline)); do sleep 0.05; done
        is_alive "$name" || return 0
        shift 2
    done
    warn "$name (process $pid) does not stop; killing it"
    kill -s KILL "$pid" 2>/dev/null || true
    while is_alive "$name"; do sleep 0.05; done
}

# Whatever a service left behind: children of one that was killed, or a process whose record was lost.
stop_strays() {
    local name=$1 signal pids deadline
    for signal in TERM KILL; do
        mapfile -t pids < <(strays "$name")
        ((${#pids[@]} > 0)) || return 0
        kill -s "$signal" "${pids[@]}" 2>/dev/null || true
        deadline=$((SECONDS + 5))
        while ((SECONDS < deadline)) && [[ -n $(strays "$name") ]]; do sleep 0.1; done
    done
}

strays() {
    local pid
    # Environments of other people's processes cannot be read, and need not be.
    { grep -lzxF -- "$(mark "$1")" /proc/[0-9]*/environ 2>/dev/null || true; } |
        while IFS=/ read -r _ _ pid _; do printf '%s\n' "$pid"; done
    # Postgres's children write their titles over their environment, but all of them work in the data folder.
    if [[ $1 == postgres && -d $STATE/postgres/data ]]; then
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$(readlink -f "$STATE/postgres/data")" 2>/dev/null |
            while IFS=/ read -r _ _ pid _; do printf '%s\n' "$pid"; done
    fi | sort -u
}

mark() { printf 'KHATA_LOCAL_PROCESS=%s#%s' "$STATE" "$1"; }

# --- records --------------------------------------------------------------------

record() {
    local started
    started=$(start_time "$2") || started=gone
    printf '%s %s %s %s\n' "$2" "$started" "$BOOT_ID" "$3" | write_private "$STATE/run/$1"
}

# recorded NAME FIELD
recorded() {
    local -a fields=()
    [[ -e $STATE/run/$1 ]] || return 0
    read -ra fields <"$STATE/run/$1" || true
    printf '%s' "${fields[$2 - 1]:-}"
}

pid_of() { recorded "$1" 1; }

is_alive() {
    local -a fields=()
    local started
    [[ -e $STATE/run/$1 ]] || return 1
    read -ra fields <"$STATE/run/$1" || return 1
    [[ ${fields[2]:-} == "$BOOT_ID" ]] || return 1
    started=$(start_time "${fields[0]}") || return 1
    [[ $started == "${fields[1]}" ]]
}

# A zombie is dead: it only waits for a parent that, in a container without a real init, may never ask.
start_time() {
    local line
    local -a fields
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The program's name, in parentheses, may hold anything; what follows the last one starts at field 3, the state.
    read -ra fields <<<"${line##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    printf '%s' "${fields[19]}"
}

fingerprint() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

# --- what a new process inherits --------------------------------------------------

# The lock above all: a service that kept it open would hold it for ever. Pipes of make and of the caller likewise.
close_other_files() {
    local file
    for file in "/proc/$BASHPID/fd/"*; do
        file=${file##*/}
        if ((file > 2)); then { exec {file}>&-; } 2>/dev/null || true; fi
    done
}

# Through the environment and not through env(1): arguments can be seen by everybody on the machine.
replace_environment() {
    local name
    for name in $(compgen -e); do
        [[ $name == PATH ]] || unset "$name" 2>/dev/null || true
    done
    export "$@"
}

# --- logs -------------------------------------------------------------------------

rotate_log() {
    local log=$STATE/logs/$1.log
    if [[ -e $log ]] && (($(stat -c %s "$log") > 20000000)); then
        mv -f "$log" "$log.1"
    fi
}

fail_with_log() {
    close_step
    {
        printf 'khata: %s %s. The last lines of %s:\n' "$1" "$2" "$STATE/logs/$1.log"
        tail -n 20 "$STATE/logs/$1.log" 2>/dev/null | sed 's/^/    /'
    } >&2
    exit 1
}

# http_ok PORT PATH : 200 within two seconds. Bash's own connection, so that nothing need be installed for it.
http_ok() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
        IFS= read -r -t 2 answer <&3 || exit 1
        # To the end: closing on unread bytes is a reset, which the other side may log as a fault.
        while read -r -t 2 <&3; do :; done
        [[ $answer == "HTTP/1."?" 200"* ]]
    ) 2>/dev/null
}
