#!/usr/bin/env bash
# Installs the programs of other projects that the tests run, under .local/tools: Juspay's and the gateways'
# own clients, generators of clients, Schemathesis, OpenBao, a browser. Installs again only after a change of the pinned versions.
# shellcheck source-path=SCRIPTDIR source-path=SCRIPTDIR/../deploy/local/lib
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../deploy/local/lib/common.sh"

missing_test_packages() {
    needs_python
    needs nodejs node
    needs prometheus-alertmanager prometheus-alertmanager
    needs npm npm
    # Runs the quickstart and the sample receiver for PHP.
    needs php-cli php
    php -r 'exit((int) !extension_loaded("pdo_sqlite"));' 2>/dev/null || say php-sqlite3
    # The same for Java, and the quickstart for Go. A client that openapi-generator builds for Go needs the library too.
    needs default-jdk-headless javac
    needs golang-go go
    [[ -d /usr/share/gocode/src/gopkg.in/validator.v2 ]] || say golang-gopkg-validator.v2-dev
    # Creates the certificate of a test that needs https.
    needs openssl openssl
    needs chromium chromium
    needs chromium-driver chromedriver
}

# node_modules CLIENTS FOLDER
node_modules() {
    cp "$1/package.json" "$1/package-lock.json" "$2" &&
        npm --prefix "$2" ci --ignore-scripts --no-audit --no-fund --no-update-notifier
}

# Juspay's package claims to support Python 3 and does not. Its users have to translate its syntax; its
# behaviour stays.
juspay_client() {
    local python=$2/bin/python package file
    virtual_environment "$1" "$2" || return
    package=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/juspay || return
    # The package's own tests: the translator fails on them.
    rm -f "$package/Test.py" "$package/SampleTest.py"
    "$python" -m fissix --write --nobackups --no-diffs "$package" || return
    for file in "$package"/*.py; do
        # In Python 2 a tab reaches to the next eighth column; Python 3 rejects tabs beside spaces.
        expand -t 8 "$file" >"$file.new" && mv "$file.new" "$file" || return
    done
    "$python" -c 'import juspay'
}

install_tools() {
    local clients=$REPOSITORY/e2e/clients gateways=$REPOSITORY/sandbox/tests/sdk/clients
    local api=$REPOSITORY/e2e/api generators=$REPOSITORY/e2e/generators
    install_packages missing_test_packages
    install_tool python "$clients/requirements.txt" juspay_client "$clients/requirements.txt"
    install_tool node "$clients/package-lock.json" node_modules "$clients"
    install_tool gateways-python "$gateways/requirements.txt" virtual_environment "$gateways/requirements.txt"
    install_tool gateways-node "$gateways/package-lock.json" node_modules "$gateways"
    install_tool schemathesis "$api/requirements.txt" virtual_environment "$api/requirements.txt"
    install_tool openbao "$REPOSITORY/e2e/transit/requirements.txt" \
        virtual_environment "$REPOSITORY/e2e/transit/requirements.txt"
    install_tool generators-python "$generators/requirements.txt" virtual_environment "$generators/requirements.txt"
    install_tool generators-node "$generators/package-lock.json" node_modules "$generators"
}

changing install_tools
