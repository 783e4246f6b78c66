#!/usr/bin/env python3
"""The chart of config/helm in a cluster: installed, upgraded, rolled back and removed by Helm at a real API server, whose admission
judges each object and each pod; and the commands of the documents, run as they are written.

    kubernetes.py [WORD ...]        the cases whose names hold one of the words

Needs once Go and pip: Helm and Kubernetes are built of their modules, into the cache (20 minutes).
"""

import base64
import json
import re
import subprocess

from previous_release import RECORDED, git
from world import REPOSITORY, Skip, cases_of, eventually, run

CHART = REPOSITORY / "config/helm/evergate"
EXAMPLES = CHART / "examples"
GUIDE = (REPOSITORY / "docs/kubernetes.md").read_text()
# Kinds that the chart may make; what a release leaves behind is looked for among them.
KINDS = "deployments,replicasets,pods,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,horizontalpodautoscalers,ingresses"
CUSTOM = "httproutes.gateway.networking.k8s.io,servicemonitors.monitoring.coreos.com,prometheusrules.monitoring.coreos.com"


def start(whole):
    import chart_tools
    from kubernetes_cluster import Cluster

    return Cluster(whole, [chart_tools.install() / "helm"])


def define_custom_resources(cluster):
    """What a Gateway's and the Prometheus operator's installations bring, once."""
    import chart_tools

    made = chart_tools.install() / "crds"
    files = [chart_tools.module(chart_tools.GATEWAY_API) / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"]
    files += [made / f"monitoring.coreos.com_{name}.yaml" for name in ("servicemonitors", "prometheusrules")]
    for file in files:
        cluster.kubectl("default", "apply", "--server-side", "--filename", file)
    names = [f"crd/{name}" for name in CUSTOM.split(",")]
    cluster.kubectl("default", "wait", "--for", "condition=established", "--timeout=60s", *names)


def of_guide():
    """The values of the guide: the first, and the first with each of the others over it."""
    from chart import merged
    from chart_tools import yaml

    first, *additions = [yaml.safe_load(block) for block in re.findall("```yaml\n(.*?)```", GUIDE, re.S)]
    return [first, *(merged(first, addition) for addition in additions)]


def example(name):
    from chart_tools import yaml

    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())


class Release:
    """A release in a namespace of its own, where Pod Security's strictest profile is enforced."""

    def __init__(self, world, name="site", namespace=None):
        self.world, self.cluster, self.name = world, world.shared, name
        self.namespace = namespace or self.cluster.namespace(f"apps-{world.port()}")
        self.deployment = f"deployment/{name if 'evergate' in name else f'{name}-evergate'}"

    def helm(self, verb, *arguments, values=None, chart=CHART, check=True):
        """Runs Helm, which may warn of nothing."""
        words = ["helm", verb, self.name]
        if values is not None:
            file = self.world.directory / f"{self.name}.json"
            file.write_text(json.dumps(values))
            words += [str(chart), "--values", str(file)]
        done = self.cluster.shell(self.namespace, " ".join([*words, *arguments]), check)
        assert not check or "arning" not in done.stderr, done.stderr
        return done

    def has_rolled_out(self):
        self.cluster.kubectl(self.namespace, "rollout", "status", self.deployment, "--timeout=30s")
        failed = [it["message"] for it in self.get("events") if it["reason"] == "FailedCreate"]
        assert not failed, failed

    def get(self, *what):
        found = self.cluster.get(self.namespace, *what)
        return found["items"] if "items" in found else found

    def replicas(self):
        return self.get(self.deployment)["spec"]["replicas"]

    def pods(self):
        return [it for it in self.get("pods", "--selector", f"app.kubernetes.io/instance={self.name}") if "deletionTimestamp" not in it["metadata"]]


def sets(values, path, value):
    from chart import edited

    return edited(values, path, value)


def what_nobody_may_run_is_refused_where_the_chart_is_tried(world):
    cluster = world.shared
    namespace = cluster.namespace("refusing")
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    status, answer = cluster.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert status == 403 and "restricted" in answer["message"], answer


