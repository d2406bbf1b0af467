#!/usr/bin/env bash
# make image-test: the images, checked and run. Postgres and RabbitMQ are those of the local stack; khata-api, khata-worker and
# khata-sandbox run from their images with nothing but a read-only file system, without capabilities, as nobody's user; and
# then make demo's walk goes through them. Leaves nothing running; the images stay.
#
# On a machine without a container engine it installs podman (Debian, Ubuntu). Without Docker it needs root.
#
# settings, from the environment: those of deploy/docker/build.sh, and
#   KHATA_RUNTIME_IMAGE   the base; unset, one is made of Debian's packages (deploy/docker/base.sh)
#   KHATA_RUN_FLAGS       flags for the engine's "run" instead of those below
#   KHATA_PROFILE         release (default) or dev: whose programs go into the images
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=engine.sh
. deploy/docker/engine.sh

heading() { printf '\n=== %s ===\n' "$*"; }

heading "what the machine needs"
deploy/local/stack.sh install
[[ -n ${KHATA_ENGINE:-} ]] || deploy/docker/tools.sh
export KHATA_ENGINE=${KHATA_ENGINE:-$(container_engine)}
echo "  everything is there; containers are run by $KHATA_ENGINE"

export KHATA_PROFILE=${KHATA_PROFILE:-release}
state=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/images")
target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
built=$target/$([[ $KHATA_PROFILE == release ]] && echo release || echo debug)

# On one's own network only: the stack listens on 127.0.0.1. Debian's crun and the limits of a nested container do not go
# together, runc and limits of its own do.
flags=(--network host)
if [[ $KHATA_ENGINE == podman ]]; then
    flags+=(--runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1000:1000)
    # Its health checks are systemd's timers, which need not be there; the stack asks for itself.
    running=(--no-healthcheck)
else
    running=()
fi
export KHATA_ENGINE_FLAGS=${KHATA_ENGINE_FLAGS-${flags[*]}}
running+=("${flags[@]}" --rm --interactive --log-driver none --read-only --cap-drop all --security-opt no-new-privileges)
# shellcheck disable=SC2206 # they are flags, divided by spaces
[[ -z ${KHATA_RUN_FLAGS:-} ]] || running=($KHATA_RUN_FLAGS)
[[ $KHATA_ENGINE != podman ]] || running+=(--read-only-tmpfs=false)

heading "programs"
cargo build --workspace --bins --profile "$KHATA_PROFILE"

heading "images"
KHATA_RUNTIME_IMAGE=${KHATA_RUNTIME_IMAGE:-$(deploy/docker/base.sh)}
export KHATA_RUNTIME_IMAGE KHATA_VERSION=image-test KHATA_IMAGES=localhost
KHATA_PROGRAMS=given KHATA_PROGRAMS_FROM=$built deploy/docker/build.sh

# look FIELD IMAGE
look() { "$KHATA_ENGINE" image inspect --format "$1" "$2"; }

# As megabytes with one decimal.
megabytes() { printf '%d.%d MB' $(($1 / 1000000)) $(($1 / 100000 % 10)); }

heading "what the images are"
base=$(look '{{.Size}}' "$KHATA_RUNTIME_IMAGE")
printf '  %-40s %s\n' "$KHATA_RUNTIME_IMAGE" "$(megabytes "$base")"
for name in api worker sandbox; do
    image=localhost/khata-$name:image-test
    [[ $(look '{{.Config.User}}' "$image") == 10001:10001 ]] || fail "$image does not run as 10001"
    [[ $(look '{{json .Config.Entrypoint}}' "$image") == "[\"/usr/local/bin/khata-$name\"]" ]] || fail "$image begins otherwise"
    for label in title version revision created; do
        [[ -n $(look "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" "$image") ]] || fail "$image has no label $label"
    done
    added=$(($(look '{{.Size}}' "$image") - base))
    printf '  %-40s %s on top of the base\n' "$image" "$(megabytes "$added")"
    [[ $KHATA_PROFILE != release ]] || ((added < 60000000)) || fail "$image adds $(megabytes "$added"): 60 MB are allowed"
done

# --- the local stack, with containers in the place of programs ---------------------------------------------------------------
# Each "program" becomes a container that gets what the program would have got: environment, standard input, signals.
programs=$state/programs/$(basename "$built")
rm -rf -- "$state/programs"
mkdir -p "$programs"
chmod 700 "$state/programs"
printf -v keyring %q "$state/programs/keyring.json"
# How this run's containers are known: another checkout may have its own.
export KHATA_IMAGE_TEST=$state
label=khata.image-test=$state
for name in demo traces; do ln -s "$built/khata-$name" "$programs/khata-$name"; done
for name in api worker sandbox; do
    cat >"$programs/khata-$name" <<PROGRAM
#!/usr/bin/env bash
# Made by deploy/docker/test.sh.
set -euo pipefail
files=()
if [[ -n \${KHATA_KEYRING_FILE:-} && -e \${KHATA_KEYRING_FILE:-} ]]; then
    # The program in the image is not the keyring's owner: it reads a copy, in a folder that only its owner can pass.
    # Only if it is another: what is mounted already must not be replaced under a program that is just starting.
    cmp --silent "\$KHATA_KEYRING_FILE" $keyring || install -m 444 "\$KHATA_KEYRING_FILE" $keyring
    files=(--volume $keyring:"\$KHATA_KEYRING_FILE":ro)
fi
# The ledger stays in memory: there is no file system to write to.
unset KHATA_SANDBOX_LEDGER
variables=()
for variable in \$(compgen -e | grep -E '^(KHATA|OTEL)_'); do variables+=(--env "\$variable"); done
exec $KHATA_ENGINE run ${running[*]@Q} --label ${label@Q} --label khata.program=$name \\
    "\${variables[@]}" "\${files[@]}" localhost/khata-$name:image-test "\$@"
PROGRAM
    chmod +x "$programs/khata-$name"
done

# containers : those that are there, also if they stand still.
containers() { "$KHATA_ENGINE" ps --all --quiet --filter "label=$label"; }

remove_containers() {
    local -a left
    mapfile -t left < <(containers)
    ((${#left[@]} == 0)) || "$KHATA_ENGINE" rm --force --volumes "${left[@]}" >/dev/null
}
trap remove_containers EXIT

heading "the stack runs from the images, and the demo's walk goes through it"
remove_containers
KHATA_LOCAL_DIR=$state/stack CARGO_TARGET_DIR=$state/programs KHATA_SKIP_BUILD=1 \
    deploy/local/stack.sh with deploy/docker/walk.sh "$programs/khata-demo"
[[ -z $(containers) ]] || fail "containers are left: $(containers | paste -sd ' ')"

printf '\nmake image-test: everything passed\n'
