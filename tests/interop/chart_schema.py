"""The part of the chart's values.schema.json that is Evergate's settings, made of docs/settings.md.

    tests/interop/chart.py --write     writes it anew, after a setting was added
"""

import json
import re

from world import REPOSITORY

FILE = REPOSITORY / "config/helm/evergate/values.schema.json"

# What the chart sets itself. TLS ends at the ingress; what is left of `tls_...` are the certificates that Evergate presents.
CHARTS = [
    "http_address", "tls_enable", "tls_address", "tls_cert_file", "tls_key_file", "tls_min_version", "tls_client_auth",
    "prometheus_enable", "prometheus_address", "data_dir", "ext_authz_address", "ext_authz_tls", "admin_address",
]
SECONDS = {"type": "string", "pattern": "^[0-9]{1,6}[smh]$"}
HTTPS = {"type": "string", "pattern": "^https://[^/?#@]+"}
# What would be insecure, or what the chart reckons with.
NARROWER = {
    "access_url": {"type": "string", "pattern": "^https://[A-Za-z0-9.-]+(:[0-9]+)?/?$"},
    "oidc_issuer_url": HTTPS,
    "oidc_introspection_url": HTTPS,
    "oidc_graph_url": HTTPS,
    "secure_auth_cookie": {"const": True},
    "path_prefix": {"type": "string", "pattern": "^/[A-Za-z0-9/_.-]+$"},
    "proxy_trusted_origins": {"type": "array", "items": {"type": "string", "not": {"pattern": "/0$"}}},
    "shutdown_timeout": SECONDS,
    "oidc_token_timeout": SECONDS,
    "store_outage_grace": SECONDS,
}
TYPES = {
    "text": {"type": "string"}, "URL": {"type": "string"}, "address": {"type": "string"}, "true/false": {"type": "boolean"},
    "number": {"type": "integer", "minimum": 0}, "duration": {"type": "string", "pattern": "^(0|([0-9]+(ms|[smhdw]))+)$"},
    "list": {"type": "array", "items": {"type": "string"}}, "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "map of lists": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    "table": {"type": "object"},
}
SECRET = ["secret", "list of secrets"]
# The sections of the reference whose settings a table of a provider has, and what is one for all providers there.
PROVIDERS, ONE_FOR_ALL = ["OpenID Connect", "Claims", "Access"], ["oidc_introspection_cache"]


def section(heading):
    """What the reference has under a heading."""
    return (REPOSITORY / "docs/settings.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def settings(reference=None):
    """Each setting and its type, of the whole reference or a part of it."""
    reference = reference or (REPOSITORY / "docs/settings.md").read_text()
    found = re.findall(r"^\| `CODER_([A-Z0-9_]+)` \| ([^|]+) \| [^|]* \| [^|]*", reference, re.M)
    return {name.lower(): kind.strip() for name, kind in found}


def keys(heading):
    """The keys of the tables that a heading of the reference describes."""
    return re.findall(r"^\| `([a-z_]+)` \|", section(heading), re.M)


def one(name, kind):
    if name.startswith("dangerous_"):
        return {"const": False}
    return NARROWER.get(name) or TYPES[kind]


def written():
    """The whole schema, with the parts that are made."""
    schema, known = json.loads(FILE.read_text()), settings()
    secret = [name for name, kind in known.items() if kind in SECRET]
    given = {"pg_connection_url", "external_token_encryption_keys", "oidc_client_secret"}
    plain = {name: one(name, kind) for name, kind in known.items() if name not in CHARTS and name not in secret}
    parts, name = schema["properties"], {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
    # `allOf` requires a provider, here or as a table.
    parts["settings"] = {"type": "object", "additionalProperties": False, "required": ["access_url"], "properties": plain}
    for value, heading in {"routes": "Routes", "tokenIssuers": "Issuers of bearer tokens"}.items():
        table = {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(keys(heading), {})}
        parts[value] = {"type": "array", "items": table}
    provider = {key: kind for heading in PROVIDERS for key, kind in settings(section(heading)).items() if key not in ONE_FOR_ALL}
    of_provider = {key: one(key, kind) for key, kind in provider.items() if kind not in SECRET}
    own = {"name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"}, "text": TYPES["text"], "email_domains": TYPES["list"]}
    kept = {"setting": {"enum": sorted(key for key, kind in provider.items() if kind in SECRET)}, "name": name, "key": {"type": "string", "minLength": 1}}
    kept = {"type": "object", "additionalProperties": False, "required": list(kept), "properties": kept}
    parts["providers"] = {
        "type": "array",
        "items": {
            "type": "object", "additionalProperties": False, "required": ["name", "oidc_issuer_url", "oidc_client_id"],
            "properties": {**own, **of_provider, "secrets": {"type": "array", "items": kept}},
        },
    }
    parts["secrets"]["properties"]["others"] = {
        "type": "array",
        "items": {
            "type": "object", "additionalProperties": False, "required": ["setting", "name", "key"],
            "properties": {
                "setting": {"enum": sorted(set(secret) - given)}, "name": name, "key": {"type": "string", "minLength": 1},
            },
        },
    }
    return json.dumps(schema, indent=2) + "\n"
