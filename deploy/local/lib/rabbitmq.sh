# The private RabbitMQ: own node, own ports, 127.0.0.1 only, own user and virtual host, no guest.
#
# Its programs are called directly, not through the wrappers in /usr/sbin, and every path and file that they would
# otherwise take from /etc/rabbitmq or /var/lib/rabbitmq is given here: a broker of the machine's own is never touched.

RABBITMQ_BIN=/usr/lib/rabbitmq/bin

rabbitmq_node() { printf 'khata-%s@localhost' "$STATE_ID"; }

rabbitmq_launch() {
    local user folder
    choose_port epmd epmd
    choose_port rabbitmq rabbitmq
    choose_port rabbitmq_distribution rabbitmq
    user=$(service_user rabbitmq)
    folder=$(service_folder rabbitmq "$user")
    local -a settings names_settings=(LANG=C.UTF-8 HOME="$folder")
    write_rabbitmq_files "$user" "$folder"
    rabbitmq_settings settings "$folder"
    # Erlang's name server. RabbitMQ would start one as a daemon that outlives it; this one is ours to stop.
    launch epmd "$user" "$folder" 0 names_settings "$(command -v epmd)" -address 127.0.0.1 -port "${PORTS[epmd]}"
    launch rabbitmq "$user" "$folder" 0 settings "$RABBITMQ_BIN/rabbitmq-server"
}

rabbitmq_settings() {
    local -n into=$1
    local folder=$2
    into=(
        LANG=C.UTF-8
        HOME="$folder"
        ERL_EPMD_ADDRESS=127.0.0.1
        ERL_EPMD_PORT="${PORTS[epmd]}"
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_NODENAME="$(rabbitmq_node)"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_NODE_PORT="${PORTS[rabbitmq]}"
        RABBITMQ_DIST_PORT="${PORTS[rabbitmq_distribution]}"
        RABBITMQ_MNESIA_BASE="$folder/mnesia"
        RABBITMQ_LOG_BASE="$folder/log"
        RABBITMQ_LOGS=-
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins"
        RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf"
        RABBITMQ_CONFIG_FILES="$folder/conf.d"
        RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config"
        RABBITMQ_GENERATED_CONFIG_DIR="$folder/generated"
        # Two schedulers however many cores there are, not tied to a core: it shares the machine with all the rest.
        RABBITMQ_SCHEDULER_BIND_TYPE=u
        RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD=none
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +SDcpu 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
        # Makes the script become the Erlang machine instead of waiting beside it, so that the id we record is the
        # broker's own and SIGTERM reaches it.
        RUNNING_UNDER_SYSTEMD=true
        # Not read by RabbitMQ: a change of its files is a change of its settings.
        KHATA_LOCAL_CONFIG="$(rabbitmq_config | sha256sum)"
    )
}

write_rabbitmq_files() {
    local user=$1 folder=$2
    (
        cd "$folder"
        umask 077
        as_user "$user" mkdir -p conf.d
        rabbitmq_config | as_user "$user" tee rabbitmq.conf >/dev/null
        printf '[].\n' | as_user "$user" tee advanced.config enabled_plugins >/dev/null
        if [[ ! -s .erlang.cookie ]]; then
            printf '%s' "${SECRETS[erlang_cookie]}" | as_user "$user" tee .erlang.cookie >/dev/null
            chmod 400 .erlang.cookie
        fi
    )
}

rabbitmq_config() {
    cat <<CONFIG
# Written by deploy/local on every start.
listeners.tcp.local = 127.0.0.1:${PORTS[rabbitmq]}

# Made on the first start, in place of guest and "/".
default_vhost = khata
default_user = khata
default_pass = ${SECRETS[rabbitmq_khata]}
default_user_tags.administrator = true

log.console = true
log.console.level = info
log.file = false

# Small: messages are ids, and a quorum queue's log is held in memory until it is this long.
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 67108864
CONFIG
}

rabbitmq_await() { await rabbitmq 120 rabbitmq_answers; }

# A client's first eight bytes; the broker answers with a frame of type 1 when it takes connections.
# It opens its port last, when users and queues are there.
rabbitmq_answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/${PORTS[rabbitmq]}" || exit 1
        printf 'AMQP\0\0\011\001' >&3
        IFS= read -r -N 1 -t 5 answer <&3 || exit 1
        [[ $answer == $'\001' ]]
    ) 2>/dev/null
}

# For a person who wants to look: stack rabbitmqctl list_queues -p khata
rabbitmqctl() {
    local user folder
    local -a settings
    user=$(service_user rabbitmq)
    folder=$(service_folder rabbitmq "$user")
    rabbitmq_settings settings "$folder"
    (
        cd "$folder"
        # Erlang would start a name server of its own if ours were not running.
        as_user "$user" env "${settings[@]}" RABBITMQ_CTL_ERL_ARGS='-start_epmd false' "$RABBITMQ_BIN/rabbitmqctl" "$@"
    )
}
