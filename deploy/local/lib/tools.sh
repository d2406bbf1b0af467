# What the tests run besides Khata: other people's clients, Schemathesis, a browser; and what the checks of deploy/ run. They lie
# in $STATE/tools; the machine itself gets no more than interpreters, the browser, promtool and, for images, podman. Versions
# are pinned in e2e/clients, sandbox/tests/sdk/clients, e2e/api and deploy/checks.

TOOLS=$STATE/tools
CLIENTS=$REPOSITORY/e2e/clients
GATEWAY_CLIENTS=$REPOSITORY/sandbox/tests/sdk/clients

install_tools() {
    install_tool_packages
    install_python_tools
    install_node_tools
    install_gateways_python_tools
    install_gateways_node_tools
    install_schemathesis
}

missing_tool_packages() {
    # Debian's python3 comes without what makes a virtual environment.
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3 python3-venv
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    # Makes the certificate of a test that needs https.
    command -v openssl >/dev/null || echo openssl
    command -v chromium >/dev/null || echo chromium
    command -v chromedriver >/dev/null || echo chromium-driver
}

install_tool_packages() { install_what missing_tool_packages; }

# --- Juspay's client for Python -------------------------------------------------------------

install_python_tools() {
    install_tool python "$(python3 --version && cat "$CLIENTS/requirements.txt" && declare -f make_python_tools port_juspay)" \
        make_python_tools
}

make_python_tools() {
    # Not compiled while it is installed: it is no Python 3 yet.
    python3 -m venv "$1" &&
        "$1/bin/python" -m pip --disable-pip-version-check --no-input install --require-hashes --no-compile \
            --requirement "$CLIENTS/requirements.txt" &&
        port_juspay "$1/bin/python"
}

# Juspay's package says that it is fit for Python 3, and is not. Its syntax is translated, as its users have to; what it
# does stays what it was.
port_juspay() {
    local python=$1 package file
    package=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/juspay || return
    # Its own tests: they are translated by nobody and needed by nobody.
    rm -f "$package/Test.py" "$package/SampleTest.py"
    "$python" -m fissix --write --nobackups --no-diffs "$package" || return
    for file in "$package"/*.py; do
        # To Python 2 a tab went to the next eighth column; Python 3 does not take it beside spaces.
        expand -t 8 "$file" >"$file.new" && mv "$file.new" "$file" || return
    done
    "$python" -c 'import juspay'
}

# --- Juspay's client for Node ---------------------------------------------------------------

install_node_tools() {
    install_tool node "$(node --version && cat "$CLIENTS/package-lock.json" && declare -f make_node_tools install_node_packages)" \
        make_node_tools
}

make_node_tools() {
    install_node_packages "$CLIENTS" "$1"
}

install_node_packages() {
    mkdir -p "$2" &&
        cp "$1/package.json" "$1/package-lock.json" "$2" &&
        npm --prefix "$2" ci --ignore-scripts --no-audit --no-fund --no-update-notifier
}

# --- the gateways' own clients ----------------------------------------------------------------

install_gateways_python_tools() {
    local wanted=$GATEWAY_CLIENTS/requirements.txt
    install_tool gateways-python "$(python3 --version && cat "$wanted" && declare -f make_gateways_python_tools install_whole_list)" \
        make_gateways_python_tools
}

make_gateways_python_tools() {
    install_whole_list "$GATEWAY_CLIENTS/requirements.txt" "$1"
}

install_gateways_node_tools() {
    install_tool gateways-node \
        "$(node --version && cat "$GATEWAY_CLIENTS/package-lock.json" && declare -f make_gateways_node_tools install_node_packages)" \
        make_gateways_node_tools
}

make_gateways_node_tools() {
    install_node_packages "$GATEWAY_CLIENTS" "$1"
}

# --- Schemathesis ---------------------------------------------------------------------------

install_schemathesis() {
    local wanted=$REPOSITORY/e2e/api/requirements.txt
    install_tool schemathesis "$(python3 --version && cat "$wanted" && declare -f make_schemathesis install_whole_list)" \
        make_schemathesis
}

make_schemathesis() {
    install_whole_list "$REPOSITORY/e2e/api/requirements.txt" "$1"
}

# The list is whole: a package that asks for one that is not on it is told by pip check.
install_whole_list() {
    python3 -m venv "$2" &&
        "$2/bin/python" -m pip --disable-pip-version-check --no-input install --no-deps --requirement "$1" &&
        "$2/bin/python" -m pip --disable-pip-version-check check
}

# --- what the checks of deploy/ run -----------------------------------------------------------

CHECKS=$REPOSITORY/deploy/checks

install_deploy_tools() {
    install_deploy_tool_packages
    install_tool deploy "$(python3 --version && cat "$CHECKS/requirements.txt" && declare -f make_deploy_tools install_whole_list)" \
        make_deploy_tools
    install_tool bindings "$(cat "$CHECKS/bindings.txt" && declare -f make_bindings)" make_bindings
}

install_deploy_tool_packages() {
    local -a missing=()
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    # Has promtool, which nobody packs alone. Its service stays stopped.
    command -v promtool >/dev/null || missing+=(prometheus)
    ((${#missing[@]} > 0)) || return 0
    check_that_we_can_install "${missing[@]}"
    install_packages "${missing[@]}"
}

make_deploy_tools() {
    install_whole_list "$CHECKS/requirements.txt" "$1"
}

# Their source only: they are read, not compiled. Cargo fetches a package alone when it is asked about it.
make_bindings() {
    local name version sum package
    mkdir -p "$1" || return
    while read -r name version sum; do
        [[ $name != '#'* ]] || continue
        (cd "$1" && cargo info --quiet "$name@$version") || return
        package=$(compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/cache/*/$name-$version.crate" | head -n 1)
        sha256sum --check --quiet <<<"$sum  $package" && tar --extract --gzip --file "$package" --directory "$1" || return
    done <"$CHECKS/bindings.txt"
}

# --- what runs images, and makes a base for them (deploy/docker) --------------------------------

install_image_tools() { install_what missing_image_tools; }

missing_image_tools() {
    # Whose Docker works needs no podman. Debian's crun does not go together with the limits of a nested container.
    if ! docker info >/dev/null 2>&1; then
        command -v podman >/dev/null || echo podman
        command -v runc >/dev/null || echo runc
    fi
    [[ -n ${KHATA_RUNTIME_IMAGE:-} ]] || command -v debootstrap >/dev/null || echo debootstrap
}

# --- a tool is there whole, or it is made -----------------------------------------------------

# install_tool NAME RECIPE COMMAND : runs COMMAND with the tool's folder unless it was made from this very recipe.
install_tool() {
    local name=$1 recipe
    recipe=$(sha256sum <<<"$2")
    [[ $(cat "$TOOLS/$name/.recipe" 2>/dev/null) != "$recipe" ]] || return 0
    rm -rf -- "${TOOLS:?}/$name"
    mkdir -p "$TOOLS"
    step "installing test tools: $name" make_tool "$name" "$3"
    printf '%s\n' "$recipe" >"$TOOLS/$name/.recipe"
}

make_tool() {
    "$2" "$TOOLS/$1" </dev/null >>"$STATE/logs/tools.log" 2>&1 || fail_with_log tools "could not be installed ($1)"
}
