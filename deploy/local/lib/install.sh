# What the machine must have, and how it gets it on Debian and Ubuntu.

# Prints the packages that are missing, by what they are for: a compiler from elsewhere is as good as Debian's.
missing_packages() {
    command -v cc >/dev/null || echo build-essential
    command -v pkg-config >/dev/null || echo pkg-config
    compgen -G '/usr/include/*/libpq-fe.h' >/dev/null || [[ -e /usr/include/libpq-fe.h ]] || echo libpq-dev
    command -v protoc >/dev/null || echo protobuf-compiler
    postgres_bin >/dev/null || echo postgresql
    # The scripts beside rabbitmq-server in /usr/sbin insist on being root or rabbitmq; these do not.
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || echo rabbitmq-server
    command -v setsid >/dev/null && command -v setpriv >/dev/null && command -v flock >/dev/null || echo util-linux
    command -v awk >/dev/null || echo mawk
}

install_missing() {
    install_what missing_packages
    check_rust
}

# install_what FUNCTION: the packages whose names it prints
install_what() {
    local -a missing
    mapfile -t missing < <("$1")
    ((${#missing[@]} > 0)) || return 0
    check_that_we_can_install "${missing[@]}"
    install_packages "${missing[@]}"
}

check_that_we_can_install() {
    local how="apt-get install --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        fail "this is not Debian or Ubuntu, so these must be installed by hand (here by their Debian names): $*
       Khata expects Postgres 15 or later under /usr/lib/postgresql/<version>/bin and RabbitMQ 3.10 or later under /usr/lib/rabbitmq/bin."
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        fail "these packages are missing, and there is no sudo to install them with; as root:  $how"
    fi
}

install_packages() {
    local log=$STATE/logs/install.log
    local -a strangers
    mapfile -t strangers < <(services_that_would_come_along "$@")
    ((EUID == 0)) || say "  installing needs root: sudo may ask for your password"
    ((EUID == 0)) || sudo -v
    forbid_service_starts
    step "reading the package lists" apt_get "$log" update
    step "installing $*" apt_get "$log" install --yes --no-install-recommends "$@"
    allow_service_starts
    keep_from_starting_at_boot "${strangers[@]}"
}

apt_get() {
    local log=$1
    shift
    if ! with_root_rights env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1; then
        close_step
        tail -n 20 "$log" >&2
        fail "apt-get $1 failed; all of it is in $log"
    fi
}

with_root_rights() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# --- Debian starts what it installs; Khata wants the programs, not the services -----

POLICY=/usr/sbin/policy-rc.d

forbid_service_starts() {
    # One that is there already is the machine's own rule (containers have it): it stays as it is.
    [[ ! -e $POLICY ]] || return 0
    # Ours is told by its second line. 101: "action forbidden by policy".
    printf '#!/bin/sh\n# khata-local: gone again after the installation\nexit 101\n' |
        with_root_rights tee "$POLICY" >/dev/null
    with_root_rights chmod 755 "$POLICY"
}

# Also on the way out of a run that failed or was interrupted.
allow_service_starts() {
    if grep -qs '^# khata-local:' "$POLICY"; then
        with_root_rights rm -f "$POLICY"
    fi
}

# Services of packages that are not on the machine yet. Those that are there already are their owner's business.
services_that_would_come_along() {
    [[ " $* " == *" postgresql "* ]] && echo postgresql.service
    [[ " $* " == *" prometheus "* ]] && echo prometheus.service
    if [[ " $* " == *" rabbitmq-server "* ]]; then
        echo rabbitmq-server.service
        command -v epmd >/dev/null || printf '%s\n' epmd.service epmd.socket
    fi
    return 0
}

keep_from_starting_at_boot() {
    local unit
    command -v systemctl >/dev/null || return 0
    for unit in "$@"; do
        with_root_rights systemctl --quiet disable "$unit" >/dev/null 2>&1 || true
    done
}

# --- Rust --------------------------------------------------------------------------

# Debian's own Rust is too old for Khata, so this is the one thing that is not installed but asked for.
check_rust() {
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup (https://rustup.rs), then run this again"
}

find_rust() {
    export HOME=${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
}