def kinds_of_others_are_asked_for_only_where_they_are_wanted(world):
    release = Release(world)
    asked = release.cluster.ask("GET", "/apis/gateway.networking.k8s.io/v1")[0]
    if asked != 404:
        raise Skip("the cluster knows them already: another case ran before")
    refused = release.helm("install", values=example("gateway"), check=False)
    assert refused.returncode and all(kind in refused.stderr for kind in ("HTTPRoute", "ServiceMonitor", "PrometheusRule")), refused.stderr
    release.helm("install", values=example("ingress"))
    release.has_rolled_out()


def every_set_of_values_is_installed_without_a_warning_and_leaves_nothing(world):
    define_custom_resources(world.shared)
    tried = [example("ingress"), example("gateway"), *of_guide(), sets(sets(example("gateway"), "service.extAuthz", True), "autoscaling", {})]
    for values in tried:
        release = Release(world)
        before = names(release)
        notes = release.helm("install", values=values).stdout
        assert "redirect URI               https://app.example.com/oauth2/callback" in notes, notes
        release.has_rolled_out()
        expected = values.get("autoscaling", {}).get("minReplicas", 2)
        eventually(f"there are {expected} pods", lambda: len(release.pods()) == expected)
        budget = release.get("pdb/site-evergate")
        eventually("one may be missing", lambda: release.get("pdb/site-evergate")["status"]["disruptionsAllowed"] == 1)
        assert budget["spec"]["maxUnavailable"] == 1
        for service in release.get("services"):
            wanted = f"kubernetes.io/service-name={service['metadata']['name']}"
            reached = lambda: sum(len(it["endpoints"] or []) for it in release.get("endpointslices", "--selector", wanted))
            eventually(f"{wanted} leads to the pods", lambda: reached() == expected)
        # Fields that the API server does not know it would leave out, unless it is asked to be strict.
        manifest = release.cluster.shell(release.namespace, f"helm get manifest {release.name}").stdout
        strict = release.cluster.kubectl(release.namespace, "apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts", "--filename", "-", given=manifest)
        assert "arning" not in strict.stderr, strict.stderr
        release.helm("uninstall", "--wait")
        eventually("nothing is left", lambda: names(release) == before)


def names(release):
    """What is in the namespace."""
    return sorted(f"{it['kind']}/{it['metadata']['name']}" for it in release.get(f"{KINDS},{CUSTOM}"))


def a_release_is_upgraded_rolled_back_and_upgraded_again_with_a_replica_more_at_most(world):
    release, values = Release(world), example("ingress")
    release.helm("install", values=values)
    release.has_rolled_out()
    first = {it["metadata"]["name"] for it in release.pods()}
    routes = [{"path": "/wiki", "upstream": "http://wiki.apps.svc:8080"}]
    release.helm("upgrade", values=sets(values, "routes", routes))
    release.has_rolled_out()
    assert {it["metadata"]["name"] for it in release.pods()} == first, "routes are taken over without a restart"
    assert "/wiki" in release.get("configmap/site-evergate")["data"]["evergate.toml"]
    changed = sets(sets(values, "settings.oidc_client_id", "other"), "service.extAuthz", True)
    for verb, arguments, given in (("upgrade", [], changed), ("rollback", ["1"], None), ("upgrade", [], changed)):
        before = {it["metadata"]["name"] for it in release.pods()}
        release.helm(verb, *arguments, values=given)
        seen = watch(release, lambda: not before & {it["metadata"]["name"] for it in release.pods()})
        assert max(seen) <= 3 and min(seen) >= 2, seen
        release.has_rolled_out()
        eventually("two are there", lambda: len(release.pods()) == 2)
    revisions = json.loads(release.cluster.shell(release.namespace, "helm history site --output json").stdout)
    assert [it["status"] for it in revisions][-1] == "deployed" and len(revisions) == 5, revisions


def watch(release, until):
    """How many replicas the deployment had available, and how many pods there were, until something is so."""
    seen = []

    def looked():
        status = release.get(release.deployment)["status"]
        seen.extend([status.get("availableReplicas", 0), status.get("replicas", 0)])
        return until()

    eventually("the pods are others", looked, 60, 0.2)
    return seen


