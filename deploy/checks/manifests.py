"""Checks what kustomize rendered: manifests.py BINDINGS NAME=FILE…, run at the root of the repository.

Every resource against its schema, strictly: Kubernetes' own at the oldest and the newest version that we say we run on, custom
ones by crds.py. Then what no schema knows: that what is referred to exists, that settings are Khata's, that grace periods fit.
"""

import re
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

import crds

# The oldest that Khata is said to run on (preStop's sleep needs 1.30), and the newest that kubernetes-validate knows.
VERSIONS = ("1.31", "1.37")
# Made by hand, as docs/deployment.md says.
BY_HAND = {"development": {"khata-keyring"}, "production": set()}
# After the drain: the last spans, a silent database (shared/src/telemetry, shared/src/shutdown.rs).
AFTER_DRAIN = 3 + 1
TEMPLATES = ("Deployment", "StatefulSet", "Job")


class Overlay:
    def __init__(self, name, file, custom):
        self.name, self.custom, self.settings, self.version = name, custom, settings(), version()
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
            elif kind == "Service":
                self.check_selector(resource["spec"]["selector"])
            elif kind in ("PodDisruptionBudget", "NetworkPolicy"):
                spec = resource["spec"]
                self.check_selector(spec.get("selector", spec.get("podSelector")))
                for rule in spec.get("ingress", []) + spec.get("egress", []):
                    for peer in rule.get("from", []) + rule.get("to", []):
                        # In another namespace are pods that we do not know.
                        if "podSelector" in peer and "namespaceSelector" not in peer:
                            self.check_selector(peer["podSelector"])
            elif kind == "ServiceMonitor":
                labels = resource["spec"]["selector"]["matchLabels"]
                if not any(labels.items() <= (service["metadata"].get("labels") or {}).items() for service in self.of("Service")):
                    self.fault(f"no Service has the labels {labels}")
            elif kind == "PodMonitor":
                self.check_selector(resource["spec"]["selector"])
            if kind == "ConfigMap" and resource["metadata"]["name"].startswith("khata-settings"):
                for unknown in sorted(set(resource["data"]) - self.settings):
                    self.fault(f"the README knows of no setting {unknown}")
        return self.faults

    def fault(self, what):
        self.faults.append(f"{self.where}: {what}")

    def of(self, *kinds):
        return [resource for resource in self.resources if resource["kind"] in kinds]

    def check_schema(self, resource):
        version, kind = resource["apiVersion"], resource["kind"]
        group = version.split("/")[0]
        if "." in group and not group.endswith(".k8s.io"):
            if (version, kind) not in self.custom:
                self.fault(f"there is no schema of {version} {kind}: bindings.txt")
                return
            for extra in sorted(set(resource) - {"apiVersion", "kind", "metadata", "spec"}):
                self.fault(f"{extra} has no place here")
            validator = jsonschema.Draft202012Validator(self.custom[version, kind])
            for error in validator.iter_errors(resource["spec"]):
                self.fault(f"{error.json_path.replace('$', 'spec', 1)}: {error.message}")
            return
        for kubernetes in VERSIONS:
            try:
                kubernetes_validate.validate(resource, kubernetes, strict=True)
            except kubernetes_validate.ValidationError as error:
                self.fault(f"by Kubernetes {kubernetes}: {'.'.join(map(str, error.path))}: {error.message}")

    # --- what is referred to exists ------------------------------------------------------------

    def check_references(self, resource):
        pod = resource["spec"]["template"]["spec"]
        account = pod.get("serviceAccountName")
        if account and account not in {found["metadata"]["name"] for found in self.of("ServiceAccount")}:
            self.fault(f"there is no ServiceAccount {account}")
        for name, key in secrets_of(pod):
            made = self.secrets()
            if name not in made:
                self.fault(f"nobody makes the Secret {name}")
            elif key and made[name] is not None and key not in made[name]:
                self.fault(f"the Secret {name} has no key {key}")
        maps = {found["metadata"]["name"] for found in self.of("ConfigMap")}
        for container in pod["containers"]:
            image, _, tag = container["image"].rpartition(":")
            if image.rpartition("/")[2].startswith("khata-") and tag != self.version:
                self.fault(f"{container['image']} is not of version {self.version}")
            for source in container.get("envFrom", []):
                if source["configMapRef"]["name"] not in maps:
                    self.fault(f"there is no ConfigMap {source['configMapRef']['name']}")
            for variable in container.get("env", []):
                known = [entry["name"] for entry in container["env"]]
                for used in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                    if used not in known[: known.index(variable["name"])]:
                        self.fault(f"{variable['name']} is made of {used}, which does not stand before it")
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            claims = {claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])}
            for missing in sorted(mounted - claims - {volume["name"] for volume in pod.get("volumes", [])}):
                self.fault(f"there is no volume {missing}")

    def secrets(self):
        """Whose keys are known: those; else None."""
        made = {secret["metadata"]["name"]: {*secret.get("data", {}), *secret.get("stringData", {})} for secret in self.of("Secret")}
        made |= {name: None for name in BY_HAND[self.name]}
        for external in self.of("ExternalSecret"):
            target = external["spec"]["target"]
            keys = target.get("template", {}).get("data") or [entry["secretKey"] for entry in external["spec"]["data"]]
            made[target["name"]] = set(keys)
        # As the operators call them.
        for cluster in self.of("Cluster"):
            made[f"{cluster['metadata']['name']}-app"] = {"uri", "username", "password", "host", "port", "dbname"}
            made[f"{cluster['metadata']['name']}-ca"] = {"ca.crt", "ca.key"}
        for cluster in self.of("RabbitmqCluster"):
            keys = {"username", "password", "host", "port", "connection_string"}
            made[f"{cluster['metadata']['name']}-default-user"] = keys
        return made

    def check_selector(self, selector):
        labels = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
        wanted = {key: {value} for key, value in labels.items()}
        for expression in selector.get("matchExpressions", []):
            assert expression["operator"] == "In", expression
            wanted[expression["key"]] = set(expression["values"])
        pods = self.pods()
        # Each word of an In must find its pod, so that none is a slip of the pen.
        for key, values in wanted.items():
            for value in values:
                if not any(pod.get(key) == value and all(pod.get(k) in v for k, v in wanted.items()) for pod in pods):
                    self.fault(f"no pod has {key}={value} and fits {wanted}")

    def pods(self):
        pods = [resource["spec"]["template"]["metadata"]["labels"] for resource in self.of(*TEMPLATES)]
        pods += [{"cnpg.io/cluster": cluster["metadata"]["name"]} for cluster in self.of("Cluster")]
        pods += [{"app.kubernetes.io/name": cluster["metadata"]["name"]} for cluster in self.of("RabbitmqCluster")]
        return pods

    # --- times fit together ----------------------------------------------------------------------

    def check_grace(self, resource):
        name = resource["metadata"]["name"]
        drain = {"khata-api": "KHATA_API_DRAIN_SECONDS", "khata-worker": "KHATA_WORKER_DRAIN_SECONDS"}.get(name)
        if not drain:
            return
        settings = next(found["data"] for found in self.of("ConfigMap") if found["metadata"]["name"].startswith("khata-settings"))
        pod = resource["spec"]["template"]["spec"]
        sleep = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = sleep + int(settings[drain]) + AFTER_DRAIN
        if pod["terminationGracePeriodSeconds"] <= needed:
            self.fault(f"needs {needed} s to stop and is given {pod['terminationGracePeriodSeconds']} s")


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
    """Returns the first column of the table in docs/settings.md."""
    return set(re.findall(r"^\| `([A-Z][A-Z_]+)` \|", Path("docs/settings.md").read_text(), re.M))


def version() -> str:
    """The workspace's, which is that of its images."""
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
