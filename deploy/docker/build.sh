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
#   KHATA_PLATFORMS       for a release, such as linux/amd64,linux/arm64: builds for these platforms and pushes to the registry
#                         KHATA_IMAGES. docker adds provenance and a bill of materials to each image; podman and buildah cannot
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
    --label "org.opencontainers.image.created=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
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
        [[ -z ${KHATA_PLATFORMS:-} ]] || fail "KHATA_PROGRAMS=given has the programs of one platform: unset it or KHATA_PLATFORMS"
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

if [[ -n ${KHATA_PLATFORMS:-} ]]; then
    [[ -n ${KHATA_IMAGES:-} ]] || fail "set KHATA_IMAGES to the registry that KHATA_PLATFORMS pushes to"
    case $(uname -m) in
        x86_64) architecture=amd64 ;;
        arm64 | aarch64) architecture=arm64 ;;
        *) fail "images for several platforms are built on x86_64 or arm64 only, not on $(uname -m)" ;;
    esac
    [[ $revision != *-changed ]] || fail "commit your changes first: the images of a release name their commit"
fi

# build TARGET NAME
build() {
    case $engine,${KHATA_PLATFORMS:-} in
        *,) "$engine" build "${arguments[@]}" --target "$1" --tag "$2" . ;;
        docker,*)
            docker buildx build "${arguments[@]}" --platform "$KHATA_PLATFORMS" --provenance=mode=max --sbom=true \
                --target "$1" --tag "$2" --push .
            ;;
        *)
            # A list of an earlier build would keep its images.
            "$engine" manifest rm "$2" >/dev/null 2>&1 || true
            # podman 4.3 does not know this argument in a FROM.
            "$engine" build "${arguments[@]}" --build-arg "BUILDPLATFORM=linux/$architecture" --platform "$KHATA_PLATFORMS" \
                --target "$1" --manifest "$2" .
            "$engine" manifest push --all "$2" "docker://$2"
            ;;
    esac
}

for target in ${KHATA_TARGETS:-api worker sandbox}; do
    name=${KHATA_IMAGES:-localhost}/khata-$target:$version
    printf '=== %s, with %s\n' "$name" "$engine"
    build "$target" "$name"
done
