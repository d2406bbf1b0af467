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

install_tools() {
    local versions=$REPOSITORY/deploy/checks/requirements.txt bindings=$REPOSITORY/deploy/checks/bindings.txt
    install_packages missing_check_packages
    install_tool deploy "$versions" virtual_environment "$versions"
    install_tool bindings "$bindings" rust_sources "$bindings"
}

changing install_tools
