#!/usr/bin/env python3
"""Tokens of service accounts that a real API server signs, at Evergate as docs/api-clients.md configures it.

    kubernetes_tokens.py [WORD ...]        the cases whose names hold one of the words

Needs once Go and pip: Kubernetes is built of its modules, into the cache.
"""

import http.client
import json
import re
import time

from world import REPOSITORY, Evergate, Upstream, cases_of, eventually, run

PAGE = (REPOSITORY / "docs/api-clients.md").read_text().split("\n## Kubernetes service accounts")[1].split("\n## ")[0]
ACCESS, MOUNTED = "https://app.example.com", "/var/run/secrets/kubernetes.io/serviceaccount"
AUDIENCE = f"{ACCESS}/api"
# Between two looks at an issuer's keys.
LOOKS = 10
# What a job's pod is made of, as the strictest of Pod Security's profiles wants it.
POD = {
    "serviceAccountName": "deployer", "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "job", "image": "job:1", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
}


def start(whole):
    from kubernetes_cluster import Cluster

    return Cluster(whole)


def block(first_words):
    """A block of the page, without its indentation."""
    found = next(it for it in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.M) if it.strip().startswith(first_words))
    return "".join(line[4:] or "\n" for line in found.strip("\n").splitlines(keepends=True)) + "\n"


