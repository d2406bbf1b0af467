#!/usr/bin/env bash
# Creates the base image of deploy/docker/Dockerfile from Debian's packages, for a machine that reaches no image registry:
# debootstrap's smallest Debian 12 with Debian's updates, imported as localhost/khata-base:bookworm. Needs root. Keeps an
# existing image: remove it to get newer updates. Prints the image's name.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

# shellcheck source=engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"

name=localhost/khata-base:bookworm
engine=${KHATA_ENGINE:-$(container_engine)}
[[ $engine != buildah ]] || fail "buildah cannot import images: set KHATA_ENGINE=podman to create the base"

main() {
    ((EUID == 0)) || fail "only root can create the base image: set KHATA_RUNTIME_IMAGE to an existing one"
    command -v debootstrap >/dev/null || fail "debootstrap is missing: run deploy/docker/tools.sh"
    folder=$(mktemp -d)
    trap 'rm -rf --one-file-system -- "$folder"' EXIT
    # Mounts of the new system exist for these commands only, and end with them in every case.
    unshare --mount --propagation private bash -euo pipefail -c "$(declare -f create_system); create_system \"\$1\"" - "$folder/root" \
        >"$folder/log" 2>&1 || {
        tail -n 20 "$folder/log" >&2
        fail "debootstrap could not create the base"
    }
    tar --create --directory "$folder/root" . | "$engine" import - "$name" >/dev/null 2>"$folder/log" || {
        cat "$folder/log" >&2
        fail "$engine could not import the base"
    }
}

# create_system FOLDER : the smallest Debian with its updates and, as in Debian's slim image, without documents, translations
# and package lists.
create_system() {
    local root=$1 repository
    debootstrap --variant=minbase bookworm "$root"
    # By Debian's convention the updates are beside the release.
    repository=$(sed -n 's/^deb \([^ ]*\) bookworm main$/\1/p' "$root/etc/apt/sources.list")
    printf 'deb %s main\n' "$repository bookworm" "$repository bookworm-updates" \
        "${repository%/}-security bookworm-security" >"$root/etc/apt/sources.list"
    chroot "$root" apt-get update
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get --yes --no-install-recommends dist-upgrade
    # The last three belong to this machine.
    rm -rf -- "$root"/usr/share/{doc,man,info,locale} "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* \
        "$root"/etc/{resolv.conf,hostname,machine-id}
}

"$engine" image inspect "$name" >/dev/null 2>&1 || main
printf '%s\n' "$name"
