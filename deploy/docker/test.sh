#!/usr/bin/env bash
# make image-test: builds the images, checks them, and runs the demo on a stack from images. Postgres and RabbitMQ are those
# of the local stack; khata-api, khata-worker, khata-sandbox and khata run from their images with a read-only file system,
# without capabilities, as a user without rights. Leaves no process running; the images stay.
#
# Installs podman on a machine without a container engine (Debian, Ubuntu). Without Docker the script needs root.
#
# environment: that of deploy/docker/build.sh, and
#   KHATA_RUNTIME_IMAGE   base image (default: deploy/docker/base.sh creates one from Debian's packages)
#   KHATA_RUN_FLAGS       flags for the engine's "run" in place of those below
#   KHATA_PROFILE         profile of the programs in the images: release (default) or dev
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=engine.sh
. deploy/docker/engine.sh

heading() { printf '\n=== %s ===\n' "$*"; }

heading "packages"
deploy/local/stack.sh install
[[ -n ${KHATA_ENGINE:-} ]] || deploy/docker/tools.sh
export KHATA_ENGINE=${KHATA_ENGINE:-$(container_engine)}
echo "  everything is installed; $KHATA_ENGINE runs the containers"

export KHATA_PROFILE=${KHATA_PROFILE:-release}
state=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/images")
target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
built=$target/$([[ $KHATA_PROFILE == release ]] && echo release || echo debug)

# The stack listens on 127.0.0.1, which only the machine's own network reaches. Debian's crun fails under the limits of a
# nested container; runc with limits of its own works.
flags=(--network host)
if [[ $KHATA_ENGINE == podman ]]; then
    flags+=(--runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1000:1000)
    # podman's health checks need systemd's timers, which may be missing; the local stack tests for itself.
    running=(--no-healthcheck)
else
    running=()
fi
export KHATA_ENGINE_FLAGS=${KHATA_ENGINE_FLAGS-${flags[*]}}
running+=("${flags[@]}" --rm --interactive --log-driver none --read-only --cap-drop all --security-opt no-new-privileges)
# shellcheck disable=SC2206 # flags, divided by spaces
[[ -z ${KHATA_RUN_FLAGS:-} ]] || running=($KHATA_RUN_FLAGS)
[[ $KHATA_ENGINE != podman ]] || running+=(--read-only-tmpfs=false)

heading "programs"
cargo build --workspace --bins --profile "$KHATA_PROFILE"

heading "images"
KHATA_RUNTIME_IMAGE=${KHATA_RUNTIME_IMAGE:-$(deploy/docker/base.sh)}
export KHATA_RUNTIME_IMAGE KHATA_VERSION=image-test KHATA_IMAGES=localhost
KHATA_PROGRAMS=given KHATA_PROGRAMS_FROM=$built deploy/docker/build.sh

# field_of IMAGE FORMAT
field_of() { "$KHATA_ENGINE" image inspect --format "$2" "$1"; }

# As megabytes with one decimal.
megabytes() { printf '%d.%d MB' $(($1 / 1000000)) $(($1 / 100000 % 10)); }

heading "images: users, labels, sizes"
base=$(field_of "$KHATA_RUNTIME_IMAGE" '{{.Size}}')
printf '  %-40s %s\n' "$KHATA_RUNTIME_IMAGE" "$(megabytes "$base")"
for name in api worker sandbox; do
    image=localhost/khata-$name:image-test
    [[ $(field_of "$image" '{{.Config.User}}') == 10001:10001 ]] || fail "$image does not run as 10001"
    [[ $(field_of "$image" '{{json .Config.Entrypoint}}') == "[\"/usr/local/bin/khata-$name\"]" ]] ||
        fail "$image has another entry point than khata-$name"
    for label in title version revision created; do
        [[ -n $(field_of "$image" "{{index .Config.Labels \"org.opencontainers.image.$label\"}}") ]] || fail "$image has no label $label"
    done
    added=$(($(field_of "$image" '{{.Size}}') - base))
    printf '  %-40s %s on top of the base\n' "$image" "$(megabytes "$added")"
    [[ $KHATA_PROFILE != release ]] || ((added < 60000000)) || fail "$image adds $(megabytes "$added") to its base, more than 60 MB"
done

# --- the local stack, with containers in place of programs -------------------------------------------------------------------
# Each "program" is a script that runs a container with the same arguments, environment, standard input and signals.
programs=$state/programs/$(basename "$built")
rm -rf -- "$state/programs"
mkdir -p "$programs"
chmod 700 "$state/programs"
printf -v keyring %q "$state/programs/keyring.json"
# Identifies this run's containers: another checkout may run its own.
export KHATA_IMAGE_TEST=$state
label=khata.image-test=$state
for name in demo traces; do ln -s "$built/khata-$name" "$programs/khata-$name"; done
for program in khata khata-api khata-worker khata-sandbox; do
    # The image khata-api holds khata too.
    name=${program#khata-} image=localhost/$program:image-test entrypoint=()
    [[ $program != khata ]] || image=localhost/khata-api:image-test entrypoint=(--entrypoint /usr/local/bin/khata)
    cat >"$programs/$program" <<PROGRAM
#!/usr/bin/env bash
# Written by deploy/docker/test.sh.
set -euo pipefail
files=()
if [[ -n \${KHATA_KEYRING_FILE:-} && -e \${KHATA_KEYRING_FILE:-} ]]; then
    # The image's user does not own the keyring, and reads a copy in a folder that only its owner can enter. An equal copy
    # stays: replacing a mounted file would disturb a program that is just starting.
    cmp --silent "\$KHATA_KEYRING_FILE" $keyring || install -m 444 "\$KHATA_KEYRING_FILE" $keyring
    files=(--volume $keyring:"\$KHATA_KEYRING_FILE":ro)
fi
# The ledger stays in memory: the file system is read-only.
unset KHATA_SANDBOX_LEDGER
variables=()
for variable in \$(compgen -e | grep -E '^(KHATA|OTEL)_'); do variables+=(--env "\$variable"); done
exec $KHATA_ENGINE run ${running[*]@Q} --label ${label@Q} --label khata.program=$name \\
    ${entrypoint[*]} "\${variables[@]}" "\${files[@]}" $image "\$@"
PROGRAM
    chmod +x "$programs/$program"
done

# containers : prints the ids of this run's containers, including stopped ones.
containers() { "$KHATA_ENGINE" ps --all --quiet --filter "label=$label"; }

remove_containers() {
    local -a left
    mapfile -t left < <(containers)
    ((${#left[@]} == 0)) || "$KHATA_ENGINE" rm --force --volumes "${left[@]}" >/dev/null
}
trap remove_containers EXIT

heading "the demo on a stack from the images"
remove_containers
KHATA_LOCAL_DIR=$state/stack CARGO_TARGET_DIR=$state/programs KHATA_SKIP_BUILD=1 \
    deploy/local/stack.sh with deploy/docker/walk.sh "$programs/khata-demo"
[[ -z $(containers) ]] || fail "containers are left over: $(containers | paste -sd ' ')"

printf '\nmake image-test: everything passed\n'
