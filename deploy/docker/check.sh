#!/usr/bin/env bash
# make compose-check: checks the Dockerfile, deploy/compose.yaml and the configurations that it mounts, each with its own tool
# if a package registry has one: hadolint and checkov, compose-spec, promtool, amtool. The programs of the collector, Tempo, Loki and
# Grafana exist in images only: deploy/checks/compose.py checks the references between their configurations.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}/tools")

deploy/checks/tools.sh
export PATH=$tools/deploy/bin:$PATH

hadolint deploy/docker/Dockerfile
checkov --config-file deploy/checks/checkov.yaml --framework dockerfile --file deploy/docker/Dockerfile

promtool check config --syntax-only deploy/prometheus/prometheus.yaml
promtool check rules deploy/prometheus/rules/*.yaml
promtool test rules deploy/prometheus/tests/*.yaml
amtool check-config deploy/alertmanager/alertmanager.yaml

deploy/grafana/dashboards.py --check
python deploy/checks/compose.py
