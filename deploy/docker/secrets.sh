#!/usr/bin/env bash
# Generates the secrets of deploy/compose.yaml: passwords in deploy/.env and deploy/secrets/, and the keyring. Needs the image
# khata-api. Keeps files that exist.
#
# environment: KHATA_RUN_FLAGS, more flags for the container engine's "run"
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=engine.sh
. docker/engine.sh

# Other users of this machine cannot enter the folder. In the containers each file is mounted alone, and must be readable by
# the program's user.
mkdir -p secrets
chmod 700 secrets

if [[ ! -e .env ]]; then
    random_hex >secrets/postgres
    random_hex >secrets/grafana
    chmod 444 secrets/postgres secrets/grafana
    (
        umask 077
        while IFS= read -r line; do
            if [[ $line == *_PASSWORD= ]]; then line+=$(random_hex); fi
            printf '%s\n' "$line"
        done <compose.env.example >.env
    )
    echo "deploy/.env and the passwords are generated; deploy/secrets/grafana holds the password of Grafana's admin"
fi

if [[ ! -e secrets/keyring.json ]]; then
    # shellcheck source=/dev/null
    image=$(. ./.env && printf '%s/khata-api:%s' "$KHATA_IMAGES" "$KHATA_VERSION")
    # shellcheck disable=SC2086 # the flags are divided by spaces
    # No log may hold the output.
    (umask 077 && "$(container_engine)" run --rm --log-driver none --entrypoint khata ${KHATA_RUN_FLAGS:-} "$image" \
        keyring generate >secrets/keyring.new)
    chmod 444 secrets/keyring.new
    mv secrets/keyring.new secrets/keyring.json
    echo "deploy/secrets/keyring.json is generated. Without it the data is lost: keep a copy elsewhere"
fi
