#!/usr/bin/env bash
# make sbom: what each program of the images is made of, as CycloneDX JSON under target/sbom: every crate with version, licence,
# checksum and where it comes from, as Cargo.lock has them. What Debian adds (libpq and its libraries) is listed in the image:
# /var/lib/dpkg/status. The same commit gives the same files, byte for byte, wherever it lies. Installs cargo-cyclonedx under the
# local folder's tools; compiling it takes some minutes, once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/tools")
version=0.5.9
export PATH=$tools/bin:$PATH:${CARGO_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cargo}/bin

if [[ $("$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null) != *" $version" ]]; then
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-cyclonedx
fi

# With a time that it is told it makes up no serial number either.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

mkdir -p target/sbom
for member in api worker sandbox; do
    # Beside each manifest of the workspace is where it writes, and nowhere else; what was not asked for goes again.
    cargo cyclonedx --manifest-path "$member/Cargo.toml" --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu \
        --override-filename khata-sbom --quiet
    # The workspace's own crates are named by their folder, which is nobody's business.
    sed "s#path+file://$PWD/#path+file:///khata/#g" "$member/khata-sbom.json" >"target/sbom/khata-$member.cdx.json"
    find . -name khata-sbom.json -not -path './target/*' -delete
    printf '  target/sbom/khata-%s.cdx.json: %d crates\n' "$member" \
        "$(grep -c '^      "bom-ref"' "target/sbom/khata-$member.cdx.json")"
done
