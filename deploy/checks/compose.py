"""Checks deploy/compose.yaml and what it mounts. Run at the root of the repository.

The file itself is read by compose-spec, strictly. Then what no schema knows: that images are pinned, that what is mounted is there
and what is waited for can come, that settings are Khata's, and that one configuration's address is another's service.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from compose_spec import PyCompose

from manifests import settings, version

ROOT = Path("deploy")
COMPOSE = ROOT / "compose.yaml"
# Made by deploy/docker/secrets.sh, and in no repository.
MADE = ROOT / "secrets"
# Longer than the service's drain (README, "Settings"), the last spans and a silent database.
STOPS_WITHIN = {"api": 10 + 4, "worker": 25 + 4}
# Grafana's own words in a query, as values that Prometheus can parse.
WORDS = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "1m"}

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def check_everything_parses():
    for file in sorted(ROOT.rglob("*")):
        if file.suffix in (".yaml", ".yml"):
            try:
                list(yaml.safe_load_all(file.read_text()))
            except yaml.YAMLError as error:
                fault(file, error)
        elif file.suffix == ".json" and MADE not in file.parents:
            try:
                json.loads(file.read_text())
            except json.JSONDecodeError as error:
                fault(file, error)


def check_compose(compose):
    # Written anew, without anchors and merges: they are YAML's, and it takes them in some places only.
    PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(interpolated(COMPOSE.read_text())))).validate()
    services = compose["services"]
    for name, service in services.items():
        where = f"{COMPOSE}: {name}"
        check_image(where, interpolated(service["image"]))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (ROOT / source).exists():
                    fault(where, f"{source} is mounted and is not there")
                if not volume.endswith(":ro"):
                    fault(where, f"{source} is mounted to be written to")
            elif source not in compose["volumes"]:
                fault(where, f"there is no volume {source}")
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            if condition == "service_healthy" and not services[other].get("healthcheck"):
                fault(where, f"waits for the health of {other}, which is not asked after")
            if condition == "service_completed_successfully" and services[other].get("restart") != "no":
                fault(where, f"waits for the end of {other}, which is started again")
        for setting in service.get("environment", {}):
            if setting.startswith(("KHATA_", "OTEL_")) and setting not in settings():
                fault(where, f"the README knows of no setting {setting}")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                fault(where, f"port {port} is open to others than this machine")
        if name in STOPS_WITHIN and int(service["stop_grace_period"].removesuffix("s")) <= STOPS_WITHIN[name]:
            fault(where, f"needs {STOPS_WITHIN[name]} s to stop")
        for hardened in ("read_only", "cap_drop", "security_opt"):
            if hardened not in service:
                fault(where, f"has no {hardened}")
    script = (ROOT / "docker" / "secrets.sh").read_text()
    for name, secret in compose["secrets"].items():
        file = ROOT / secret["file"]
        if MADE in file.parents:
            if f"secrets/{file.name}" not in script:
                fault(COMPOSE, f"nobody makes the secret {name}")
        elif not file.exists():
            fault(COMPOSE, f"the secret {name} is not there")
    check_variables(COMPOSE.read_text())


def check_image(where, image):
    reference, _, tag = image.rpartition(":")
    if not re.match(r"^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+)/", reference):
        fault(where, f"{image} names no registry")
    # A version of three numbers, and not one that moves.
    if not re.match(r"^v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", tag):
        fault(where, f"{image} is not pinned")
    if reference.startswith("localhost/khata-") and tag != version():
        fault(where, f"{image} is not of version {version()}")


def interpolated(text):
    """With the defaults, and a word for what has none."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text)


def check_variables(text):
    used = set(re.findall(r"\$\{(\w+)", text))
    told = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "compose.env.example").read_text(), re.M))
    if told.get("KHATA_VERSION") != version():
        fault(ROOT / "compose.env.example", f"KHATA_VERSION is not {version()}")
    for name in sorted(used ^ set(told)):
        fault(COMPOSE, f"{name} is in only one of compose.yaml and compose.env.example")


# --- the configurations -------------------------------------------------------------------------


