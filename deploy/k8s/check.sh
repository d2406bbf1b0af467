#!/usr/bin/env bash
# make k8s-check: renders every overlay and the Helm chart, validates the results, and compares the chart with kustomize. Installs
# its programs under .local/tools. deploy/checks/crds.py takes the definitions of custom resources from a package registry, but
# for one.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath -m -- "${KHATA_LOCAL_DIR:-.local}")
tools=$folder/tools
rendered=$folder/k8s

deploy/checks/tools.sh
export PATH=$tools/deploy/bin:$tools/helm:$PATH

fail() {
    printf 'khata: %s\n' "$*" >&2
    exit 1
}

# render NAME FOLDER : a warning of kustomize is an error of its next versions.
render() {
    if ! kubectl kustomize "$2" >"$rendered/$1.yaml" 2>"$rendered/$1.log" || [[ -s $rendered/$1.log ]]; then
        cat "$rendered/$1.log" >&2
        fail "kustomize reports errors or warnings for $1"
    fi
    resources+=("$1=$rendered/$1.yaml")
    rm "$rendered/$1.log"
}

# render_lines NAME : renders a kustomization from standard input, for what no overlay holds.
render_lines() {
    mkdir "$rendered/$1"
    cat >"$rendered/$1/kustomization.yaml"
    render "$1" "$rendered/$1"
    rm -r "${rendered:?}/$1"
}

# render_chart NAME VALUES… : the result must equal kustomize's NAME.
render_chart() {
    local values=() file
    for file in "${@:2}"; do values+=(--values "$chart/$file"); done
    helm_without_links lint --strict --quiet "$chart" "${values[@]}"
    helm_without_links template khata "$chart" --namespace khata --kube-version 1.31 "${values[@]}" >"$rendered/$1-chart.yaml"
    resources+=("$1-chart=$rendered/$1-chart.yaml")
}

# Shows the messages of helm only if it fails: it names each symbolic link, which the chart has on purpose.
helm_without_links() {
    if ! helm "$@" 2>"$rendered/helm.log"; then
        cat "$rendered/helm.log" >&2
        fail "helm $1 fails"
    fi
    rm "$rendered/helm.log"
}

# rejected TEXT VALUES… : the chart must refuse values that would give a release without pods, or open to every address.
rejected() {
    if helm template khata "$chart" --namespace khata --values "$chart/checks/base.yaml" "${@:2}" >/dev/null 2>"$rendered/helm.log"; then
        fail "the chart accepts ${*:2}"
    fi
    grep --quiet --fixed-strings -- "$1" "$rendered/helm.log" || {
        cat "$rendered/helm.log" >&2
        fail "the chart refuses ${*:2} without '$1'"
    }
    rm "$rendered/helm.log"
}

# warned TEXT VALUES… : the chart must warn after an installation with these values, and not without them.
warned() {
    local install=(install khata "$chart" --dry-run=client --namespace khata --values "$chart/values-managed.yaml") without with
    without=$(helm_without_links "${install[@]}")
    with=$(helm_without_links "${install[@]}" "${@:2}")
    [[ $without != *"$1"* ]] || fail "the chart warns without a reason: $1"
    [[ $with == *"$1"* ]] || fail "the chart does not warn of ${*:2}: $1"
}

# Prometheus and its operator must have the same rules.
deploy/k8s/rules.sh --check

rm -rf -- "$rendered"
mkdir -p "$rendered"
resources=()
for overlay in deploy/k8s/overlays/*/; do
    render "$(basename "$overlay")" "$overlay"
done
k8s=$(realpath --relative-to "$rendered/x" deploy/k8s)
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
render_lines base <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: khata
resources: [$k8s/base]
images:
  - { name: khata-api, newName: registry.example.com/khata/khata-api, newTag: "$version" }
  - { name: khata-worker, newName: registry.example.com/khata/khata-worker, newTag: "$version" }
replicas: [{ name: khata-worker, count: 2 }]
KUSTOMIZATION
render_lines base-ingress-nginx <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: khata
resources: [$k8s/base]
components: [$k8s/components/ingress-nginx]
images:
  - { name: khata-api, newName: registry.example.com/khata/khata-api, newTag: "$version" }
  - { name: khata-worker, newName: registry.example.com/khata/khata-worker, newTag: "$version" }
replicas: [{ name: khata-worker, count: 2 }]
KUSTOMIZATION
render_lines managed-argo-cd <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: khata
resources: [$k8s/overlays/managed]
components: [$k8s/components/argo-cd]
KUSTOMIZATION
render_lines managed-psql <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [$k8s/overlays/managed, $k8s/psql]
KUSTOMIZATION
render_lines managed-vault-agent <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: khata
resources: [$k8s/overlays/managed]
components: [$k8s/components/vault-agent]
KUSTOMIZATION
render_lines production-argo-cd <<KUSTOMIZATION
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: khata
resources: [$k8s/overlays/production]
components: [$k8s/components/argo-cd]
KUSTOMIZATION

chart=deploy/helm/khata
render_chart base checks/base.yaml
render_chart base-ingress-nginx checks/base.yaml checks/ingress-nginx.yaml
render_chart managed values-managed.yaml
render_chart managed-argo-cd values-managed.yaml
render_chart managed-vault-agent values-managed.yaml checks/vault-agent.yaml
python deploy/checks/chart.py "$rendered"
rejected "'replicsa' not allowed" --set api.replicsa=3
rejected "at '/image/registry'" --set image.registry=
rejected "at '/gateway/parentRefs'" --set gateway.enabled=true
rejected "host is empty" --set host=
rejected "monitoring.runbookUrl is empty" --set monitoring.enabled=true,monitoring.runbookUrl=
rejected "database.host is empty" --set externalSecrets.enabled=true
rejected "networkPolicy.postgres is empty" --set-json 'networkPolicy.postgres=[]'
rejected "networkPolicy.callers is empty" --set-json 'networkPolicy.callers=[]'
rejected "at '/settings/KHATA_LISTEN'" --set settings.KHATA_LISTEN=127.0.0.1:8080
rejected "settings.KHATA_DATABASE_URL is a secret" --set settings.KHATA_DATABASE_URL=postgres://h/d
warned "database.caConfigMap is empty" --set database.caConfigMap=
# As it is published: with the contents of the links, and without the inputs of these checks.
helm_without_links package "$chart" --destination "$rendered" >/dev/null
packaged=$(tar --list --gzip --file "$rendered/khata-$version.tgz")
grep --quiet '^khata/files/rules/khata.yaml$' <<<"$packaged" || fail "the packaged chart lacks the alert rules"
grep --quiet '^khata/files/dashboards/overview.json$' <<<"$packaged" || fail "the packaged chart lacks the dashboards"
! grep '^khata/checks/' <<<"$packaged" || fail "the packaged chart holds inputs of the checks"

python deploy/checks/manifests.py "$tools/bindings" "${resources[@]}"
# checkov silently ignores folders whose names begin with a dot, so that its output must name passed checks.
CKV_IGNORE_HIDDEN_DIRECTORIES=false checkov --config-file deploy/checks/checkov.yaml --framework kubernetes \
    --directory "$rendered" | tee "$rendered/checkov.log"
grep -q '^Passed checks: [1-9]' "$rendered/checkov.log" || fail "checkov found no resource to check"
echo "  the rendered resources are in $rendered"
