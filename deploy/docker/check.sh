#!/usr/bin/env bash
# make compose-check: the Dockerfile, deploy/compose.yaml, and the configurations that it mounts, each by its own tool where a
# package registry has it: hadolint and checkov, compose-spec, promtool. The collector's, Tempo's, Loki's and Grafana's are read
# for what one refers to in another (deploy/checks/compose.py); their own programs are in images only.
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

deploy/grafana/dashboards.py --check
python deploy/checks/compose.py
