#!/usr/bin/env bash
# Part of deploy/docker/test.sh, once the stack runs from the images: checks the rights of each process as the kernel reports
# them, runs the images' health checks inside the containers, and runs the demo.
#
# usage: walk.sh KHATA-DEMO, with the stack's settings, KHATA_ENGINE, and KHATA_IMAGE_TEST (the containers' label)
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

# shellcheck source=engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"

# container_of PROGRAM
container_of() {
    "$KHATA_ENGINE" ps --quiet --filter status=running \
        --filter "label=khata.image-test=$KHATA_IMAGE_TEST" --filter "label=khata.program=$1"
}

# As the kernel reports them, not as the engine was configured.
check_rights() {
    local name=$1 pid=$2 field want have
    while read -r field want; do
        have=$(awk -v field="$field:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$pid/status")
        [[ $have == "$want" ]] || fail "khata-$name has $field '$have' instead of '$want'"
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

# No disk is writable. /proc, /dev and other file systems in memory are no disk.
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
    [[ -n $container && $container != *$'\n'* ]] || fail "khata-$name should have exactly one container, and has '$container'"
    pid=$("$KHATA_ENGINE" inspect --format '{{.State.Pid}}' "$container")
    check_rights "$name" "$pid"
    check_mounts "$name" "$pid"
    # /tmp is where every user may write, if any may.
    reply=$("$KHATA_ENGINE" exec "$container" touch /tmp/khata 2>&1 || true)
    [[ $reply == *"Read-only file system"* ]] || fail "a write to khata-$name's /tmp printed '$reply'"
    printf '  khata-%-8s runs as 10001, cannot gain capabilities, and has a read-only file system\n' "$name"
done

# health_of IMAGE : prints the command of the image's health check, a word a line; nothing if the image has none.
health_of() {
    "$KHATA_ENGINE" image inspect "$1" --format \
        '{{with .Config.Healthcheck}}{{if eq (index .Test 0) "CMD"}}{{range slice .Test 1}}{{println .}}{{end}}{{end}}{{end}}' |
        sed '/^$/d'
}

checked=
for name in api worker sandbox; do
    mapfile -t health < <(health_of "localhost/khata-$name:image-test")
    ((${#health[@]} > 0)) || continue
    "$KHATA_ENGINE" exec "$(container_of "$name")" "${health[@]}" >/dev/null || fail "'${health[*]}' fails in its container"
    printf '  %s: healthy\n' "${health[*]}"
    checked+=" $name"
done
[[ $checked == *" api"* ]] || fail "the image khata-api has no health check"

"$1"
