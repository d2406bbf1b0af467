#!/usr/bin/env bash
# Makes what deploy/compose.yaml asks for and nobody should make up: passwords in deploy/.env and deploy/secrets/, and the
# keyring. Needs the image of khata-api. What is there already stays.
#
# settings, from the environment: KHATA_RUN_FLAGS, more flags for the container engine's "run"
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=engine.sh
. docker/engine.sh

# Others on this machine may not pass the folder; in the containers each file is mounted alone, and must be readable by
# whoever the program runs as.
mkdir -p secrets
chmod 700 secrets

if [[ ! -e .env ]]; then
    postgres=$(random_hex) rabbitmq=$(random_hex)
    printf '%s' "$postgres" >secrets/postgres
    random_hex >secrets/grafana
    chmod 444 secrets/postgres secrets/grafana
    (
        umask 077
        sed -e "s/^POSTGRES_PASSWORD=.*/&$postgres/" -e "s/^RABBITMQ_PASSWORD=.*/&$rabbitmq/" compose.env.example >.env
    )
    echo "deploy/.env and the passwords are made; Grafana's admin has that of deploy/secrets/grafana"
fi

if [[ ! -e secrets/keyring.json ]]; then
    # shellcheck source=/dev/null
    image=$(. ./.env && printf '%s/khata-api:%s' "$KHATA_IMAGES" "$KHATA_VERSION")
    # shellcheck disable=SC2086 # the flags are divided by spaces
    # What it prints must stand in no log.
    (umask 077 && "$(container_engine)" run --rm --log-driver none ${KHATA_RUN_FLAGS:-} "$image" keyring generate >secrets/keyring.new)
    chmod 444 secrets/keyring.new
    mv secrets/keyring.new secrets/keyring.json
    echo "deploy/secrets/keyring.json is made. Without it the data is lost: keep a copy elsewhere"
fi
