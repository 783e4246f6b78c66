#!/usr/bin/env python3
"""compose.yaml, run as it is by podman-compose, in a network namespace of its own.

No image can be pulled here, so that stand-ins have the images' names: Evergate's binary with the last stage's settings of the
Dockerfile, Debian's Postgres, and a small app. Needs root, Go, and packages of Debian and PyPI, which it installs.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from packages import debian_packages, python_packages
from world import HERE, REPOSITORY, Skip, binary, cases_of, eventually, need, run

POSTGRES = "docker.io/library/postgres:17-bookworm"
APP = "docker.io/traefik/whoami:v1.11.0"


class Engine:
    """podman with a storage of its own, and podman-compose."""

    def __init__(self, whole):
        self.home = whole.directory
        self.keeper = whole.spawn("namespace", ["unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        eventually("it has a namespace", lambda: os.readlink(f"/proc/{self.keeper.child.pid}/ns/net") != own)
        (self.home / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.home}/images"\nrunroot = "{self.home}/run"\n'
        )
        # runc and cgroupfs, because there may be no systemd.
        (self.home / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nlog_driver = "k8s-file"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{self.home}/networks"\n'
        )
        compose = python_packages("podman-compose-1.6.0", "podman-compose==1.6.0")
        self.compose_argv = ["python3", compose / "podman_compose.py", "--file", REPOSITORY / "compose.yaml"]
        self.env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.home), "PYTHONPATH": str(compose),
            "CONTAINERS_STORAGE_CONF": f"{self.home}/storage.conf", "CONTAINERS_CONF": f"{self.home}/containers.conf",
            "TMPDIR": str(self.home), "DISABLE_HC_SYSTEMD": "true",
        }
        self.inside("ip", "link", "set", "lo", "up")
        whole.at_end(lambda: self.compose("down", "--volumes", check=False))

    def inside(self, *command, env=None, check=True, timeout=300):
        asked = ["nsenter", "--target", str(self.keeper.child.pid), "--net", "--mount", *map(str, command)]
        done = subprocess.run(asked, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"{command}: {(done.stdout + done.stderr)[-2000:]}"
        return done.stdout.strip()

    def compose(self, *command, check=True):
        return self.inside(*self.compose_argv, *command, env=self.settings, check=check)

    def image(self, name, tree, *changes):
        """Makes an image of a tree, with instructions of a Dockerfile."""
        archive = self.home / "image.tar"
        subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True, timeout=120)
        self.inside("podman", "import", "--quiet", *(f"--change={change}" for change in changes), archive, name)
        shutil.rmtree(tree)


def start(whole):
    if os.getuid() != 0:
        raise Skip("only root can make networks")
    need("go", "openssl")
    debian_packages({
        "podman": "podman", "runc": "runc", "/usr/lib/podman/netavark": "netavark", "/usr/lib/podman/aardvark-dns": "aardvark-dns",
        "iptables": "iptables", "ip": "iproute2", "curl": "curl",
    })
    engine = Engine(whole)
    keys = subprocess.run([binary(), "keys", "generate"], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    engine.settings = {
        "CODER_ACCESS_URL": "https://app.example.com", "CODER_OIDC_ISSUER_URL": "https://idp.example.com", "CODER_OIDC_CLIENT_ID": "app",
        "CODER_OIDC_CLIENT_SECRET": "secret", "POSTGRES_PASSWORD": "4f1c9a77d0", "CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS": keys,
    }
    evergate_stand_in(engine)
    postgres_stand_in(engine)
    app_stand_in(engine)
    engine.compose("up", "--detach", "--no-build")
    return engine


def copied(tree, *programs):
    """A tree with programs at their own paths, and the libraries that they are linked with."""
    files = {str(program) for program in programs}
    for program in programs:
        told = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=60).stdout
        files |= set(re.findall(r"(/[^ )]+)", told))
    for file in sorted(files):
        to = pathlib.Path(f"{tree}{file}")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)


def evergate_stand_in(engine):
    last = (REPOSITORY / "Dockerfile").read_text().split("\nFROM ")[-1].replace("\\\n", " ")
    tree = engine.home / "evergate"
    (tree / "data").mkdir(parents=True)
    os.chown(tree / "data", 65532, 65532)
    copied(tree, binary())
    at = pathlib.Path(f"{tree}{binary()}")
    (tree / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    at.rename(tree / "usr/local/bin/evergate")
    (tree / "etc/ssl/certs").mkdir(parents=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", tree / "etc/ssl/certs/ca-certificates.crt")
    changes = [line for line in last.splitlines() if line.split(" ")[0] in ("ENV", "VOLUME", "EXPOSE", "USER", "ENTRYPOINT", "CMD")]
    variables = [f"ENV {pair}" for line in changes if line.startswith("ENV ") for pair in shlex.split(line)[1:]]
    engine.image("localhost/evergate:latest", tree, *variables, *(line for line in changes if not line.startswith("ENV ")))


def postgres_stand_in(engine):
    tree, version = engine.home / "postgres", max(pathlib.Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name))
    copied(tree, "/bin/sh", *(f"/bin/{name}" for name in ("rm", "cat", "chmod", "mkdir", "locale")), *(
        version / "bin" / name for name in ("initdb", "postgres", "pg_isready")
    ), *sorted((version / "lib").glob("*.so")))
    share = f"usr/share/postgresql/{version.name}"
    for folder in (share, "usr/share/zoneinfo"):
        shutil.copytree(f"/{folder}", tree / folder, symlinks=True)
    (tree / "usr/lib/postgresql/bin").symlink_to(f"{version.name}/bin")
    # Debian's pg_isready is a wrapper of Perl; the program itself is beside it.
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    (tree / "usr/bin/pg_isready").symlink_to("/usr/lib/postgresql/bin/pg_isready")
    for folder in ("tmp", "var/run/postgresql", "var/lib/postgresql/data"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        # Mounts there take their owner and mode from these, as in the real image.
        os.chown(tree / folder, 999, 999)
        (tree / folder).chmod(0o1777)
    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\npostgres:x:999:\n")
    shutil.copy(HERE / "servers/postgres-entrypoint", tree / "entrypoint")
    engine.image(POSTGRES, tree, 'ENTRYPOINT ["/entrypoint"]', "VOLUME /var/lib/postgresql/data")


def app_stand_in(engine):
    tree = engine.home / "app"
    tree.mkdir()
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    subprocess.run(["go", "build", "-o", tree / "whoami", HERE / "servers/whoami.go"], env=env, check=True, timeout=600)
    engine.image(APP, tree, 'ENTRYPOINT ["/whoami"]')


def ask(engine, path):
    """The status and the text of an answer at the address that compose.yaml publishes."""
    told = engine.inside("curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", f"http://127.0.0.1:3000{path}", check=False)
    text, _, status = told.rpartition("\n")
    return status, text


def is_ready(engine):
    def ready():
        status, text = ask(engine, "/oauth2/readyz")
        return status == "200" and json.loads(text)["store"] == "ok"

    try:
        eventually("it is ready", ready, 90, 1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {engine.compose('logs', check=False)[-2000:]}") from None


def inspected(engine, service):
    """What podman knows of a service's container."""
    identity = engine.inside("podman", "ps", "--quiet", f"--filter=label=com.docker.compose.service={service}")
    return json.loads(engine.inside("podman", "inspect", identity))[0]


