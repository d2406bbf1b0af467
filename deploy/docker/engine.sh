# shellcheck shell=bash
# What the scripts of this folder share.

# Whichever runs containers here.
container_engine() {
    local engine
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
            printf '%s' "$engine"
            return
        fi
    done
    fail "neither docker nor podman works here"
}

random_hex() { od -An -v -N 16 -tx1 /dev/urandom | tr -d ' \n'; }

fail() {
    printf 'khata: %s\n' "$*" >&2
    exit 1
}

# Whichever builds images here: buildah needs no service and runs none.
building_engine() {
    if command -v buildah >/dev/null && ! docker info >/dev/null 2>&1; then
        printf buildah
    else
        container_engine
    fi
}
