# shellcheck shell=bash
# Debian packages that the machine lacks, and programs of other projects. The programs lie in $STATE/tools,
# with versions pinned in the repository.

# needs PACKAGE COMMAND… : prints PACKAGE unless every command exists, from Debian or from elsewhere.
needs() {
    local command
    for command in "${@:2}"; do
        command -v "$command" >/dev/null || { say "$1" && return; }
    done
}

# Debian's python3 cannot create virtual environments without python3-venv.
needs_python() { python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3 python3-venv; }

missing_packages() {
    needs build-essential cc
    needs pkg-config pkg-config
    compgen -G '/usr/include/*/libpq-fe.h' >/dev/null || [[ -e /usr/include/libpq-fe.h ]] || say libpq-dev
    needs protobuf-compiler protoc
    postgres_bin >/dev/null || say postgresql
    needs rabbitmq-server "$RABBITMQ_BIN/rabbitmq-server"
    needs util-linux setsid setpriv flock
    needs mawk awk
}

missing_clocks() { compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || say libfaketime; }

install_missing() {
    install_packages missing_packages
    # Debian's Rust is too old for Khata.
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup (https://rustup.rs)"
}

# install_packages FUNCTION : installs the packages whose names FUNCTION prints.
install_packages() {
    local -a missing
    mapfile -t missing < <("$1")
    ((${#missing[@]} > 0)) || return 0
    if ! command -v apt-get >/dev/null || { ((EUID != 0)) && ! command -v sudo >/dev/null; }; then
        fail "these packages are missing and cannot be installed from here: ${missing[*]}
       They are Debian's names. On Debian and Ubuntu, run as root: apt-get install --no-install-recommends …
       On other systems, Khata expects Postgres 15 or later in /usr/lib/postgresql/<version>/bin,
       and RabbitMQ 3.10 or later in $RABBITMQ_BIN."
    fi
    local -a become=()
    if ((EUID != 0)); then
        say "  installing needs root: sudo may ask for your password"
        sudo -v
        become=(sudo)
    fi
    step "installing ${missing[*]}" apt_get "${missing[@]}"
}

apt_get() {
    "${become[@]}" bash -euc "$(declare -f apt_get_as_root); apt_get_as_root \"\$@\"" - "$@" \
        </dev/null >>"$STATE/logs/install.log" 2>&1 || fail "apt-get failed." install
}

# Debian starts the services of new packages, now and at boot. Khata needs their programs only.
apt_get_as_root() {
    local policy=/usr/sbin/policy-rc.d unit epmd=()
    # A policy of the machine's own (containers have one) stays. Ours may be left from an earlier run.
    if [[ ! -e $policy ]] || grep -q '^# khata-local:' "$policy"; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        # Exit code 101 means "action forbidden by policy".
        printf '#!/bin/sh\n# khata-local: removed after the installation\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    command -v epmd >/dev/null || epmd=(epmd.service epmd.socket)
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update
    apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
    # A service has the name of its package. Other packages have none, and a container may have no systemctl.
    for unit in "$@" "${epmd[@]}"; do systemctl --quiet disable "$unit" || true; done
}

# install_tool NAME VERSIONS COMMAND… : runs COMMAND with the tool's new folder, unless the folder was made
# from the same file of versions by the same interpreters and scripts.
install_tool() {
    local folder=$STATE/tools/$1 recipe
    recipe=$({ cat "$2" "$LIBRARY/install.sh" "$0" && python3 --version && node --version; } 2>&1 | sha256sum)
    [[ $(cat "$folder/.recipe" 2>/dev/null) != "$recipe" ]] || return 0
    rm -rf -- "${folder:?}"
    mkdir -p "$folder"
    step "installing $1" make_tool "${@:3}" "$folder"
    say "$recipe" >"$folder/.recipe"
}

make_tool() { "$@" </dev/null >>"$STATE/logs/tools.log" 2>&1 || fail "the installation failed." tools; }

# virtual_environment REQUIREMENTS FOLDER : the list is complete; pip check fails if it lacks a package.
# Nothing is compiled: Juspay's client becomes Python 3 only after its installation (e2e/tools.sh).
virtual_environment() {
    local pip=("$2/bin/python" -m pip --disable-pip-version-check --no-input)
    python3 -m venv "$2" &&
        "${pip[@]}" install --no-deps --no-compile --requirement "$1" &&
        "${pip[@]}" check
}