def the_previous_releases_chart_is_upgraded_to_this_one_and_back(world):
    name = git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^") or RECORDED.read_text().split()[-1]
    if not git("ls-tree", name, "config/helm/evergate/Chart.yaml"):
        raise Skip(f"the previous release ({name}) is not in the history of this checkout, or had no chart")
    packed = subprocess.run(["git", "-C", REPOSITORY, "archive", name, "config/helm/evergate"], check=True, capture_output=True, timeout=60)
    subprocess.run(["tar", "-x", "-C", world.directory], input=packed.stdout, check=True, timeout=60)
    release = Release(world)
    release.helm("install", values=example("ingress"), chart=world.directory / "config/helm/evergate")
    release.has_rolled_out()
    for verb, arguments, values in (("upgrade", [], example("ingress")), ("rollback", ["1"], None), ("upgrade", [], example("ingress"))):
        release.helm(verb, *arguments, values=values)
        release.has_rolled_out()
        assert release.replicas() == 2


def replicas_are_not_fewer_for_a_moment_when_an_autoscaler_takes_over_or_at_an_upgrade_after(world):
    release, values = Release(world), sets(example("ingress"), "replicaCount", 4)
    release.helm("install", values=values)
    release.has_rolled_out()
    scaling = sets(values, "autoscaling", {"enabled": True, "minReplicas": 2, "maxReplicas": 6})
    for turn, given in enumerate((scaling, sets(scaling, "settings.oidc_client_id", "other"), sets(scaling, "podLabels", {"a": "b"}))):
        least = release.get(release.deployment)["spec"]["replicas"]
        release.helm("upgrade", values=given)
        seen = [release.replicas() for _ in range(5)]
        assert min(seen) >= least, f"upgrade {turn + 1}: {least}, then {seen}"
        release.has_rolled_out()
    release.cluster.kubectl(release.namespace, "scale", release.deployment, "--replicas=5")
    release.helm("rollback", "2")
    assert release.replicas() >= 4
    release.helm("upgrade", values=values)
    release.has_rolled_out()
    assert release.replicas() == 4, "without an autoscaler the values decide"


def a_node_that_is_drained_takes_one_replica_at_a_time(world):
    release = Release(world)
    release.helm("install", values=example("ingress"))
    release.has_rolled_out()
    eventually("one may be missing", lambda: release.get("pdb/site-evergate")["status"].get("disruptionsAllowed") == 1)
    statuses = [evict(release, pod) for pod in release.pods()]
    assert statuses == [201, 429], statuses
    eventually("another is there", lambda: len(release.pods()) == 2)


def evict(release, pod):
    name = pod["metadata"]["name"]
    asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return release.cluster.ask("POST", f"/api/v1/namespaces/{release.namespace}/pods/{name}/eviction", asked)[0]


def two_releases_in_a_namespace_have_pods_budgets_and_services_of_their_own(world):
    one = Release(world)
    other = Release(world, "evergate-wiki", one.namespace)
    for release in (one, other):
        release.helm("install", values=example("ingress"))
        release.has_rolled_out()
    for release in (one, other):
        name = release.deployment.split("/")[1]
        eventually("its budget is for two", lambda: release.get(f"pdb/{name}")["status"].get("expectedPods") == 2)
        reached = lambda: [it["targetRef"]["name"] for found in release.get("endpointslices", "--selector", f"kubernetes.io/service-name={name}") for it in found["endpoints"] or []]
        eventually("its service leads to its pods", lambda: sorted(reached()) == sorted(it["metadata"]["name"] for it in release.pods()))
    one.helm("uninstall", "--wait")
    other.has_rolled_out()
    assert len(other.pods()) == 2


def names_may_be_as_long_as_helm_lets_them_be_and_have_dots(world):
    # The other case that needs them may not have run.
    define_custom_resources(world.shared)
    for name in ("a" * 53, "evergate-" + "b" * 44, "wiki.example.com"):
        release = Release(world, name)
        release.helm("install", values=example("gateway"))
        deployment, = release.get("deployments")
        eventually("its pods are there", lambda: deployment["metadata"]["name"] and len(release.pods()) == 3)


