# shellcheck shell=bash
# Functions of the scripts in this folder.

# Prints the engine that runs containers on this machine.
container_engine() {
    local engine
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
            printf '%s' "$engine"
            return
        fi
    done
    fail "neither docker nor podman works here: start Docker or, on Debian, run deploy/docker/tools.sh"
}

random_hex() { od -An -v -N 16 -tx1 /dev/urandom | tr -d ' \n'; }

fail() {
    printf 'khata: %s\n' "$*" >&2
    exit 1
}

# Prints the engine that builds images on this machine. buildah needs no service.
building_engine() {
    if command -v buildah >/dev/null && ! docker info >/dev/null 2>&1; then
        printf buildah
    else
        container_engine
    fi
}
