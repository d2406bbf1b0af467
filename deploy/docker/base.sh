#!/usr/bin/env bash
# Makes the base image of deploy/docker/Dockerfile from Debian's own packages, for a machine that reaches no registry of
# images: debootstrap's smallest Debian 12 with Debian's repairs, imported as localhost/khata-base:bookworm. Needs root. What
# was made before stays: to have newer repairs, remove the image first. Prints the image's name.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

# shellcheck source=engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"

name=localhost/khata-base:bookworm
engine=${KHATA_ENGINE:-$(container_engine)}
[[ $engine != buildah ]] || fail "buildah imports no images: let podman make the base (KHATA_ENGINE=podman)"

main() {
    ((EUID == 0)) || fail "the base is made as root; others name one with KHATA_RUNTIME_IMAGE"
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    folder=$(mktemp -d)
    trap 'rm -rf --one-file-system -- "$folder"' EXIT
    # What is mounted in the new system is mounted for these commands only, and is gone with them, however they end.
    unshare --mount --propagation private bash -euo pipefail -c "$(declare -f make_system); make_system \"\$1\"" - "$folder/root" \
        >"$folder/log" 2>&1 || {
        tail -n 20 "$folder/log" >&2
        fail "the base could not be made"
    }
    tar --create --directory "$folder/root" . | "$engine" import - "$name" >/dev/null 2>"$folder/log" || {
        cat "$folder/log" >&2
        fail "$engine could not import the base"
    }
}

# make_system FOLDER : Debian's smallest, with its repairs; as in Debian's slim image, without documents, translations and lists.
make_system() {
    local root=$1 repository
    debootstrap --variant=minbase bookworm "$root"
    # Where debootstrap found the release there are the repairs too: beside it, by Debian's custom.
    repository=$(sed -n 's/^deb \([^ ]*\) bookworm main$/\1/p' "$root/etc/apt/sources.list")
    printf 'deb %s main\n' "$repository bookworm" "$repository bookworm-updates" \
        "${repository%/}-security bookworm-security" >"$root/etc/apt/sources.list"
    chroot "$root" apt-get update
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get --yes --no-install-recommends dist-upgrade
    # The last three are this machine's own.
    rm -rf -- "$root"/usr/share/{doc,man,info,locale} "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* \
        "$root"/etc/{resolv.conf,hostname,machine-id}
}

"$engine" image inspect "$name" >/dev/null 2>&1 || main
printf '%s\n' "$name"
