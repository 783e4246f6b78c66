"""A cluster without machines: etcd, the API server with its admission, and the controllers, built once of their Go modules into the cache.

No pod runs. `Cluster` says of each pod that it is ready, as a kubelet would, so that rollouts, disruption budgets and endpoints go on.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time

from chart_tools import KUBERNETES, go, module
from world import CACHE, Skip, accept, binary, eventually

VERSION = KUBERNETES.rsplit("@v", 1)[1]
BUILT = CACHE / f"kubernetes-{VERSION}"
# What kubeadm names it, and where pods reach it; the address is that of a machine, which the tests' forward proxy knows.
ISSUER, ADDRESS = "https://kubernetes.default.svc.cluster.local", "10.0.0.5"
NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]


def install():
    """A folder with etcd, kube-apiserver, kube-controller-manager and kubectl of one release."""
    if BUILT.exists():
        return BUILT
    unfinished = pathlib.Path(f"{BUILT}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "source").mkdir(parents=True)
    known = json.loads(go("mod", "edit", "-json", str(module(KUBERNETES) / "go.mod")))
    etcd = next(it["Version"] for it in known["Require"] if it["Path"] == "go.etcd.io/etcd/server/v3")
    # Parts of Kubernetes that are modules of their own; their versions begin with 0 where its own begins with 1.
    parts = [it["Old"]["Path"] for it in known["Replace"]]
    replaced = "".join(f"replace {part} => {part} v0{VERSION[1:]}\n" for part in parts)
    required = f"require k8s.io/kubernetes v{VERSION}\nrequire go.etcd.io/etcd/server/v3 {etcd}\n"
    (unfinished / "source/go.mod").write_text(f"module kubernetes\n\ngo {known['Go']}\n\n{required}{replaced}")
    numbers = {"gitVersion": f"v{VERSION}", "gitMajor": VERSION.split(".")[0], "gitMinor": VERSION.split(".")[1]}
    flags = " ".join(["-s", "-w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in numbers.items())])
    programs = ["go.etcd.io/etcd/server/v3", *(f"k8s.io/kubernetes/cmd/{name}" for name in ("kubectl", "kube-apiserver", "kube-controller-manager"))]
    env = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "0"}
    go("build", "-trimpath", "-ldflags", flags, "-o", f"{unfinished}/", *programs, env=env, cwd=unfinished / "source")
    (unfinished / "server").rename(unfinished / "etcd")
    shutil.rmtree(unfinished / "source")
    unfinished.rename(BUILT)
    return BUILT


def openssl(*arguments, given=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    return done.stdout


class Cluster:
    """Its API server, asked as its administrator. `programs` has kubectl and what else the commands of documents call."""

    def __init__(self, world, others=()):
        self.world, self.built, self.port = world, install(), world.port()
        self.folder = world.directory / "cluster"
        self.programs = self.folder / "programs"
        self.programs.mkdir(parents=True)
        for program in (self.built / "kubectl", binary(), *others):
            (self.programs / program.name).symlink_to(program)
        self._make_certificates()
        self.signing_keys = [self.make_key("sa-1")]
        etcd, peer = (f"http://127.0.0.1:{world.port()}" for _ in range(2))
        world.spawn("etcd", [
            self.built / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--listen-client-urls", etcd,
            "--advertise-client-urls", etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        ])
        self.server = world.spawn("kube-apiserver", self._server(etcd))
        self._etcd = etcd
        self.wait_ready()
        world.spawn("kube-controller-manager", [
            self.built / "kube-controller-manager", "--kubeconfig", self.kubeconfig(), "--leader-elect=false", "--secure-port=0",
            "--service-account-private-key-file", self.signing_keys[0], "--root-ca-file", self.ca,
            "--horizontal-pod-autoscaler-sync-period=2s", "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
        ])
        self._ends = threading.Event()
        world.at_end(self._ends.set)
        threading.Thread(target=self._be_a_kubelet, daemon=True).start()

    # How it is set up.

    def _make_certificates(self):
        at = self.folder
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        self.ca, ca_key = at / "ca.crt", at / "ca.key"
        openssl("req", "-x509", *new, "-subj", "/CN=kubernetes", "-keyout", ca_key, "-out", self.ca)
        names = ",".join([*(f"DNS:{name}" for name in NAMES), "IP:127.0.0.1", f"IP:{ADDRESS}", "IP:10.96.0.1"])
        for name, subject, extension in (("server", "/CN=kube-apiserver", f"subjectAltName={names}"), ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth")):
            openssl("req", "-x509", *new, "-CA", self.ca, "-CAkey", ca_key, "-subj", subject, "-addext", "basicConstraints=CA:FALSE", "-addext", extension, "-keyout", at / f"{name}.key", "-out", at / f"{name}.crt")
        self.trust = ssl.create_default_context(cafile=str(self.ca))
        self.trust.load_cert_chain(at / "admin.crt", at / "admin.key")

    def make_key(self, name, kind="RSA"):
        """A key that signs tokens of service accounts."""
        made = {"RSA": ["genrsa"], "EC": ["ecparam", "-name", "prime256v1", "-genkey", "-noout"]}[kind]
        file = self.folder / f"{name}.key"
        file.write_bytes(openssl(*made))
        return file

    def _server(self, etcd):
        at = self.folder
        return [
            self.built / "kube-apiserver", "--etcd-servers", etcd, "--bind-address=127.0.0.1", "--secure-port", self.port,
            "--advertise-address", ADDRESS, "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC",
            "--tls-cert-file", at / "server.crt", "--tls-private-key-file", at / "server.key", "--client-ca-file", self.ca,
            "--service-account-issuer", ISSUER, "--service-account-signing-key-file", self.signing_keys[0],
            *(part for key in self.signing_keys for part in ("--service-account-key-file", key)),
        ]

    def wait_ready(self):
        def ready():
            assert self.server.alive(), self.server.text()[-2000:]
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.ask("GET", "/readyz")[0] == 200

        eventually("the API server is ready", ready, 90)

    def sign_with(self, *keys):
        """Starts the API server anew. It signs with the first key, and the others are good yet."""
        self.signing_keys = list(keys)
        # Told to end, it would wait a minute for those who watch.
        self.server.kill()
        self.server.argv = [str(part) for part in self._server(self._etcd)]
        self.server.start()
        self.wait_ready()

    def kubeconfig(self, namespace="default"):
        file = self.folder / f"kubeconfig-{namespace}"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.ca)}
        user = {"client-certificate": str(self.folder / "admin.crt"), "client-key": str(self.folder / "admin.key")}
        named = {"name": "it"}
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "clusters": [{**named, "cluster": cluster}],
            "users": [{**named, "user": user}], "contexts": [{**named, "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
        }))
        return file

    # How it is asked.

    def ask(self, method, path, body=None, kind="application/json", token=None):
        """Status and answer of the API, as its administrator or as who has a token."""
        trust = self.trust if token is None else ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=30)
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, text

    def namespace(self, name, **labels):
        """Makes a namespace in which Pod Security's strictest profile is enforced."""
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
        made = {"metadata": {"name": name, "labels": {**restricted, **labels}}}
        status, answer = self.ask("POST", "/api/v1/namespaces", made)
        assert status == 201, answer
        there = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        eventually(f"{name} has its service account", lambda: self.ask("GET", there)[0] == 200)
        return name

    def shell(self, namespace, command, check=True, cwd=None, given=None):
        """Runs a command as it stands in a document, in a shell whose kubectl and helm are led to a namespace."""
        env = {"HOME": str(self.folder), "PATH": f"{self.programs}:/usr/bin:/bin", "KUBECONFIG": str(self.kubeconfig(namespace))}
        asked = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(asked, env=env, cwd=cwd, input=given, capture_output=True, text=True, timeout=150)
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        return done

    def kubectl(self, namespace, *arguments, check=True, given=None):
        return self.shell(namespace, shlex.join(["kubectl", *map(str, arguments)]), check, given=given)

    def get(self, namespace, *what):
        return json.loads(self.kubectl(namespace, "get", *what, "--output", "json").stdout)

    def token(self, namespace, account, *arguments):
        return self.kubectl(namespace, "create", "token", account, *arguments).stdout.strip()

    # What a kubelet would do.

    def _be_a_kubelet(self):
        self.ask("POST", "/api/v1/nodes", {"metadata": {"name": "machine"}})
        while not self._ends.wait(0.3):
            # The API server is started anew by some cases.
            with contextlib.suppress(OSError, http.client.HTTPException, TypeError, KeyError):
                for number, pod in enumerate(self.ask("GET", "/api/v1/pods")[1]["items"]):
                    name = pod["metadata"]["name"]
                    there = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}"
                    if "deletionTimestamp" in pod["metadata"]:
                        self.ask("DELETE", there, {"gracePeriodSeconds": 0})
                    elif "nodeName" not in pod["spec"]:
                        self.ask("POST", f"{there}/binding", {"metadata": {"name": name}, "target": {"kind": "Node", "name": "machine"}})
                    elif pod["status"].get("phase") == "Pending":
                        self.ask("PATCH", f"{there}/status", {"status": is_ready(pod, number)}, "application/merge-patch+json")


