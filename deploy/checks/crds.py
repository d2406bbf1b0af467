"""Returns schemas of the custom resources in deploy/k8s.

CloudNativePG, KEDA, the Prometheus Operator, External Secrets and the Gateway API publish their definitions as YAML, in places that a
build machine may not reach. A package registry has Rust bindings of them (bindings.txt), generated one to one: a struct is an object, a
field a property, Option an optional property, an enum a list of words. This module turns the bindings back into JSON Schemas, which
reject every property that a definition does not name. The bindings lack the bounds and patterns of the originals.
"""

import re
from pathlib import Path

STRUCT = re.compile(r"^pub struct (\w+) \{\n(.*?)^\}", re.M | re.S)
ENUM = re.compile(r"^pub enum (\w+) \{\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"((?:^ +#\[.*\]\n)*)^ +pub (?:r#)?(\w+): (.+),$", re.M)
VARIANT = re.compile(r'(?:^ +#\[serde\(rename = "(.*)"\)\]\n)?^ +(?:r#)?(\w+),$', re.M)
RENAME = re.compile(r'rename = "([^"]*)"')
RESOURCE = re.compile(r'#\[kube\(group = "(.+?)", version = "(.+?)", kind = "(.+?)"')

SCALARS = {
    "String": {"type": "string"},
    "bool": {"type": "boolean"},
    "f64": {"type": "number"},
    "IntOrString": {"type": ["integer", "string"]},
    "serde_json::Value": {},
    "Condition": {"type": "object"},
} | {name: {"type": "integer"} for name in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")}

# No package registry has this one. Written by hand, for the fields that deploy/k8s uses, from the definition of RabbitMQ's Cluster
# Operator 2.x (rabbitmq.com/v1beta1). Check a new field there before adding it.
RABBITMQ_CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 0},
        "rabbitmq": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"additionalConfig": {"type": "string", "maxLength": 2000}},
        },
        "affinity": {"type": "object"},
        "persistence": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"storage": {"type": "string"}, "storageClassName": {"type": "string"}},
        },
        "resources": {"type": "object"},
    },
}


def schemas(bindings: Path) -> dict[tuple[str, str], dict]:
    """Returns the schema of `spec` by apiVersion and kind."""
    found = {("rabbitmq.com/v1beta1", "RabbitmqCluster"): RABBITMQ_CLUSTER}
    for file in sorted(bindings.glob("*/src/*/*.rs")):
        text = re.sub(r"^ *///.*\n", "", file.read_text(), flags=re.M)
        resource = RESOURCE.search(text)
        if resource:
            group, version, kind = resource.groups()
            # The struct of the specification is the first: its name has the words of the kind, in Rust's spelling.
            found[f"{group}/{version}", kind] = schema(text, STRUCT.search(text).group(1))
    return found


def schema(text: str, root: str) -> dict:
    definitions = {name: struct(body) for name, body in STRUCT.findall(text)}
    definitions |= {name: {"enum": words(body)} for name, body in ENUM.findall(text)}
    return {"$ref": f"#/$defs/{root}", "$defs": definitions}


def struct(body: str) -> dict:
    properties, required = {}, []
    for attributes, name, kind in FIELD.findall(body):
        renamed = RENAME.search(attributes)
        name = renamed.group(1) if renamed else name
        properties[name] = of_type(kind)
        if not kind.startswith("Option<"):
            required.append(name)
    if body.count("    pub ") != len(properties):
        raise ValueError(f"cannot parse the struct:\n{body}")
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def words(body: str) -> list[str]:
    return [renamed or name for renamed, name in VARIANT.findall(body)]


def of_type(kind: str) -> dict:
    if kind in SCALARS:
        return SCALARS[kind]
    if kind.startswith("Option<"):
        return of_type(kind[7:-1])
    if kind.startswith("Vec<"):
        return {"type": "array", "items": of_type(kind[4:-1])}
    if kind.startswith("BTreeMap<String, "):
        return {"type": "object", "additionalProperties": of_type(kind[17:-1])}
    if re.fullmatch(r"\w+", kind):
        # The validator reports a reference to an unknown struct.
        return {"$ref": f"#/$defs/{kind}"}
    raise ValueError(f"unknown type {kind}")
