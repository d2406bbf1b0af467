# shellcheck shell=bash
# The private RabbitMQ: own node, own ports, 127.0.0.1 only, own user, no guest. Settings: rabbitmq.conf.
#
# The wrappers in /usr/sbin demand root or the user rabbitmq, so that the scripts call the programs
# themselves. Every path that a program would take from /etc/rabbitmq or /var/lib/rabbitmq is set here: a
# broker of the machine's own stays untouched.

RABBITMQ_BIN=/usr/lib/rabbitmq/bin

rabbitmq_settings() {
    BROKER_USER=$(service_user rabbitmq)
    BROKER_FOLDER=$(service_folder rabbitmq "$BROKER_USER")
    BROKER_SETTINGS=(
        HOME="$BROKER_FOLDER"
        ERL_EPMD_ADDRESS=127.0.0.1
        ERL_EPMD_PORT="${PORTS[epmd]}"
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_NODENAME="khata-$STATE_ID@localhost"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_NODE_PORT="${PORTS[rabbitmq]}"
        RABBITMQ_DIST_PORT="${PORTS[rabbitmq_distribution]}"
        # The first start creates these in place of "guest" and "/".
        RABBITMQ_DEFAULT_USER=khata
        RABBITMQ_DEFAULT_PASS="${SECRETS[rabbitmq]}"
        RABBITMQ_DEFAULT_VHOST=khata
        RABBITMQ_MNESIA_BASE="$BROKER_FOLDER/mnesia"
        RABBITMQ_LOG_BASE="$BROKER_FOLDER/log"
        RABBITMQ_LOGS=-
        RABBITMQ_ENABLED_PLUGINS_FILE="$BROKER_FOLDER/enabled_plugins"
        RABBITMQ_CONFIG_FILE="$BROKER_FOLDER/rabbitmq.conf"
        RABBITMQ_CONFIG_FILES="$BROKER_FOLDER/conf.d"
        RABBITMQ_ADVANCED_CONFIG_FILE="$BROKER_FOLDER/advanced.config"
        RABBITMQ_GENERATED_CONFIG_DIR="$BROKER_FOLDER/generated"
        # Two schedulers for any number of cores, not bound to a core: the broker shares the machine.
        RABBITMQ_SCHEDULER_BIND_TYPE=u
        RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD=none
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +SDcpu 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
        # The start script then becomes the Erlang machine instead of waiting for it: the recorded process id
        # is the broker's own, and SIGTERM reaches the broker.
        RUNNING_UNDER_SYSTEMD=true
        # RabbitMQ ignores this variable. A changed file thereby counts as changed settings.
        KHATA_LOCAL_CONFIG="$(sha256sum <"$REPOSITORY/deploy/local/rabbitmq.conf")"
    )
}

rabbitmq_launch() {
    choose_ports epmd epmd
    choose_ports rabbitmq rabbitmq rabbitmq_distribution
    rabbitmq_settings
    (
        cd "$BROKER_FOLDER"
        umask 077
        # Replaced whole: a broker that starts at this moment reads the old file or the new one.
        rm -f .new.*
        as_user "$BROKER_USER" tee .new.conf <"$REPOSITORY/deploy/local/rabbitmq.conf" >/dev/null
        printf '%s' "${SECRETS[erlang_cookie]}" | as_user "$BROKER_USER" tee .new.cookie >/dev/null
        chmod 400 .new.cookie
        mv -f .new.conf rabbitmq.conf
        mv -f .new.cookie .erlang.cookie
    )
    # Erlang's name server. RabbitMQ would start one that outlives the broker; stack.sh stops this one.
    launch epmd "$BROKER_USER" "$BROKER_FOLDER" 0 HOME="$BROKER_FOLDER" \
        "$(command -v epmd)" -address 127.0.0.1 -port "${PORTS[epmd]}"
    launch rabbitmq "$BROKER_USER" "$BROKER_FOLDER" 0 "${BROKER_SETTINGS[@]}" "$RABBITMQ_BIN/rabbitmq-server"
}

# Sends a client's first eight bytes. The broker opens its port last, and replies with a frame of type 1.
rabbitmq_ready() { replies "${PORTS[rabbitmq]}" 1 $'\001' 'AMQP\0\0\011\001'; }

# For operators: stack.sh rabbitmqctl list_queues -p khata
rabbitmqctl() {
    rabbitmq_settings
    # With -start_epmd, Erlang would start a name server of its own if ours did not run.
    (
        cd "$BROKER_FOLDER"
        as_user "$BROKER_USER" env "${BROKER_SETTINGS[@]}" RABBITMQ_CTL_ERL_ARGS='-start_epmd false' \
            "$RABBITMQ_BIN/rabbitmqctl" "$@"
    )
}
