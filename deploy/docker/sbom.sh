#!/usr/bin/env bash
# make sbom: writes a bill of materials for each program of the images, as CycloneDX JSON under target/sbom: every crate with
# version, licence, checksum and origin, as in Cargo.lock. The image itself lists Debian's packages (libpq and its libraries)
# in /var/lib/dpkg/status. The same commit gives the same files, byte for byte, in every folder. Installs cargo-cyclonedx
# under .local/tools; the first run compiles it for some minutes.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/tools")
version=0.5.9
export PATH=$tools/bin:$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin

if [[ $("$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null) != *" $version" ]]; then
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-cyclonedx
fi

# With a given time, cargo-cyclonedx also generates no serial number.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

mkdir -p target/sbom
for member in api cli worker sandbox; do
    # cargo-cyclonedx always writes a file beside each manifest of the workspace; the others are removed.
    cargo cyclonedx --manifest-path "$member/Cargo.toml" --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu \
        --override-filename khata-sbom --quiet
    # Without the folder of the checkout, which names the workspace's own crates.
    sed "s#path+file://$PWD/#path+file:///khata/#g" "$member/khata-sbom.json" >"target/sbom/khata-$member.cdx.json"
    find . -name khata-sbom.json -not -path './target/*' -delete
    printf '  target/sbom/khata-%s.cdx.json: %d crates\n' "$member" \
        "$(grep -c '^      "bom-ref"' "target/sbom/khata-$member.cdx.json")"
done
