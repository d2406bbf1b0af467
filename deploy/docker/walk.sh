#!/usr/bin/env bash
# What deploy/docker/test.sh does once the stack runs from the images: sees how the kernel holds each program, asks the images' own
# question after health inside the containers, and goes the demo's walk.
#
# usage: walk KHATA-DEMO, with the stack's settings, KHATA_ENGINE, and KHATA_IMAGE_TEST (the containers' label)
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

# shellcheck source=engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"

# container_of PROGRAM
container_of() {
    "$KHATA_ENGINE" ps --quiet --filter status=running \
        --filter "label=khata.image-test=$KHATA_IMAGE_TEST" --filter "label=khata.program=$1"
}

# As the kernel tells it, not as the engine was asked for it.
check_rights() {
    local name=$1 pid=$2 field want have
    while read -r field want; do
        have=$(awk -v field="$field:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$pid/status")
        [[ $have == "$want" ]] || fail "khata-$name has $field '$have' and not '$want'"
    done <<'STATUS'
Uid 10001 10001 10001 10001
Gid 10001 10001 10001 10001
Groups 10001
CapInh 0000000000000000
CapPrm 0000000000000000
CapEff 0000000000000000
CapBnd 0000000000000000
CapAmb 0000000000000000
NoNewPrivs 1
Seccomp 2
STATUS
}

# Nothing on a disk can be written to: /proc, /dev and what else the kernel or the engine makes of memory are no disk.
check_mounts() {
    local name=$1 pid=$2 writable
    writable=$(awk '{
        for (dash = 7; $dash != "-"; dash++);
        kind = $(dash + 1)
        if (kind !~ /^(proc|sysfs|tmpfs|devpts|mqueue|cgroup2?)$/ && $6 !~ /^ro(,|$)/) print $5
    }' "/proc/$pid/mountinfo")
    [[ -z $writable ]] || fail "khata-$name can write to ${writable//$'\n'/ }"
}

for name in api worker sandbox; do
    container=$(container_of "$name")
    [[ -n $container && $container != *$'\n'* ]] || fail "there is not one container of khata-$name, but '$container'"
    pid=$("$KHATA_ENGINE" inspect --format '{{.State.Pid}}' "$container")
    check_rights "$name" "$pid"
    check_mounts "$name" "$pid"
    # Where everybody may write, if anybody may.
    told=$("$KHATA_ENGINE" exec "$container" touch /tmp/khata 2>&1 || true)
    [[ $told == *"Read-only file system"* ]] || fail "a write to khata-$name's /tmp came out as '$told'"
    printf '  khata-%-8s runs as 10001, without capabilities or ways to new ones, on a file system that is read only\n' "$name"
done

# health_of IMAGE : the command, a line a word, with which its container is asked how it is; nothing if it is not.
health_of() {
    "$KHATA_ENGINE" image inspect "$1" --format \
        '{{with .Config.Healthcheck}}{{if eq (index .Test 0) "CMD"}}{{range slice .Test 1}}{{println .}}{{end}}{{end}}{{end}}' |
        sed '/^$/d'
}

asked=
for name in api worker sandbox; do
    mapfile -t health < <(health_of "localhost/khata-$name:image-test")
    ((${#health[@]} > 0)) || continue
    "$KHATA_ENGINE" exec "$(container_of "$name")" "${health[@]}" >/dev/null || fail "'${health[*]}' fails in its container"
    printf '  %s: it is healthy\n' "${health[*]}"
    asked+=" $name"
done
[[ $asked == *" api"* ]] || fail "the image of khata-api asks nobody how it is"

"$1"
