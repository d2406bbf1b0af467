#!/usr/bin/env bash
# make image: builds the images khata-api, khata-worker and khata-sandbox with docker, podman or buildah.
#
# environment:
#   KHATA_ENGINE          docker, podman or buildah (default: the first that works)
#   KHATA_ENGINE_FLAGS    more flags for its "build", such as --network host
#   KHATA_IMAGES          prefix of the names (localhost)
#   KHATA_VERSION         tag (the workspace's version)
#   KHATA_PROGRAMS        built (default): compiled in the image. given: from target/release or KHATA_PROGRAMS_FROM
#   KHATA_RUST_IMAGE      base image with the compiler, in place of the Dockerfile's
#   KHATA_RUNTIME_IMAGE   base image of the programs, in place of the Dockerfile's; deploy/docker/base.sh creates one
#   KHATA_TARGETS         only these images, such as "api worker"
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=engine.sh
. deploy/docker/engine.sh

engine=${KHATA_ENGINE:-$(building_engine)}
# Docker's older builder also builds the stages that no image needs.
export DOCKER_BUILDKIT=1
version=${KHATA_VERSION:-$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# Marks a build of uncommitted changes.
git diff --quiet HEAD -- 2>/dev/null || revision+=-changed
programs=${KHATA_PROGRAMS:-built}

arguments=(
    --file deploy/docker/Dockerfile
    --build-arg "PROGRAMS=$programs"
    --build-arg "REVISION=$revision"
    --label "org.opencontainers.image.version=$version"
    --label "org.opencontainers.image.revision=$revision"
    --label "org.opencontainers.image.created=$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
)
[[ -z ${KHATA_RUST_IMAGE:-} ]] || arguments+=(--build-arg "RUST_IMAGE=$KHATA_RUST_IMAGE")
[[ -z ${KHATA_RUNTIME_IMAGE:-} ]] || arguments+=(--build-arg "RUNTIME_IMAGE=$KHATA_RUNTIME_IMAGE")
# The image format that has health checks.
[[ $engine == docker ]] || arguments+=(--format docker)
# shellcheck disable=SC2206 # flags, divided by spaces
[[ -z ${KHATA_ENGINE_FLAGS:-} ]] || arguments+=($KHATA_ENGINE_FLAGS)

case $programs in
    built) ;;
    given)
        rm -rf target/image
        mkdir -p target/image
        for program in khata khata-api khata-worker khata-sandbox; do
            from=${KHATA_PROGRAMS_FROM:-${CARGO_TARGET_DIR:-target}/release}/$program
            [[ -x $from ]] || fail "$from is missing: run 'cargo build --release --workspace --bins'"
            # Debug information is most of the file, and no debugger runs in an image.
            strip --strip-debug -o "target/image/$program" "$from"
        done
        ;;
    *) fail "KHATA_PROGRAMS must be built or given, not '$programs'" ;;
esac

for target in ${KHATA_TARGETS:-api worker sandbox}; do
    name=${KHATA_IMAGES:-localhost}/khata-$target:$version
    printf '=== %s, with %s\n' "$name" "$engine"
    "$engine" build "${arguments[@]}" --target "$target" --tag "$name" .
done
