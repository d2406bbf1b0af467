"""Checks the output of kustomize and Helm: manifests.py BINDINGS NAME=FILE…, run at the root of the repository.

Validates every resource strictly: Kubernetes' own with the schemas of the oldest and newest supported version, custom ones with
crds.py. The rest is beyond any schema: referenced resources exist, settings are Khata's, grace periods are long enough.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

import crds

# The oldest supported version (preStop's sleep needs 1.30), and the newest of kubernetes-validate.
VERSIONS = ("1.31", "1.37")
# Secrets and ConfigMaps that the operator creates, as in docs/deployment.md.
DATABASE = {f"khata-database-{role}" for role in ("owner", "api", "worker", "operator")}
MANUAL = {
    "base": {"khata-keyring", "khata-broker"} | DATABASE,
    "development": {"khata-keyring"},
    "managed": {"khata-postgres-ca"},
}
# Seconds after the drain: the last spans (3), a database that does not reply (1), and the worker's last report and commit
# (worker/src/application.rs, which tests this figure).
AFTER_DRAIN = {"khata-api": 4, "khata-worker": 10}
TEMPLATES = ("Deployment", "StatefulSet", "Job")
# Limits per address that an Ingress for merchants must have: the API itself limits by API key and merchant (docs/security.md).
INGRESS_LIMITS = {"nginx.ingress.kubernetes.io/limit-connections", "nginx.ingress.kubernetes.io/limit-rps"}
# Calls that stay within the cluster, and the gateways' webhooks, which are not calls for merchants.
INTERNAL_PATHS = {"/health", "/version"}
GATEWAY_PATHS = {"/gateways"}


class Overlay:
    def __init__(self, name, file, custom):
        self.name, self.custom, self.settings, self.version = name, custom, settings(), version()
        # The chart has the manual resources of its overlay, and "managed-gateway" those of "managed".
        self.manual = MANUAL.get(name.removesuffix("-chart").split("-")[0], set())
        self.resources = [resource for resource in yaml.safe_load_all(Path(file).read_text()) if resource]
        self.faults = []

    def check(self):
        for resource in self.resources:
            self.where = f"{self.name}: {resource['kind']} {resource['metadata']['name']}"
            self.check_schema(resource)
            kind = resource["kind"]
            if kind in TEMPLATES:
                self.check_references(resource)
                self.check_grace(resource)
                self.check_probes(resource)
                if kind == "Job":
                    self.check_order(resource)
            elif kind == "Ingress":
                self.check_ingress(resource)
            elif kind == "HTTPRoute":
                self.check_paths(match["path"]["value"] for rule in resource["spec"]["rules"] for match in rule["matches"])
            elif kind == "Service":
                self.check_selector(resource["spec"]["selector"])
            elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
                spec = resource["spec"]
                self.check_selector(spec.get("selector", spec.get("podSelector")))
                for rule in spec.get("ingress", []) + spec.get("egress", []):
                    for peer in rule.get("from", []) + rule.get("to", []):
                        # The pods of another namespace are unknown here.
                        if "podSelector" in peer and "namespaceSelector" not in peer:
                            self.check_selector(peer["podSelector"])
            elif kind == "PrometheusRule":
                self.check_links(resource)
            elif kind == "ServiceMonitor":
                labels = resource["spec"]["selector"]["matchLabels"]
                if not any(labels.items() <= (service["metadata"].get("labels") or {}).items() for service in self.of("Service")):
                    self.fault(f"no Service has the labels {labels}")
            elif kind == "PodMonitor":
                self.check_selector(resource["spec"]["selector"])
            if kind == "ConfigMap" and resource["metadata"]["name"].startswith("khata-settings"):
                for unknown in sorted(set(resource["data"]) - self.settings):
                    self.fault(f"no page of docs/ lists the setting {unknown}")
        return self.faults

    def fault(self, what):
        self.faults.append(f"{self.where}: {what}")

    def of(self, *kinds):
        return [resource for resource in self.resources if resource["kind"] in kinds]

    def check_schema(self, resource):
        version, kind = resource["apiVersion"], resource["kind"]
        group = version.split("/")[0]
        if (version, kind) in self.custom or ("." in group and not group.endswith(".k8s.io")):
            if (version, kind) not in self.custom:
                self.fault(f"bindings.txt lacks a schema for {version} {kind}")
                return
            for extra in sorted(set(resource) - {"apiVersion", "kind", "metadata", "spec"}):
                self.fault(f"unknown field {extra}")
            validator = jsonschema.Draft202012Validator(self.custom[version, kind])
            for error in validator.iter_errors(resource["spec"]):
                self.fault(f"{error.json_path.replace('$', 'spec', 1)}: {error.message}")
            return
        for kubernetes in VERSIONS:
            try:
                kubernetes_validate.validate(resource, kubernetes, strict=True)
            except kubernetes_validate.ValidationError as error:
                self.fault(f"by Kubernetes {kubernetes}: {'.'.join(map(str, error.path))}: {error.message}")

    # --- references ----------------------------------------------------------------------------

    def check_references(self, resource):
        pod = resource["spec"]["template"]["spec"]
        account = pod.get("serviceAccountName")
        if account and account not in {found["metadata"]["name"] for found in self.of("ServiceAccount")}:
            self.fault(f"the ServiceAccount {account} does not exist")
        for name, key in secrets_of(pod):
            known = self.secrets()
            if name not in known:
                self.fault(f"the Secret {name} does not exist")
            elif key and known[name] is not None and key not in known[name]:
                self.fault(f"the Secret {name} has no key {key}")
        maps = {found["metadata"]["name"] for found in self.of("ConfigMap")}
        for volume in pod.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in maps | self.manual:
                self.fault(f"the ConfigMap {volume['configMap']['name']} does not exist")
        for container in pod["containers"]:
            image, _, tag = container["image"].rpartition(":")
            if image.rpartition("/")[2].startswith("khata-") and tag != self.version:
                self.fault(f"{container['image']} must have version {self.version}")
            for source in container.get("envFrom", []):
                if source["configMapRef"]["name"] not in maps:
                    self.fault(f"the ConfigMap {source['configMapRef']['name']} does not exist")
            for variable in container.get("env", []):
                known = [entry["name"] for entry in container["env"]]
                for used in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                    if used not in known[: known.index(variable["name"])]:
                        self.fault(f"{variable['name']} uses {used}, which must be defined before it")
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            claims = {claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])}
            for missing in sorted(mounted - claims - {volume["name"] for volume in pod.get("volumes", [])}):
                self.fault(f"the volume {missing} is not defined")

    def secrets(self):
        """Returns the keys of each Secret, or None for a Secret whose keys are unknown."""
        known = {secret["metadata"]["name"]: {*secret.get("data", {}), *secret.get("stringData", {})} for secret in self.of("Secret")}
        known |= {name: None for name in self.manual}
        for external in self.of("ExternalSecret"):
            target = external["spec"]["target"]
            keys = target.get("template", {}).get("data") or [entry["secretKey"] for entry in external["spec"]["data"]]
            known[target["name"]] = set(keys)
        # By the naming rules of the operators.
        for cluster in self.of("Cluster"):
            known[f"{cluster['metadata']['name']}-app"] = {"uri", "username", "password", "host", "port", "dbname"}
            known[f"{cluster['metadata']['name']}-ca"] = {"ca.crt", "ca.key"}
        for cluster in self.of("RabbitmqCluster"):
            keys = {"username", "password", "host", "port", "connection_string"}
            known[f"{cluster['metadata']['name']}-default-user"] = keys
        return known

    def check_selector(self, selector):
        labels = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
        wanted = {key: {value} for key, value in labels.items()}
        for expression in selector.get("matchExpressions", []):
            assert expression["operator"] == "In", expression
            wanted[expression["key"]] = set(expression["values"])
        pods = self.pods()
        # Each value of an In must match a pod, which finds typing errors.
        for key, values in wanted.items():
            for value in values:
                if not any(pod.get(key) == value and all(pod.get(k) in v for k, v in wanted.items()) for pod in pods):
                    self.fault(f"no pod has {key}={value} and matches {wanted}")

    def pods(self):
        pods = [resource["spec"]["template"]["metadata"]["labels"] for resource in self.of(*TEMPLATES)]
        pods += [{"cnpg.io/cluster": cluster["metadata"]["name"]} for cluster in self.of("Cluster")]
        pods += [{"app.kubernetes.io/name": cluster["metadata"]["name"]} for cluster in self.of("RabbitmqCluster")]
        return pods

    # --- clients that merchants and attackers run -----------------------------------------------

    def check_paths(self, published):
        published, called = set(published), called_paths()
        for path in sorted(published - called):
            self.fault(f"publishes {path}, which no merchant and no gateway calls")
        for path in sorted(called - published):
            self.fault(f"does not publish {path}, which merchants or gateways call")

    def check_ingress(self, ingress):
        self.check_paths(path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"])
        annotations = ingress["metadata"].get("annotations", {})
        if self.name.startswith(("production", "managed")):
            for limit in sorted(INGRESS_LIMITS):
                if not int(annotations.get(limit, 0)) > 0:
                    self.fault(f"lacks the limit {limit}")

    def check_links(self, resource):
        """Checks that an operator can follow the links of each alert from anywhere."""
        for group in resource["spec"]["groups"]:
            for rule in group["rules"]:
                for link in ("runbook_url", "dashboard_url"):
                    if "alert" in rule and not rule["annotations"].get(link, "").startswith("https://"):
                        self.fault(f"{rule['alert']} has no absolute {link}")

    def check_probes(self, resource):
        """Checks that no probe of the API uses the port that merchants reach, whose connections they can fill."""
        for container in resource["spec"]["template"]["spec"]["containers"]:
            probes = [container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container]
            if container["name"] == "khata-api" and (not probes or any(probe["httpGet"]["port"] != "metrics" for probe in probes)):
                self.fault("the probes must use the port metrics")

    # --- order ---------------------------------------------------------------------------------

    def check_order(self, job):
        """Checks that the hooks of Helm or the waves of Argo CD run the migration after all that it needs and before the pods."""
        migration = order(job)
        if migration == (1, 0):
            return
        policy = {key: value for key, value in job["metadata"]["annotations"].items() if key.endswith("/hook-delete-policy")}
        if set(policy.values()) not in ({"before-hook-creation"}, {"BeforeHookCreation"}):
            self.fault("the hook must delete the Job of the release before, and keep its own for the log")
        pod = job["spec"]["template"]["spec"]
        needed = {("ServiceAccount", pod["serviceAccountName"])}
        needed |= {("ExternalSecret", name) for name, _ in secrets_of(pod)} | {("Secret", name) for name, _ in secrets_of(pod)}
        needed |= {("Cluster", name.rpartition("-")[0]) for name, _ in secrets_of(pod)}
        for resource in self.resources:
            kind, name = resource["kind"], resource["metadata"]["name"]
            # At a first installation by Helm no policy forbids anything yet; at the next, the policies exist.
            first = kind == "Namespace" or (kind == "NetworkPolicy" and migration[0] == 1) or (kind, name) in needed
            if first and order(resource) >= migration:
                self.fault(f"the migration starts before {kind} {name} exists")
            if kind == "Deployment" and order(resource) <= migration:
                self.fault(f"{kind} {name} starts before the migration")

    # --- times ---------------------------------------------------------------------------------

    def check_grace(self, resource):
        name = resource["metadata"]["name"]
        drain = {"khata-api": "KHATA_API_DRAIN_SECONDS", "khata-worker": "KHATA_WORKER_DRAIN_SECONDS"}.get(name)
        if not drain:
            return
        settings = next(found["data"] for found in self.of("ConfigMap") if found["metadata"]["name"].startswith("khata-settings"))
        pod = resource["spec"]["template"]["spec"]
        sleep = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = sleep + int(settings[drain]) + AFTER_DRAIN[name]
        if pod["terminationGracePeriodSeconds"] <= needed:
            self.fault(f"terminationGracePeriodSeconds is {pod['terminationGracePeriodSeconds']} and must exceed {needed}")


def order(resource):
    """Returns phase and weight: Helm's hooks before an installation run before all other resources."""
    annotations = resource["metadata"].get("annotations", {})
    if "helm.sh/hook" in annotations:
        return 0, int(annotations["helm.sh/hook-weight"])
    return 1, int(annotations.get("argocd.argoproj.io/sync-wave", 0))