def it_starts_with_its_database_and_is_ready(world):
    is_ready(world.shared)
    status, text = ask(world.shared, "/")
    assert status == "421", f"it is addressed by another name than the access URL: {status} {text}"


def evergate_reaches_the_app_and_its_database(world):
    engine = world.shared
    is_ready(engine)
    told = engine.inside("podman", "exec", inspected(engine, "evergate")["Id"], "/usr/local/bin/evergate", "check", "--json", check=False)
    seen = {(one["level"], one["seen"]) for one in json.loads(told)}
    assert ("ok", "http://app:8080 accepts connections") in seen, seen
    assert not [one for one in json.loads(told) if one["level"] == "error" and one["check"] != "provider"], told


def the_app_does_not_reach_the_database(world):
    engine = world.shared
    is_ready(engine)
    postgres, = inspected(engine, "postgres")["NetworkSettings"]["Networks"].values()
    connects = f"import socket; socket.create_connection(({postgres['IPAddress']!r}, 5432), 5)"

    def reaches(service):
        process = str(inspected(engine, service)["State"]["Pid"])
        asked = ["nsenter", "--target", process, "--net", sys.executable, "-c", connects]
        return subprocess.run(asked, capture_output=True, timeout=60).returncode == 0

    assert reaches("evergate") and not reaches("app")


def nobody_has_capabilities_or_a_writable_root(world):
    for service in ("evergate", "app", "postgres"):
        facts = inspected(world.shared, service)
        process = pathlib.Path(f"/proc/{facts['State']['Pid']}/status").read_text()
        assert re.search(r"CapBnd:\s+0{16}\n", process) and re.search(r"NoNewPrivs:\s+1\n", process), (service, process)
        assert not re.search(r"Uid:\s+0\s", process), service
        assert facts["HostConfig"]["ReadonlyRootfs"], service


def its_database_outlives_its_containers(world):
    engine = world.shared
    is_ready(engine)
    marker = "/var/lib/postgresql/data/kept"
    before = inspected(engine, "postgres")["Id"]
    engine.inside("podman", "exec", before, "/bin/sh", "-c", f"echo kept >{marker}")
    engine.compose("down")
    engine.compose("up", "--detach", "--no-build")
    is_ready(engine)
    after = inspected(engine, "postgres")["Id"]
    assert after != before and engine.inside("podman", "exec", after, "/bin/cat", marker) == "kept"


if __name__ == "__main__":
    run(cases_of(globals()), start)