def check_addresses(services):
    """What a configuration of one service calls is a service of the file, at a port that this one opens."""
    open_ports = {
        name: {port.split(":")[-1] for port in [*service.get("ports", []), *service.get("expose", [])]}
        for name, service in services.items()
    }
    open_ports["postgres"] |= {"5432"}
    open_ports["rabbitmq"] |= {"5672", "15692"}
    files = [COMPOSE, ROOT / "otel/collector.yaml", ROOT / "prometheus/prometheus.yaml"]
    files += sorted((ROOT / "grafana/provisioning").rglob("*.yaml"))
    for file in files:
        for host, port in re.findall(r"(?:[/@\[ ]|^)([a-z][a-z-]+):(\d{4,5})\b", interpolated(file.read_text()), re.M):
            if host == "localhost":
                continue
            if host not in services:
                fault(file, f"there is no service {host}")
            elif port not in open_ports[host]:
                fault(file, f"{host} does not open {port}")
    prometheus = yaml.safe_load((ROOT / "prometheus/prometheus.yaml").read_text())
    for job in prometheus["scrape_configs"]:
        for found in job.get("dns_sd_configs", []):
            for name in found["names"]:
                if name not in services or str(found["port"]) not in open_ports[name]:
                    fault(ROOT / "prometheus/prometheus.yaml", f"no service {name} opens {found['port']}")


def check_collector():
    file = ROOT / "otel/collector.yaml"
    collector = yaml.safe_load(file.read_text())
    used = {"receivers": set(), "processors": set(), "exporters": set()}
    for name, pipeline in collector["service"]["pipelines"].items():
        for kind, names in used.items():
            names.update(pipeline[kind])
        if pipeline["processors"][0] != "memory_limiter":
            fault(file, f"the pipeline {name} does not begin with memory_limiter")
    used["extensions"] = set(collector["service"]["extensions"])
    for kind, names in used.items():
        for name in sorted(names ^ set(collector[kind])):
            fault(file, f"{kind}: {name} is only named or only defined")


def check_grafana():
    provisioning = ROOT / "grafana/provisioning"
    sources = {
        source["uid"]
        for file in (provisioning / "datasources").glob("*.yaml")
        for source in yaml.safe_load(file.read_text())["datasources"]
    }
    for file in (provisioning / "datasources").glob("*.yaml"):
        for uid in re.findall(r"datasourceUid: (\w+)", file.read_text()):
            if uid not in sources:
                fault(file, f"there is no data source {uid}")
    folder = ROOT / "grafana/dashboards"
    listed = {name for entry in yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"] for name in entry["files"]}
    files = sorted(folder.glob("*.json"))
    for name in sorted(listed ^ {file.name for file in files}):
        fault(folder, f"{name} is not both there and in kustomization.yaml")
    uids, expressions = set(), []
    for file in files:
        dashboard = json.loads(file.read_text())
        if dashboard["uid"] in uids:
            fault(file, f"the uid {dashboard['uid']} is another's")
        uids.add(dashboard["uid"])
        for panel in panels_of(dashboard):
            where = f"{file}: {panel.get('title') or panel['id']}"
            if not panel.get("title") or not panel.get("description"):
                fault(where, "a panel has a title and a description")
            if panel["type"] in ("timeseries", "stat", "gauge", "bargauge") and "unit" not in panel["fieldConfig"]["defaults"]:
                fault(where, "a panel has a unit")
            for target in panel.get("targets", []):
                uid = target.get("datasource", panel.get("datasource", {})).get("uid")
                if uid not in sources:
                    fault(where, f"there is no data source {uid}")
                if uid == "prometheus":
                    expressions.append((where, target["expr"]))
    check_expressions(expressions)


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        elif panel["type"] != "text":
            yield panel


def check_expressions(expressions):
    """Parsed by promtool, as rules: it has no other way to be asked."""
    rules = []
    for where, expression in expressions:
        for word, value in WORDS.items():
            expression = expression.replace(word, value)
        expression = re.sub(r"\$\{?\w+(:\w+)?\}?", "x", expression)
        rules.append({"record": "x", "expr": expression, "labels": {"panel": where}})
    if not rules:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
        file.flush()
        told = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
    if told.returncode != 0:
        fault(ROOT / "grafana/dashboards", told.stdout + told.stderr)


def main():
    check_everything_parses()
    if not faults:
        compose = yaml.safe_load(COMPOSE.read_text())
        check_compose(compose)
        check_addresses(compose["services"])
        check_collector()
        check_grafana()
    for line in faults:
        print(f"khata: {line}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
