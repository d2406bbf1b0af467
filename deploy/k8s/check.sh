#!/usr/bin/env bash
# make k8s-check: renders every overlay and validates the result. Installs its programs under .local/tools.
# deploy/checks/crds.py takes the definitions of custom resources from a package registry, but for one.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}")
tools=$folder/tools
rendered=$folder/k8s

deploy/checks/tools.sh
export PATH=$tools/deploy/bin:$PATH

# Prometheus and its operator must have the same rules.
deploy/k8s/rules.sh --check

rm -rf -- "$rendered"
mkdir -p "$rendered"
overlays=()
for overlay in deploy/k8s/overlays/*/; do
    name=$(basename "$overlay")
    # A warning of kustomize is an error of its next versions.
    if ! kubectl kustomize "$overlay" >"$rendered/$name.yaml" 2>"$rendered/$name.log" || [[ -s $rendered/$name.log ]]; then
        cat "$rendered/$name.log" >&2
        echo "khata: kustomize reports errors or warnings for the overlay $name" >&2
        exit 1
    fi
    overlays+=("$name=$rendered/$name.yaml")
    rm "$rendered/$name.log"
done

python deploy/checks/manifests.py "$tools/bindings" "${overlays[@]}"
# checkov silently ignores folders whose names begin with a dot, so that its output must name passed checks.
CKV_IGNORE_HIDDEN_DIRECTORIES=false checkov --config-file deploy/checks/checkov.yaml --framework kubernetes \
    --directory "$rendered" | tee "$rendered/checkov.log"
grep -q '^Passed checks: [1-9]' "$rendered/checkov.log" || {
    echo "khata: checkov found no resource to check" >&2
    exit 1
}
echo "  the rendered resources are in $rendered"
