#!/usr/bin/env bash
# make image: the images of khata-api, khata-worker and khata-sandbox, by docker, podman or buildah, whichever is there.
#
# settings, from the environment:
#   KHATA_ENGINE          docker, podman or buildah: this one
#   KHATA_ENGINE_FLAGS    more flags for its "build", as --network host
#   KHATA_IMAGES          what the names begin with (localhost)
#   KHATA_VERSION         their tag (the workspace's version)
#   KHATA_PROGRAMS        built (default): compiled in the image. given: those of target/release, or of KHATA_PROGRAMS_FROM
#   KHATA_RUST_IMAGE      base images other than those of the Dockerfile; deploy/docker/base.sh makes a local one
#   KHATA_RUNTIME_IMAGE
#   KHATA_TARGETS         only these, as "api worker"
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=engine.sh
. deploy/docker/engine.sh

engine=${KHATA_ENGINE:-$(building_engine)}
# Docker's older builder would build the stages too that are not needed.
export DOCKER_BUILDKIT=1
version=${KHATA_VERSION:-$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# A build of something else than this commit says so.
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
# The form of image that knows of health checks.
[[ $engine == docker ]] || arguments+=(--format docker)
# shellcheck disable=SC2206 # they are flags, divided by spaces
[[ -z ${KHATA_ENGINE_FLAGS:-} ]] || arguments+=($KHATA_ENGINE_FLAGS)

case $programs in
    built) ;;
    given)
        rm -rf target/image
        mkdir -p target/image
        for program in khata-api khata-worker khata-sandbox; do
            from=${KHATA_PROGRAMS_FROM:-${CARGO_TARGET_DIR:-target}/release}/$program
            [[ -x $from ]] || fail "$from is not there; build it: cargo build --release --package $program"
            # What a debugger needs is most of the file, and no debugger is let near them.
            strip --strip-debug -o "target/image/$program" "$from"
        done
        ;;
    *) fail "KHATA_PROGRAMS is built or given, not '$programs'" ;;
esac

for target in ${KHATA_TARGETS:-api worker sandbox}; do
    name=${KHATA_IMAGES:-localhost}/khata-$target:$version
    printf '=== %s, by %s\n' "$name" "$engine"
    "$engine" build "${arguments[@]}" --target "$target" --tag "$name" .
done
