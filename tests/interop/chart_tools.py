"""What the chart is tested with: Helm, kubeconform and the schemas of Kubernetes, all as Go modules; built and made once, into the cache."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

from packages import python_packages
from world import CACHE, Skip, need

HELM, KUBECONFORM = "helm.sh/helm/v3/cmd/helm@v3.22.0", "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
CONTROLLER_GEN = "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0"
KUBERNETES, GATEWAY_API = "k8s.io/kubernetes@v1.36.1", "sigs.k8s.io/gateway-api@v1.6.3"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring@v0.95.2"
# The release of Kubernetes that Helm takes for a cluster's where it asks none (`helm template`), as Helm's own builds name it.
KNOWN = " ".join(f"-X helm.sh/helm/v3/pkg/chartutil.k8sVersion{part}" for part in ("Major=1", "Minor=36"))
BUILT = CACHE / "chart-4"

sys.path.insert(0, str(python_packages("pyyaml-6", "PyYAML==6.0.3")))
import yaml  # noqa: E402, it is there from here on


def go(*arguments, env=None, cwd="/"):
    """What a command of Go printed."""
    need("go")
    done = subprocess.run(
        ["nice", "go", *arguments], env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=1500
    )
    if done.returncode:
        raise Skip(f"go {' '.join(arguments)}: {(done.stdout + done.stderr).strip()[-300:]}")
    return done.stdout


def module(name):
    """The folder of a Go module, which its checksum database has verified."""
    return pathlib.Path(json.loads(go("mod", "download", "-json", name))["Dir"])


def install():
    """A folder with the programs and, in `schemas`, a strict JSON schema for each kind that the chart makes."""
    if BUILT.exists():
        return BUILT
    unfinished = pathlib.Path(f"{BUILT}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "schemas").mkdir(parents=True)
    for program in (HELM, KUBECONFORM, CONTROLLER_GEN):
        go("install", "-ldflags", KNOWN, program, env={"GOBIN": str(unfinished)})
    for (group, version, kind), schema in {**of_kubernetes(), **of_custom_resources(unfinished)}.items():
        first = f"-{group.split('.')[0]}" if group else ""
        (unfinished / "schemas" / f"{kind.lower()}{first}-{version}.json").write_text(json.dumps(schema))
    unfinished.rename(BUILT)
    return BUILT


KINDS = [
    ("", "v1", "ConfigMap"), ("", "v1", "Service"), ("", "v1", "ServiceAccount"), ("apps", "v1", "Deployment"),
    ("policy", "v1", "PodDisruptionBudget"), ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "NetworkPolicy"), ("networking.k8s.io", "v1", "Ingress"), ("batch", "v1", "Job"),
]


def of_kubernetes():
    """The schemas of Kubernetes' own kinds, by group, version and kind."""
    definitions = json.loads((module(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())["definitions"]
    kinds = {}
    for name, definition in definitions.items():
        for it in definition.get("x-kubernetes-group-version-kind", []):
            kinds[it["group"], it["version"], it["kind"]] = name
    return {kind: strict({"$ref": kinds[kind]}, definitions) for kind in KINDS}


def of_custom_resources(folder):
    """The schemas of the Gateway API's HTTPRoute, and of the Prometheus operator's kinds, whose definitions are made of its Go types."""
    go_types, made = module(PROMETHEUS_OPERATOR), folder / "crds"
    asked = [folder / "controller-gen", "crd", "paths=./v1", f"output:crd:dir={made}"]
    subprocess.run(asked, cwd=go_types, check=True, capture_output=True, timeout=600)
    files = [
        module(GATEWAY_API) / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        made / "monitoring.coreos.com_servicemonitors.yaml",
        made / "monitoring.coreos.com_prometheusrules.yaml",
    ]
    schemas = {}
    for file in files:
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[spec["group"], version["name"], spec["names"]["kind"]] = strict(schema, {})
    return schemas


def strict(schema, definitions):
    """A schema of OpenAPI as one of JSON Schema, whole in itself, that refuses what it does not name."""
    if isinstance(schema, list):
        return [strict(member, definitions) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return strict(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if (schema.get("description") or "").startswith("Quantity is"):
        return {"type": ["number", "string"]}
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"type": "object"}
    found = {}
    for word, value in schema.items():
        if word in ("properties", "patternProperties"):
            found[word] = {name: strict(member, definitions) for name, member in value.items()}
        elif word in ("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"):
            found[word] = strict(value, definitions)
        elif word in ("type", "enum", "pattern", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"):
            found[word] = value
    # Branches of `oneOf` only name what the schema around them has.
    if "properties" in found and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found
