#!/usr/bin/env bash
# make k8s-check: renders every overlay and validates what came out. Installs what it needs under the local folder's tools.
# Custom resources are checked by definitions from a package registry (deploy/checks/crds.py says how, and which one is not).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}")
tools=$folder/tools
rendered=$folder/k8s

deploy/checks/tools.sh
export PATH=$tools/deploy/bin:$PATH

# The rules of Prometheus and those of its operator are the same.
deploy/k8s/rules.sh --check

rm -rf -- "$rendered"
mkdir -p "$rendered"
overlays=()
for overlay in deploy/k8s/overlays/*/; do
    name=$(basename "$overlay")
    # What it warns of will be an error of a later version.
    if ! kubectl kustomize "$overlay" >"$rendered/$name.yaml" 2>"$rendered/$name.log" || [[ -s $rendered/$name.log ]]; then
        cat "$rendered/$name.log" >&2
        echo "khata: the overlay $name does not render cleanly" >&2
        exit 1
    fi
    overlays+=("$name=$rendered/$name.yaml")
    rm "$rendered/$name.log"
done

python deploy/checks/manifests.py "$tools/bindings" "${overlays[@]}"
# It passes over folders whose names begin with a dot, and says nothing of it: what it has read must be in its answer.
CKV_IGNORE_HIDDEN_DIRECTORIES=false checkov --config-file deploy/checks/checkov.yaml --framework kubernetes \
    --directory "$rendered" | tee "$rendered/checkov.log"
grep -q '^Passed checks: [1-9]' "$rendered/checkov.log" || {
    echo "khata: checkov has checked nothing" >&2
    exit 1
}
echo "  what it renders is in $rendered"