class InACluster(Evergate):
    """A replica with the block of the page, what a pod has mounted, and the cluster's names led to loopback."""

    def __init__(self, world, changed=lambda text: text, account="evergate"):
        from kubernetes_cluster import ADDRESS, ISSUER, ForwardProxy

        self.cluster, self.pod = world.shared, "evergate-0"
        self.mounted = world.directory / "mounted"
        self.mounted.mkdir()
        (self.mounted / "ca.crt").write_bytes(self.cluster.ca.read_bytes())
        self.namespace = self.cluster.namespace(f"evergate-{world.port()}")
        self.cluster.kubectl(self.namespace, "create", "serviceaccount", account)
        self.mount(self.cluster.token(self.namespace, account))
        host = ISSUER.removeprefix("https://")
        self.proxy = ForwardProxy(world, {f"{host}:443": self.cluster.port, f"{ADDRESS}:{self.cluster.port}": self.cluster.port})
        file = world.directory / "evergate.toml"
        file.write_text(changed(block("[[token_issuer]]").replace(MOUNTED, str(self.mounted))))
        self.app = Upstream(world)
        super().__init__(world, {
            "CONFIG_PATH": file, "ACCESS_URL": ACCESS, "UPSTREAM_URL": self.app.url, "PROXY_TRUSTED_ORIGINS": "127.0.0.1",
            "OIDC_ISSUER_URL": "http://127.0.0.1:9", "OIDC_CLIENT_ID": "app",
        }, ready=False)
        eventually("it serves", lambda: self.ask("/oauth2/healthz")[0] == 200)

    def _env(self):
        return {**super()._env(), "HTTPS_PROXY": self.proxy.url, "NO_PROXY": "127.0.0.1"}

    def mount(self, token):
        (self.mounted / "token").write_text(token)

    def call(self, token, path="/api/things"):
        """Status and answer to a request with a token."""
        connection = http.client.HTTPConnection(*self.address, timeout=15)
        headers = {"Host": "app.example.com", "X-Forwarded-Proto": "https", "Authorization": f"Bearer {token}", "Accept": "application/json"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def comes_in(self, token, deadline=30):
        """It does in the end: keys that were just asked for are not asked for again, and a client is told to come later."""
        seen = None

        def served():
            nonlocal seen
            seen = self.call(token)
            assert seen[0] in (200, 503), seen
            return seen[0] == 200

        try:
            eventually("the token gets in", served, deadline, 1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from None
        return seen[1]

    def told(self, words):
        """The log says why."""
        eventually(f"the log says {words}", lambda: self.said(words), 5)


def job(world, name="ci", account="deployer"):
    """A namespace with a service account that is nobody's yet."""
    cluster = world.shared
    if cluster.ask("GET", f"/api/v1/namespaces/{name}")[0] != 200:
        cluster.namespace(name)
    if cluster.ask("GET", f"/api/v1/namespaces/{name}/serviceaccounts/{account}")[0] != 200:
        cluster.kubectl(name, "create", "serviceaccount", account)
    return cluster


def a_service_account_gets_in_by_a_token_for_this_route_under_a_name_that_no_user_has(world):
    cluster, evergate = job(world), InACluster(world)
    seen = evergate.comes_in(cluster.token("ci", "deployer", "--audience", AUDIENCE))["headers"]
    assert seen["x-forwarded-user"] == "kubernetes:system:serviceaccount:ci:deployer", seen
    assert not {"authorization", "x-forwarded-email", "x-forwarded-groups"} & set(seen), seen
    # By the name that the tokens have, and by the address that the API server gives for its keys.
    assert [name.rsplit(":", 1)[0] for name in evergate.proxy.asked] == ["kubernetes.default.svc.cluster.local", "10.0.0.5"], evergate.proxy.asked


def the_commands_of_the_page_say_what_it_needs(world):
    from chart_tools import yaml
    from kubernetes_cluster import ISSUER

    cluster, evergate = job(world), InACluster(world)
    metadata = json.loads(cluster.shell("ci", "kubectl get --raw /.well-known/openid-configuration").stdout)
    assert "`kubectl get --raw /.well-known/openid-configuration`" in PAGE and metadata["issuer"] == ISSUER
    assert f'issuer = "{ISSUER}"' in PAGE
    made, = re.findall("^    (kubectl create token .*)$", PAGE, re.M)
    assert evergate.comes_in(cluster.shell("default", made).stdout.strip())
    # What a job mounts is what a token is asked for with, and the API server takes the pod that mounts it.
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job"}, "spec": {**POD, **yaml.safe_load(block("volumes:"))}}
    asked = ["apply", "--dry-run=server", "--validate=strict", "--filename", "-"]
    done = cluster.kubectl("ci", *asked, given=yaml.safe_dump(made))
    assert "Warning" not in done.stderr, done.stderr


def tokens_for_others_of_others_and_past_their_end_are_refused(world):
    from kubernetes_cluster import segments, signed

    cluster, evergate = job(world), InACluster(world)
    job(world, "dev"), job(world, "ci2"), job(world, "ci", "other")
    good = cluster.token("ci", "deployer", "--audience", AUDIENCE)
    evergate.comes_in(good)
    # The API server gives no token for less than ten minutes, so that this one is signed with its key.
    header, claims = segments(good)
    now, key = int(time.time()), cluster.signing_keys[0]
    assert evergate.call(signed(header, {**claims, "jti": "again"}, key))[0] == 200, "what is signed here is as good as the API server's"
    for what, token in {
        "for the API server": cluster.token("ci", "deployer"),
        "for another route": cluster.token("ci", "deployer", "--audience", f"{ACCESS}/other"),
        "of another namespace": cluster.token("dev", "deployer", "--audience", AUDIENCE),
        "of a namespace that begins alike": cluster.token("ci2", "deployer", "--audience", AUDIENCE),
        "expired": signed(header, {**claims, "exp": now - 1}, key),
        "not good yet": signed(header, {**claims, "nbf": now + 600}, key),
        "of another cluster": signed(header, {**claims, "iss": "https://kubernetes.default.svc"}, key),
        "signed by somebody else": signed(header, claims, cluster.make_key("forger")),
        "changed": ".".join(good.split(".")[:2] + [good.split(".")[2][::-1]]),
    }.items():
        status, answer = evergate.call(token)
        assert status == 401 and answer["error"] == "invalid_token", f"{what}: {status} {answer}"
    assert evergate.call(good)[0] == 200
    both = cluster.token("ci", "other", "--audience", "https://elsewhere.example", "--audience", AUDIENCE)
    assert evergate.call(both)[0] == 200, "every account of the namespace may come, and a token may have two audiences"


def one_service_account_alone_may_come_where_it_is_named_whole(world):
    named = lambda text: text.replace("serviceaccount:ci:*", "serviceaccount:ci:deployer")
    job(world, "ci", "deployer2")
    cluster, evergate = job(world), InACluster(world, named)
    evergate.comes_in(cluster.token("ci", "deployer", "--audience", AUDIENCE))
    for account in ("deployer2", "default"):
        assert evergate.call(cluster.token("ci", account, "--audience", AUDIENCE))[0] == 401, account


def claims_of_the_cluster_decide_too(world):
    narrowed = lambda text: text.replace('"kubernetes.io.namespace" = ["ci"]', '"kubernetes.io.pod.name" = ["job-1"]')
    cluster, evergate = job(world), InACluster(world, narrowed)
    pod(cluster, "job-1"), pod(cluster, "job-2")
    evergate.comes_in(bound(cluster, "job-1"))
    assert evergate.call(bound(cluster, "job-2"))[0] == 403
    assert evergate.call(cluster.token("ci", "deployer", "--audience", AUDIENCE))[0] == 403, "of no pod"


def pod(cluster, name):
    status, answer = cluster.ask("POST", "/api/v1/namespaces/ci/pods", {"metadata": {"name": name}, "spec": POD})
    assert status in (201, 409), answer


def bound(cluster, name):
    return cluster.token("ci", "deployer", "--audience", AUDIENCE, "--bound-object-kind", "Pod", "--bound-object-name", name)


def a_token_outlives_its_pod_until_it_expires_as_the_page_says(world):
    cluster, evergate = job(world), InACluster(world)
    pod(cluster, "leaving")
    token = bound(cluster, "leaving")
    evergate.comes_in(token)
    cluster.kubectl("ci", "delete", "pod", "leaving", "--grace-period=0", "--force")
    review = {"spec": {"token": token, "audiences": [AUDIENCE]}}
    review = cluster.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", **review})[1]
    assert not review["status"].get("authenticated"), review
    assert evergate.call(token)[0] == 200
    assert "until its `exp`, though its pod" in PAGE.replace("\n", " ")


def keys_are_not_had_without_the_pods_token_and_the_log_says_so(world):
    without = lambda text: re.sub("^token_file.*\n", "", text, flags=re.M)
    cluster, evergate = job(world), InACluster(world, without)
    token = cluster.token("ci", "deployer", "--audience", AUDIENCE)
    status, answer = evergate.call(token)
    assert status == 503 and answer["error"] == "token_unverifiable", (status, answer)
    evergate.told("it answered status 403")
    # As the page says for a cluster whose keys are to be had by anybody.
    command, = re.findall("^    (kubectl create clusterrolebinding .*)$", PAGE, re.M)
    cluster.shell("ci", command)
    try:
        evergate.comes_in(token)
    finally:
        cluster.kubectl("ci", "delete", "clusterrolebinding", command.split()[3])


def the_clusters_own_ca_is_needed(world):
    without = lambda text: re.sub("^issuer_ca_file.*\n", "", text, flags=re.M)
    cluster, evergate = job(world), InACluster(world, without)
    assert evergate.call(cluster.token("ci", "deployer", "--audience", AUDIENCE))[0] == 503
    evergate.told("UnknownIssuer")


def keys_of_the_cluster_are_rotated_and_no_job_notices(world):
    cluster, evergate = job(world), InACluster(world)
    first, token = cluster.signing_keys[0], lambda: cluster.token("ci", "deployer", "--audience", AUDIENCE)
    old = token()
    evergate.comes_in(old)
    for number, kind in enumerate(("RSA", "EC")):
        key = cluster.make_key(f"sa-new-{number}-{world.port()}", kind)
        cluster.server.kill()
        assert evergate.call(old)[0] == 200, "while the API server is away, its keys are known"
        cluster.sign_with(key, *cluster.signing_keys)
        evergate.mount(cluster.token(evergate.namespace, "evergate"))
        new = token()
        time.sleep(LOOKS)
        assert evergate.call(new)[0] == 200, f"a token of the new {kind} key"
        assert evergate.call(old)[0] == 200, "the old one is good until it ends"
    assert first in cluster.signing_keys


if __name__ == "__main__":
    run(cases_of(globals()), start)
