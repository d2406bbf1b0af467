# What the tests of the API use besides the services: Schemathesis in a Python of its own, and a browser.
# They are kept in the state folder through "clean": they are no data, and fetching them again costs a minute.

TOOLS=$STATE/tools

install_tools() {
    install_schemathesis
    install_browser
}

# --- Schemathesis -------------------------------------------------------------------

install_schemathesis() {
    local wanted=$REPOSITORY/e2e/api/requirements.txt home=$TOOLS/schemathesis
    # Asked, too: Debian may have changed the Python under it.
    if cmp -s "$wanted" "$home/installed" && "$home/bin/python" -c '' 2>/dev/null; then return 0; fi
    if ! python_with_venv >/dev/null; then
        check_that_we_can_install python3 python3-venv
        install_packages python3 python3-venv
    fi
    step "installing Schemathesis" make_schemathesis "$home" "$wanted"
}

# Prints a Python that can make a folder of its own for packages; Debian has that in a package apart.
python_with_venv() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s' "$python"
            return
        fi
    done
    return 1
}

make_schemathesis() {
    local home=$1 wanted=$2 log=$STATE/logs/install.log
    rm -rf -- "$home"
    mkdir -p "$TOOLS"
    # The list is whole: a package that asks for one that is not on it is told by pip check.
    if ! {
        "$(python_with_venv)" -m venv "$home" &&
            "$home/bin/pip" install --disable-pip-version-check --no-deps --requirement "$wanted" &&
            "$home/bin/pip" --disable-pip-version-check check
    } </dev/null >>"$log" 2>&1; then
        close_step
        tail -n 20 "$log" >&2
        fail "Schemathesis could not be installed; all of it is in $log"
    fi
    cp "$wanted" "$home/installed"
}

# --- browser ------------------------------------------------------------------------

install_browser() {
    local -a missing
    mapfile -t missing < <(
        command -v chromium >/dev/null || echo chromium
        command -v chromedriver >/dev/null || echo chromium-driver
    )
    if ((${#missing[@]} > 0)); then
        check_that_we_can_install "${missing[@]}"
        install_packages "${missing[@]}"
    fi
}
