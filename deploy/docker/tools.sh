#!/usr/bin/env bash
# Installs podman and runc, if Docker does not work here, and debootstrap, if no base image is named.
# shellcheck source-path=SCRIPTDIR source-path=SCRIPTDIR/../../deploy/local/lib
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/local/lib/common.sh"

missing_image_packages() {
    # Debian's crun fails under the limits of a nested container, runc does not.
    docker info >/dev/null 2>&1 || { needs podman podman && needs runc runc; }
    [[ -n ${KHATA_RUNTIME_IMAGE:-} ]] || needs debootstrap debootstrap
}

changing install_packages missing_image_packages
