#!/usr/bin/env python3
"""The chart of config/helm, linted, rendered and held against Kubernetes' schemas. `chart.py --write` writes the settings into its schema.

Needs once Go: Helm and kubeconform are built, and the schemas come out of Go modules, because none can be fetched at run time.
"""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tarfile

import chart_schema
from world import REPOSITORY, Skip, binary, cases_of, run

CHART = REPOSITORY / "config/helm/evergate"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))


def start(_world):
    import chart_tools

    return chart_tools.install(), chart_tools.yaml


def helm(world, *arguments, values, check=True):
    """Runs Helm with values, which go through a file of their own."""
    programs, yaml = world.shared
    file = world.directory / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    asked = [programs / "helm", *arguments, "--values", file]
    env = {"HOME": str(world.directory), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, (done.stdout + done.stderr)[-1500:]
    return done


def render(world, values, check=True):
    asked = ["template", "site", CHART, "--namespace", "apps", "--kube-version", "1.36.1"]
    return helm(world, *asked, values=values, check=check)


def objects(world, values):
    yaml = world.shared[1]
    return {(it["kind"], it["metadata"]["name"]): it for it in yaml.safe_load_all(render(world, values).stdout) if it}


def example(world, name):
    return world.shared[1].safe_load((CHART / "examples" / f"{name}.yaml").read_text())


def conforms(world, manifests):
    """What kubeconform says of manifests: nothing of those that are right."""
    programs = world.shared[0]
    schemas = str(programs / "schemas") + "/{{.ResourceKind}}{{.KindSuffix}}.json"
    asked = [programs / "kubeconform", "-strict", "-output", "json", "-summary", "-schema-location", schemas]
    done = subprocess.run(asked, input=manifests, capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    return [f"{it['kind']} {it['name']}: {it['status']} {it['msg']}" for it in report.get("resources", [])], report["summary"]


def pod(world, values):
    return objects(world, values)["Deployment", "site-evergate"]["spec"]["template"]["spec"]


def edited(values, path, value):
    """A copy of values in which one is another, or is gone."""
    values = copy.deepcopy(values)
    *way, last = path.split(".")
    at = values
    for part in way:
        at = at.setdefault(part, {})
    if value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return values


def merged(values, addition):
    """Values with others laid over them, as Helm does with a second file."""
    if not isinstance(values, dict) or not isinstance(addition, dict):
        return addition
    return {**values, **{key: merged(values.get(key), value) for key, value in addition.items()}}


def the_schema_of_values_knows_every_setting(world):
    assert chart_schema.FILE.read_text() == chart_schema.written(), "chart.py --write writes it anew"


def every_example_is_linted_without_a_complaint(world):
    for file in EXAMPLES:
        told = helm(world, "lint", "--strict", CHART, values=world.shared[1].safe_load(file.read_text())).stdout
        assert "[WARNING]" not in told and "[ERROR]" not in told, told


def every_example_renders_what_kubernetes_knows(world):
    kinds = set()
    for file in EXAMPLES:
        manifests = render(world, world.shared[1].safe_load(file.read_text())).stdout
        wrong, summary = conforms(world, manifests)
        assert not wrong and summary["valid"] >= 8 and not summary["skipped"], (file.name, wrong, summary)
        kinds |= set(re.findall(r"^kind: (\w+)$", manifests, re.M))
    every = (
        "ConfigMap Deployment HTTPRoute HorizontalPodAutoscaler Ingress NetworkPolicy PodDisruptionBudget PrometheusRule Service "
        "ServiceAccount ServiceMonitor"
    )
    assert kinds == set(every.split()), kinds


def the_values_of_the_guide_render_what_kubernetes_knows(world):
    guide = (REPOSITORY / "docs/kubernetes.md").read_text()
    assert "    helm install site config/helm/evergate --values values.yaml\n" in guide
    first, *additions = [world.shared[1].safe_load(block) for block in re.findall("```yaml\n(.*?)```", guide, re.S)]
    for values in (first, *(merged(first, addition) for addition in additions)):
        wrong, summary = conforms(world, render(world, values).stdout)
        assert not wrong and summary["valid"] >= 8, wrong
    assert len(additions) == 4


def a_manifest_that_is_wrong_does_not_pass(world):
    right = [render(world, example(world, name)).stdout for name in ("ingress", "gateway")]
    for text, wrong in [
        ("maxUnavailable: 1\n", "maxUnavailabel: 1\n"), ("runAsNonRoot: true", "runAsNonRoot: yes please"),
        ("terminationGracePeriodSeconds: ", "terminationGracePeriodSeconds: a"), ("pathType: Prefix", "pathtype: Prefix"),
        ("policyTypes: [Ingress, Egress]", "policyTypes: Ingress"), ("parentRefs:", "parents:"), ("hostnames:", "hostNames:"),
        ("interval: 30s", "interval: often"), ("- alert: EvergateErrors", "- alarm: EvergateErrors"), ("minReplicas: 3", "minReplicas: [3]"), ("appProtocol: http", "appProtocol: {http: 1}"),
    ]:
        manifests = next((manifests for manifests in right if text in manifests), None)
        assert manifests, f"nothing has {text}"
        assert conforms(world, manifests.replace(text, wrong))[0], f"{wrong} passed"


def values_that_are_unknown_or_insecure_are_refused(world):
    values = example(world, "ingress")
    for path, value in {
        "replicaCount": 1, "replicas": 2, "image.tag": "latest", "image.digest": "sha256:1", "image.repository": None,
        "settings.access_url": "http://app.example.com", "settings.oidc_issuer_url": "http://idp.example.com", "settings.oidc_client_id": None,
        "settings.oidc_client_secret": "x", "settings.pg_connection_url": "postgres://a", "settings.http_address": ":80",
        "settings.oidc_scope": ["openid"], "settings.dangerous_oidc_skip_issuer_checks": True, "settings.secure_auth_cookie": False,
        "settings.proxy_trusted_origins": ["0.0.0.0/0"], "settings.shutdown_timeout": "soon", "settings.oidc_token_timeout": "100000000000000000h", "settings.pg_conn_max_open": "many",
        "secrets.postgresUrl.name": "", "secrets.encryptionKeys": None, "secrets.encryptionKeys.value": "k", "runAsUser": 0,
        "secrets.others": [{"setting": "access_url", "name": "a", "key": "b"}], "routes": [{"pathh": "/"}], "ingress.tlsSecretName": "",
        "networkPolicy.upstreams": [], "podLabels": {"app.kubernetes.io/name": "other"}, "autoscaling.minReplicas": 1, "preStopSeconds": 0,
        "files": [{"name": "a", "path": "/etc/a", "hostPath": "/"}], "settings.admin_address": ":3002", "administration": {"enabled": True},
        "providers": [{"name": "a"}], "env": [{"name": "CODER_ACCESS_URL", "value": "https://a"}], "securityContext": {"privileged": True}, "podDisruptionBudget.maxUnavailable": 0,
    }.items():
        changed = edited(values, path, value)
        refused = render(world, changed, check=False)
        assert refused.returncode and "values don't meet the specifications" in refused.stderr, f"{path}={value}: {refused.stderr[-500:]}"


def values_that_contradict_each_other_are_refused(world):
    file = {"name": "a", "path": "/etc/a", "secret": "a"}
    for name, path, value, told in [
        ("gateway", "autoscaling.minReplicas", 7, "autoscaling.minReplicas is more"), ("gateway", "resources.requests", {}, "resources.requests.cpu"),
        ("ingress", "files", [file, {**file, "name": "b", "path": "/etc/a/"}], "the path /etc/a"),
        ("ingress", "files", [file, {**file, "path": "/etc/b"}], "two of files have one name"),
        ("ingress", "env", [{"name": "HTTPS_PROXY", "value": "a"}] * 2, "two of env have one name"),
        ("ingress", "secrets.others", [{"setting": "scim_auth_header", "name": "a", "key": "b"}] * 2, "two of secrets.others have one name"),
        ("ingress", "routes", [{"path": "/", "rule": None}], "null is no value"), ("ingress", "routes", [{"path": "/", "timeout": 1.5}], "1.5 is no whole number"),
        ("ingress", "files", [{**file, "path": "/etc/evergate"}], "the chart's own"), ("ingress", "files", [{**file, "path": "/run/secrets//evergate/a"}], "the chart's own"),
    ]:
        values = example(world, name)
        if value == {}:
            # Null takes a default away.
            values["resources"] = {"requests": None}
        else:
            values = edited(values, path, value)
        refused = render(world, values, check=False)
        assert refused.returncode and told in refused.stderr, f"{path}={value}: {refused.stderr[-500:]}"


def a_table_that_is_taken_away_is_refused_by_its_name(world):
    for table in ("metrics", "ingress", "service", "serviceAccount", "podDisruptionBudget", "autoscaling", "httpRoute", "administration", "resources"):
        refused = render(world, {**example(world, "ingress"), table: None}, check=False)
        assert refused.returncode and "values don't meet the specifications" in refused.stderr and table in refused.stderr, refused.stderr[-500:]


def a_command_is_run_once_with_all_that_a_replica_has(world):
    for name in ("ingress", "gateway"):
        values = example(world, name)
        assert not [kind for kind, _ in objects(world, values) if kind == "Job"], "only when it is asked for"
        manifests = world.shared[1].safe_load_all(render(world, {**values, "job": ["sessions", "restored"]}).stdout)
        job, = [it for it in manifests if it and it["kind"] == "Job"]
        # What is not created has a name, and this has one when it is.
        named = {**job, "metadata": {**job["metadata"], "name": "once"}}
        assert conforms(world, world.shared[1].safe_dump(named))[0] == []
        made, served = job["spec"]["template"], objects(world, values)["Deployment", "site-evergate"]["spec"]["template"]
        (own,), (replica,) = made["spec"]["containers"], served["spec"]["containers"]
        assert own["args"] == ["sessions", "restored"] and made["spec"]["restartPolicy"] == "Never"
        for part in ("image", "env", "volumeMounts", "securityContext", "resources"):
            assert own[part] == replica[part], part
        for part in ("volumes", "securityContext", "serviceAccountName", "automountServiceAccountToken"):
            assert made["spec"][part] == served["spec"][part], part
        assert "ports" not in own and "livenessProbe" not in own
        selector = objects(world, values)["Service", "site-evergate"]["spec"]["selector"]
        assert not selector.items() <= made["metadata"]["labels"].items(), "no Service leads to it"
        assert not [told for told in conforms(world, render(world, {**values, "job": ["migrate"]}).stdout)[0] if "Job" not in told]


def no_values_at_all_are_refused_with_what_is_missing(world):
    told = render(world, {}, check=False).stderr
    assert all(word in told for word in ("repository", "access_url", "oidc_issuer_url", "postgresUrl", "encryptionKeys")), told


def envoy_may_ask_at_a_port_of_its_own(world):
    values = edited(example(world, "ingress"), "service.extAuthz", True)
    container, = pod(world, values)["containers"]
    assert {"name": "ext-authz", "containerPort": 9191} in container["ports"]
    assert {"name": "CODER_EXT_AUTHZ_ADDRESS", "value": ":9191"} in container["env"]
    made = objects(world, values)
    ports = made["Service", "site-evergate"]["spec"]["ports"]
    assert [port["name"] for port in ports] == ["http", "grpc-ext-authz"], ports
    assert {"port": "ext-authz", "protocol": "TCP"} in made["NetworkPolicy", "site-evergate"]["spec"]["ingress"][0]["ports"]
    assert not conforms(world, render(world, values).stdout)[0]
    without = objects(world, example(world, "ingress"))["Service", "site-evergate"]["spec"]["ports"]
    assert [port["name"] for port in without] == ["http"], without


def the_administration_has_a_port_a_service_and_a_host_of_its_own(world):
    values = example(world, "gateway")
    made = objects(world, values)
    container, = pod(world, values)["containers"]
    assert {"name": "admin", "containerPort": 3002} in container["ports"]
    assert {"name": "CODER_ADMIN_ADDRESS", "value": ":3002"} in container["env"]
    service = made["Service", "site-evergate-admin"]["spec"]["ports"]
    assert [(port["name"], port["targetPort"]) for port in service] == [("http", "admin")], service
    assert [port["targetPort"] for port in made["Service", "site-evergate"]["spec"]["ports"]] == ["http"]
    route = made["HTTPRoute", "site-evergate-admin"]["spec"]
    assert route["hostnames"] == ["admin.example.com"] and route["parentRefs"] == [{"name": "internal", "namespace": "gateways"}]
    assert "admin.example.com" not in made["HTTPRoute", "site-evergate"]["spec"]["hostnames"]
    assert reached(made)["admin"] == values["networkPolicy"]["administration"], reached(made)
    assert not [name for kind, name in objects(world, example(world, "ingress")) if name.endswith("-admin")]
    ingress = edited(values, "administration.ingress", {"enabled": True, "className": "internal", "tlsSecretName": "admin-tls"})
    rules = objects(world, ingress)["Ingress", "site-evergate-admin"]["spec"]
    assert rules["rules"][0]["host"] == "admin.example.com" and rules["tls"][0]["secretName"] == "admin-tls"
    assert not conforms(world, render(world, ingress).stdout)[0]
    for path, value in {
        "settings.admin_groups": None, "networkPolicy.administration": [], "administration.host": "",
        "administration.ingress": {"enabled": True}, "administration.httpRoute.parentRefs": [],
    }.items():
        refused = render(world, edited(values, path, value), check=False)
        assert refused.returncode and "values don't meet the specifications" in refused.stderr, f"{path}: {refused.stderr[-500:]}"
    refused = render(world, edited(values, "administration.host", "admin.example.net"), check=False)
    assert refused.returncode and "oidc_redirect_allowed_hosts" in refused.stderr, refused.stderr


def the_administration_and_the_apps_have_one_host_at_different_entrances_alone(world):
    for host in ("app.example.com", "wiki.example.com"):
        values = edited(edited(example(world, "gateway"), "administration.host", host), "hostnames", ["wiki.example.com"])
        values["settings"]["oidc_redirect_allowed_hosts"] += [host]
        render(world, values)
        values["administration"]["httpRoute"]["parentRefs"] = [{"name": "public", "namespace": "gateways"}]
        refused = render(world, values, check=False)
        assert refused.returncode and "both have one Gateway" in refused.stderr, refused.stderr
        values["administration"] |= {"httpRoute": {"enabled": False}, "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "a"}}
        values |= {"httpRoute": {"enabled": False}, "ingress": {"enabled": True, "className": "internal", "tlsSecretName": "a"}}
        render(world, values)
        values["ingress"]["className"] = "nginx"
        refused = render(world, values, check=False)
        assert refused.returncode and "both have one className" in refused.stderr, refused.stderr


def a_prefix_that_ends_in_a_slash_is_the_one_that_evergate_serves(world):
    for prefix in ("/auth", "/auth/", "/auth//"):
        container, = pod(world, edited(example(world, "ingress"), "settings.path_prefix", prefix))["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/auth/healthz", prefix


def names_are_looked_up_at_the_ports_that_answer(world):
    for ports in ([53], [5353, 53]):
        values = example(world, "ingress")
        values = edited(values, "networkPolicy.dnsPorts", ports) if ports != [53] else values
        egress = objects(world, values)["NetworkPolicy", "site-evergate"]["spec"]["egress"]
        assert egress[0]["ports"] == [{"port": port, "protocol": kind} for port in ports for kind in ("UDP", "TCP")]


def reached(made):
    """Who reaches each port of the pods, by their NetworkPolicy; None is everybody."""
    policy = made["NetworkPolicy", "site-evergate"]["spec"]
    return {port["port"]: rule.get("from") for rule in policy["ingress"] for port in rule["ports"]}


def no_port_of_a_pod_is_forgotten_by_the_network_policy(world):
    values = edited(example(world, "gateway"), "service.extAuthz", True)
    container, = pod(world, values)["containers"]
    assert {port["name"] for port in container["ports"]} == set(reached(objects(world, values)))


def what_else_is_called_is_let_through(world):
    egress = objects(world, example(world, "gateway"))["NetworkPolicy", "site-evergate"]["spec"]["egress"]
    assert [rule for rule in egress if rule["ports"] == [{"port": 4318, "protocol": "TCP"}] and rule["to"]], egress
    container, = pod(world, example(world, "gateway"))["containers"]
    env = {it["name"]: it for it in container["env"]}
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"] == "http://collector.monitoring.svc:4318"
    assert env["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"] == {"secretKeyRef": {"name": "collector", "key": "headers"}}


def alerts_and_dashboard_are_those_of_the_repository(world):
    yaml, made = world.shared[1], objects(world, example(world, "gateway"))
    assert made["PrometheusRule", "site-evergate"]["spec"] == yaml.safe_load((REPOSITORY / "config/prometheus/evergate.rules.yaml").read_text())
    assert made["PrometheusRule", "site-evergate"]["metadata"]["labels"]["release"] == "prometheus"
    dashboard = made["ConfigMap", "site-evergate-dashboard"]
    assert json.loads(dashboard["data"]["evergate.json"]) == json.loads((REPOSITORY / "config/grafana/evergate.json").read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert ("ConfigMap", "site-evergate-dashboard") not in objects(world, example(world, "ingress"))


def the_packaged_chart_has_them_too(world):
    programs, _ = world.shared
    subprocess.run([programs / "helm", "package", CHART, "--destination", world.directory], env={"HOME": str(world.directory)}, check=True, capture_output=True, timeout=120)
    package, = world.directory.glob("evergate-*.tgz")
    with tarfile.open(package) as archive:
        files = {it.name.split("/", 1)[1]: it for it in archive.getmembers()}
    assert all(files[f"files/{name}"].isfile() and files[f"files/{name}"].size > 5_000 for name in ("alerts.yaml", "dashboard.json")), files


def pods_are_confined(world):
    for name in ("ingress", "gateway"):
        spec = pod(world, example(world, name))
        container, = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # The gateway's example takes tokens of service accounts, whose keys the API server gives to service accounts alone.
        assert spec["automountServiceAccountToken"] is (name == "gateway") and "hostNetwork" not in spec
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }
        assert all(mount["readOnly"] for mount in container["volumeMounts"])


def files_of_the_service_account_are_named_only_where_pods_have_them(world):
    right = example(world, "gateway")
    (issuer,) = right["tokenIssuers"]
    for needed in ("issuer_ca_file", "token_file"):
        kept = {key: value for key, value in issuer.items() if not key.endswith("_file") or key == needed}
        values = edited(right, "tokenIssuers", [kept])
        refused = render(world, edited(values, "serviceAccount", None), check=False)
        assert refused.returncode and "serviceAccount.mountToken" in refused.stderr, refused.stderr
        render(world, values)
    public = {key: value for key, value in issuer.items() if not key.endswith("_file")}
    render(world, edited(edited(right, "tokenIssuers", [public]), "serviceAccount", None))


def no_secret_is_made_or_rendered(world):
    made = objects(world, example(world, "gateway"))
    assert not [kind for kind, _ in made if kind == "Secret"]
    assert render(world, example(world, "gateway")).stdout == render(world, example(world, "gateway")).stdout
    container, = pod(world, example(world, "gateway"))["containers"]
    files = {it["name"]: it["value"] for it in container["env"] if it["name"].endswith("_FILE")}
    assert files == {
        f"CODER_{setting.upper()}_FILE": f"/run/secrets/evergate/{setting}"
        for setting in ("pg_connection_url", "external_token_encryption_keys", "oidc_client_secret", "oidc_client_secret_previous")
    }, files


def a_pod_is_not_killed_before_it_has_drained(world):
    # preStop, half a second of being unready, the drain, and a token call that began at its end with the time to save its outcome.
    values = example(world, "ingress")
    assert pod(world, values)["terminationGracePeriodSeconds"] >= 5 + 0.5 + 30 + 30 + 15 + 10 + 5
    values["settings"] |= {"shutdown_timeout": "10m", "oidc_token_timeout": "20s"}
    values["preStopSeconds"] = 30
    spec = pod(world, values)
    assert spec["terminationGracePeriodSeconds"] >= 30 + 0.5 + 600 + 20 + 15 + 10 + 5
    assert spec["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 30}}
    # Further providers: one that is slower than the setting, one that is faster, and one that has the default.
    for timeout, seconds in (("2m", 120), ("10s", 20), (None, 30)):
        provider = {"name": "partner", "oidc_issuer_url": "https://idp.partner.example", "oidc_client_id": "evergate"}
        values["providers"] = [provider | ({"oidc_token_timeout": timeout} if timeout else {})]
        assert pod(world, values)["terminationGracePeriodSeconds"] == 30 + 1 + 600 + seconds + 15 + 10 + 5, timeout


def a_rollout_waits_as_long_as_a_migration_may_take(world):
    values = edited(example(world, "ingress"), "podAnnotations", {"evergate/settings": "x", "team": "a"})
    made = objects(world, values)["Deployment", "site-evergate"]["spec"]
    probe = pod(world, values)["containers"][0]["startupProbe"]
    assert made["progressDeadlineSeconds"] > probe["periodSeconds"] * probe["failureThreshold"]
    annotations = made["template"]["metadata"]["annotations"]
    assert annotations["team"] == "a" and annotations["evergate/settings"] != "x", "what has pods replaced is the chart's to say"


def an_outage_of_postgres_leaves_the_service_with_endpoints_for_its_grace(world):
    for grace, seconds in (("1m", 60), ("90s", 90), ("1h", 3600), ("0s", 0)):
        probe = pod(world, edited(example(world, "ingress"), "settings.store_outage_grace", grace))["containers"][0]["readinessProbe"]
        assert probe["httpGet"]["path"] == "/oauth2/readyz"
        assert seconds < probe["periodSeconds"] * probe["failureThreshold"] <= seconds + 10, (grace, probe)


def routes_are_taken_over_without_a_restart_and_other_settings_with_one(world):
    def annotation(values):
        return objects(world, values)["Deployment", "site-evergate"]["spec"]["template"]["metadata"]["annotations"]["evergate/settings"]

    values = example(world, "gateway")
    assert annotation(values) == annotation(edited(values, "routes", values["routes"][1:]))
    assert annotation(values) != annotation(edited(values, "settings.oidc_client_id", "other"))


def an_autoscaler_decides_alone(world):
    made = objects(world, example(world, "gateway"))
    assert "replicas" not in made["Deployment", "site-evergate"]["spec"]
    assert made["HorizontalPodAutoscaler", "site-evergate"]["spec"]["minReplicas"] == 3
    assert objects(world, example(world, "ingress"))["Deployment", "site-evergate"]["spec"]["replicas"] == 2


def every_host_leads_here_over_tls(world):
    values = edited(example(world, "ingress"), "hostnames", ["grafana.example.com"])
    values["settings"]["access_url"] = "https://App.Example.com"
    ingress = objects(world, values)["Ingress", "site-evergate"]["spec"]
    hosts = ["app.example.com", "grafana.example.com"]
    assert [rule["host"] for rule in ingress["rules"]] == hosts and ingress["tls"] == [{"secretName": "app-tls", "hosts": hosts}]
    route = objects(world, example(world, "gateway"))["HTTPRoute", "site-evergate"]["spec"]
    assert route["hostnames"] == hosts and route["rules"][0]["timeouts"] == {"request": "0s"}


def evergate_starts_with_the_file_that_is_rendered(world):
    for name in ("ingress", "gateway"):
        values = example(world, name)
        text = objects(world, values)["ConfigMap", "site-evergate"]["data"]["evergate.toml"]
        text = text.replace("/run/secrets/evergate", str(world.directory))
        container, = pod(world, values)["containers"]
        ca = world.directory / "ca.crt"
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"]
        subprocess.run([*made, "-subj", "/CN=ca", "-out", ca], check=True, capture_output=True, timeout=60)
        for mounted in ("/etc/corporate-ca/ca.crt", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"):
            text = text.replace(mounted, str(ca))
        (world.directory / "evergate.toml").write_text(text)
        keys = subprocess.run([binary(), "keys", "generate"], check=True, capture_output=True, text=True, timeout=60).stdout
        contents = {"pg_connection_url": "postgres://evergate@127.0.0.1/evergate", "external_token_encryption_keys": keys}
        env = {}
        for it in container["env"]:
            if "value" not in it:
                env[it["name"]] = "authorization=secret"
                continue
            env[it["name"]] = it["value"].replace("/run/secrets/evergate", str(world.directory)).replace("/etc/evergate", str(world.directory))
            if it["name"].endswith("_FILE"):
                file = world.directory / it["value"].rsplit("/", 1)[-1]
                file.write_text(contents.get(file.name, "secret"))
        for secret in re.findall(r'_file = "(.*/partners\..*)"', text):
            pathlib.Path(secret).write_text("secret")
        (world.directory / "password").write_text("secret")
        shown = subprocess.run([binary(), "config"], env=env, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stdout[-200:] + shown.stderr[-1500:]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        chart_schema.FILE.write_text(chart_schema.written())
        sys.exit()
    run(cases_of(globals()), start)