# The documents' commands. What they are run with is what the document says around them.

# Those that only name a program's verb, with the reason why they are no command.
NOT_RUN = {
    "kubectl run": "operations.md says what it needs besides, and `is_admitted` tries that",
    "helm template": "kubernetes.md names what chart.py does with every set of values",
}


def commands():
    """Each call of kubectl and Helm that the documents show, with where it is."""
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")), CHART / "templates/NOTES.txt", *CHART.rglob("*.md")]
    found = {}
    for file in files:
        text = file.read_text()
        # A command goes on after a line that ends in a pipe or a backslash.
        lines = re.findall(r"^(?: {2,}|\$ |    \$ )((?:\{ )?(?:kubectl|helm) (?:.*[|\\]\n)*.*)$", text, re.M)
        spans = re.findall(r"`((?:kubectl|helm) [^`]+)`", text)
        for command in lines + spans:
            found.setdefault(re.sub(" +#.*", "", command).strip(), file.relative_to(REPOSITORY))
    return found


def is_admitted(release, command):
    """A pod by hand needs a machine, and its admission none: with what the page adds for `restricted`, and not without."""
    page = (REPOSITORY / "docs/operations.md").read_text()
    added, = re.findall("^    (--override-type=.*)$", page, re.M)
    name = re.search("kubectl run (\\S+)", command)[1]
    # Neither the data before the pipe nor what would be waited for.
    asked = re.sub(" --rm --stdin --quiet", " --dry-run=server", command[command.index("kubectl run "):].split(">evergate.dump")[0])
    with_it = asked.replace(" --dry-run=server", f" --dry-run=server {added.replace('NAME', name)}")
    refused, taken = (release.cluster.shell(release.namespace, it, check=False) for it in (asked, with_it))
    assert refused.returncode and 'violates PodSecurity "restricted' in refused.stderr, refused.stderr
    assert taken.returncode == 0 and "arning" not in taken.stderr, taken.stderr
    return taken.stdout


def the_commands_of_the_documents_are_taken_as_they_are_written(world):
    from chart_tools import yaml

    release = Release(world)
    cluster, at = release.cluster, release.namespace
    (world.directory / "values.yaml").write_text(yaml.safe_dump(of_guide()[0]))
    (world.directory / "config").symlink_to(REPOSITORY / "config")
    cluster.kubectl(cluster.namespace("ci"), "create", "serviceaccount", "deployer")
    known, order = commands(), ["kubectl create secret", "helm install"]
    done, named = {}, set()
    # Secrets before what reads them, the release before what changes it.
    for command in sorted(known, key=lambda it: next((at for at, start in enumerate(order) if it.startswith(start)), len(order))):
        if command in NOT_RUN:
            named.add(command)
            continue
        if "kubectl run " in command:
            done[command] = is_admitted(release, command)
            continue
        if "{{ .Release" in command:
            notes = cluster.shell(at, "helm get notes site").stdout
            command = next(line.strip() for line in notes.splitlines() if line.strip().startswith("kubectl"))
        ran = cluster.shell(at, command, check=False, cwd=world.directory)
        if "kubectl " in command and " exec " in command:
            # No container runs: the API server has found the pod, and asks its machine, which is not there.
            assert ran.returncode and re.search("no preferred addresses found", ran.stderr), ran.stderr
        else:
            assert ran.returncode == 0 and "arning" not in ran.stderr, f"{known.get(command)}: {command}: {ran.stderr}"
        if command.startswith(("helm ", "kubectl rollout")):
            release.has_rolled_out()
        done[command] = ran.stdout
    assert named == set(NOT_RUN), f"no document has {set(NOT_RUN) - named} any more"
    assert len(done) >= 14, done
    for name, key, looks in (("evergate-postgres", "url", "postgres://.+"), ("evergate-keys", "keys", "[A-Za-z0-9+/]{43}=\n?"), ("evergate-oidc", "secret", ".+")):
        value = base64.b64decode(release.get(f"secret/{name}")["data"][key]).decode()
        assert re.fullmatch(looks, value), f"{name}: {len(value)} characters"


if __name__ == "__main__":
    run(cases_of(globals()), start)