def called_paths() -> set[str]:
    """Returns the beginnings of the paths that merchants, their receivers and gateways call: the first segment, and two of a path under
    /.well-known, which is not Khata's alone."""
    paths = json.loads(Path("docs/openapi.json").read_text())["paths"]
    segments = (path.split("/")[1:] for path in paths)
    first = {"/" + "/".join(s[: 2 if s[0] == ".well-known" else 1]) for s in segments}
    return first - INTERNAL_PATHS | GATEWAY_PATHS


def secrets_of(pod):
    for container in pod["containers"]:
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield reference["name"], reference["key"]
    for volume in pod.get("volumes", []):
        if "secret" in volume:
            items = volume["secret"].get("items") or [{"key": None}]
            for item in items:
                yield volume["secret"]["secretName"], item["key"]


def settings() -> set[str]:
    """Returns the names in the documentation's tables of settings."""
    pages = [Path("README.md"), *Path("docs").glob("*.md")]
    return {name for page in pages for name in re.findall(r"^\| `([A-Z][A-Z_]+)` \|", page.read_text(), re.M)}


def version() -> str:
    """Returns the workspace's version, which is also the images' version."""
    return re.search(r'^version = "(.+)"$', Path("Cargo.toml").read_text(), re.M).group(1)


def main(bindings, *overlays):
    custom, faults = crds.schemas(Path(bindings)), []
    for overlay in overlays:
        name, file = overlay.split("=", 1)
        checked = Overlay(name, file, custom)
        faults += checked.check()
        print(f"  {name}: {len(checked.resources)} resources")
    for fault in faults:
        print(f"khata: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
