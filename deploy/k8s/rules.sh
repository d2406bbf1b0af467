#!/usr/bin/env bash
# Writes deploy/prometheus/rules as the PrometheusRule of the monitoring component: the same rules for compose and for
# Kubernetes. With --check it writes nothing and fails if what is there was made of other rules.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
made=components/monitoring/rules.yaml

print() {
    cat <<'HEAD'
# Made by deploy/k8s/rules.sh of deploy/prometheus/rules: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: khata
spec:
  groups:
HEAD
    # Each file is "groups:" and what belongs to it, indented as it will be here but for the two of "spec".
    sed -e '/^#/d' -e '/^groups:$/d' -e 's/^./  &/' ../prometheus/rules/*.yaml
}

case ${1:-} in
    --check)
        diff --unified "$made" <(print) || {
            echo "khata: the rules have changed: run deploy/k8s/rules.sh" >&2
            exit 1
        }
        ;;
    '') print >"$made" ;;
    *)
        echo "usage: deploy/k8s/rules.sh [--check]" >&2
        exit 2
        ;;
esac