def is_ready(pod, number):
    """The status of a pod whose containers run."""
    now, address = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), f"10.42.{number // 250}.{number % 250 + 1}"
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady", "Initialized", "PodScheduled")]
    as_it_runs = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": now}}}
    running = [{"name": it["name"], "image": it["image"], "imageID": it["image"], **as_it_runs} for it in pod["spec"]["containers"]]
    if pod["spec"]["restartPolicy"] == "Never":
        # Of a Job, which has done its work at once.
        return {"phase": "Succeeded", "podIP": address}
    return {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions, "containerStatuses": running}


class ForwardProxy:
    """What leads the cluster's names and addresses to loopback (`HTTPS_PROXY`), and remembers what was asked for."""

    def __init__(self, world, known):
        self.known, self.asked = known, []
        self.url = f"http://127.0.0.1:{accept(world, self._serve)}"

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            found = re.match(rb"CONNECT (\S+) ", head)
            name = found[1].decode() if found else ""
            self.asked.append(name)
            if name not in self.known:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.known[name])) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
                back.start()
                self._pass(client, server)
                back.join()

    @staticmethod
    def _pass(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def segments(token):
    """The header and the claims of a token, unverified."""
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]


def signed(header, claims, key):
    """A token as the API server would sign it with its RSA key."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = b".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return (text + b"." + encode(openssl("dgst", "-sha256", "-sign", key, given=text))).decode()
