"""Compares the Helm chart with kustomize: chart.py FOLDER, run at the root of the repository.

For each NAME-chart.yaml, the chart's output, FOLDER holds NAME.yaml, kustomize's output. Both must have the same resources with the
same fields. The differences that the two tools need are listed here.
"""

import re
import sys
from pathlib import Path

import yaml

from manifests import version

CHART = Path("deploy/helm/khata/Chart.yaml")
# Helm does not create the release's namespace by a template.
ONLY_KUSTOMIZE = {"Namespace"}
# The base leaves the servers to the overlays. The chart has none without them.
SERVERS = {"NetworkPolicy khata-reaches-postgres", "NetworkPolicy khata-reaches-rabbitmq"}
ONLY_CHART = {"base": SERVERS, "base-ingress-nginx": SERVERS}
# Each tool's own labels and annotations, on a resource. manifests.py checks the order that the hooks and waves give.
METADATA = re.compile(r"app\.kubernetes\.io/(part-of|instance|managed-by)|helm\.sh/.*|argocd\.argoproj\.io/.*|checksum/settings")
# kustomize names the settings by their content, so that a changed setting is a rollout; the chart has a checksum in the pods.
SETTINGS = re.compile(r"^khata-settings(-[a-z0-9]{10})?$")


def read(file):
    resources = [resource for resource in yaml.safe_load_all(file.read_text()) if resource]
    return {f"{resource['kind']} {name(resource['metadata']['name'])}": plain(resource) for resource in resources}


def name(value):
    return SETTINGS.sub("khata-settings", value)


def plain(value):
    """Returns the value without the tools' own metadata, empty objects and hashes of names."""
    if isinstance(value, dict):
        result = {key: plain(member) for key, member in value.items()}
        for kind in ("labels", "annotations"):
            if isinstance(result.get("metadata"), dict) and isinstance(result["metadata"].get(kind), dict):
                members = result["metadata"][kind]
                result["metadata"][kind] = {key: member for key, member in members.items() if not METADATA.fullmatch(key)}
                if not result["metadata"][kind]:
                    del result["metadata"][kind]
        return result
    if isinstance(value, list):
        return [plain(member) for member in value]
    return name(value) if isinstance(value, str) else value


def differences(kustomize, chart, path=""):
    if isinstance(kustomize, dict) and isinstance(chart, dict):
        for key in sorted(kustomize.keys() | chart.keys()):
            yield from differences(kustomize.get(key), chart.get(key), f"{path}.{key}" if path else key)
    elif isinstance(kustomize, list) and isinstance(chart, list) and len(kustomize) == len(chart):
        for index, (one, other) in enumerate(zip(kustomize, chart)):
            yield from differences(one, other, f"{path}[{index}]")
    # As types too: 1 and True are equal in Python.
    elif type(kustomize) is not type(chart) or kustomize != chart:
        yield f"{path}: kustomize has {shown(kustomize)}, the chart {shown(chart)}"


def shown(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def compare(pair, kustomize, chart):
    for only in sorted(kustomize.keys() - chart.keys()):
        if only.split()[0] not in ONLY_KUSTOMIZE:
            yield f"{pair}: {only} is in kustomize only"
    for only in sorted(chart.keys() - kustomize.keys() - ONLY_CHART.get(pair, set())):
        yield f"{pair}: {only} is in the chart only"
    for both in sorted(kustomize.keys() & chart.keys()):
        for difference in differences(kustomize[both], chart[both]):
            yield f"{pair}: {both}: {difference}"


def main(folder):
    faults = []
    chart = yaml.safe_load(CHART.read_text())
    for field in ("version", "appVersion"):
        if chart[field] != version():
            faults.append(f"{CHART}: {field} must be {version()}")
    files = sorted(Path(folder).glob("*-chart.yaml"))
    if not files:
        faults.append(f"{folder} has no output of the chart")
    for file in files:
        pair = file.stem.removesuffix("-chart")
        kustomize, chart = read(file.with_name(f"{pair}.yaml")), read(file)
        found = list(compare(pair, kustomize, chart))
        print(f"  chart and kustomize, {pair}: {len(chart)} resources, {len(found)} differences")
        faults += found
    for fault in faults:
        print(f"khata: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
