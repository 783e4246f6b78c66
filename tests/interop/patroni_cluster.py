"""Three nodes of Patroni on one etcd, behind HAProxy, all on free ports of loopback and in a world's folder."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import urllib.error
import urllib.request

from packages import debian_packages
from world import World, eventually

PACKAGES = {"patroni": "patroni", "etcd": "etcd-server", "haproxy": "haproxy", "initdb": "postgresql"}


def search_path():
    """Where Debian puts these programs; Postgres' own folder names its version."""
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin", *map(str, versions)])


def install():
    """Installs what is missing."""
    debian_packages(PACKAGES, search_path())


def as_postgres(*argv):
    """Postgres refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *argv] if os.getuid() == 0 else list(argv)


def get(url):
    """Status and body, or 0 and nothing."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, http.client.HTTPException):
        return 0, ""


class Node:
    """One Patroni with its Postgres."""

    def __init__(self, world, name, etcd_port, synchronous):
        self.world, self.name, self.sql_port, self.rest_port = world, name, world.port(), world.port()
        self.directory = world.directory / name
        self.directory.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self.data, self.config = self.directory / "data", world.directory / f"{name}.json"
        login = {"username": "postgres", "password": "postgres"}
        # JSON is YAML. Nothing waits for the disk, because what is stored is worth nothing once this ends.
        self.config.write_text(json.dumps({
            "scope": "evergate", "name": name,
            "restapi": {"listen": f"127.0.0.1:{self.rest_port}", "connect_address": f"127.0.0.1:{self.rest_port}"},
            "etcd3": {"host": f"127.0.0.1:{etcd_port}"},
            "bootstrap": {
                "dcs": {
                    "ttl": 20, "loop_wait": 3, "retry_timeout": 3, "synchronous_mode": synchronous,
                    # A standby that lacks some seconds of a busy primary may take over.
                    "maximum_lag_on_failover": 256 * 1024 * 1024,
                    "postgresql": {"use_pg_rewind": True, "parameters": {
                        "max_connections": 120, "shared_buffers": "64MB", "wal_log_hints": "on", "fsync": "off", "jit": "off",
                        "log_min_error_statement": "panic",
                    }},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"],
                "pg_hba": ["host all all 127.0.0.1/32 trust", "local all all trust", "host replication all 127.0.0.1/32 trust"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.sql_port}", "connect_address": f"127.0.0.1:{self.sql_port}",
                "data_dir": str(self.data),
                "bin_dir": os.path.dirname(shutil.which("initdb", path=search_path())), "pgpass": str(self.directory / "pgpass"),
                "authentication": {"superuser": login, "replication": login, "rewind": login},
                "parameters": {"unix_socket_directories": str(self.directory)},
            },
        }))
        environment = {"PATH": search_path(), "HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        self.patroni = world.spawn(name, as_postgres("patroni", str(self.config)), environment)
        world.at_end(self.kill)

    def is_primary(self):
        return get(f"http://127.0.0.1:{self.rest_port}/primary")[0] == 200

    def kill(self):
        """As the machine's end would: the agent, the server and all of the server's children at once."""
        processes = []
        with contextlib.suppress(OSError, ValueError):
            server = int((self.data / "postmaster.pid").read_text().split()[0])
            # A file that was left behind may name a process of somebody else's by now.
            if os.path.samefile(f"/proc/{server}/cwd", self.data):
                children = subprocess.run(["pgrep", "-P", str(server)], capture_output=True, text=True).stdout.split()
                processes = [server, *map(int, children)]
        self.patroni.signal(signal.SIGKILL)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.patroni.kill()

    def sql(self, statement, database="postgres"):
        return World.sql(f"postgres://postgres@127.0.0.1:{self.sql_port}/{database}", statement)

    def hold_back_replication(self):
        """Lets no standby have what is committed from now on."""
        for sender in self.sql("SELECT pid FROM pg_stat_replication").split():
            os.kill(int(sender), signal.SIGSTOP)

    def try_sql(self, statement):
        """The same, or nothing while the server is away."""
        with contextlib.suppress(subprocess.SubprocessError):
            return self.sql(statement)
        return ""

    def restart(self):
        """As somebody does who does not know of Patroni."""
        asked = as_postgres("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "restart")
        subprocess.run(asked, env={"PATH": search_path()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def refusals(self):
        """How many statements and connections this server has refused."""
        return len(re.findall(rb"ERROR:|FATAL:", self.patroni.output.read_bytes()))


class Cluster:
    def __init__(self, world, synchronous=True):
        self.world, self.synchronous = world, synchronous
        client, peer = world.port(), world.port()
        self.etcd = world.spawn("etcd", [
            "etcd", "--name", "one", "--data-dir", world.directory / "etcd", "--logger", "zap", "--log-level", "error",
            "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"one=http://127.0.0.1:{peer}",
        ], {"PATH": search_path()})
        self.nodes = [Node(world, f"node{number}", client, synchronous) for number in (1, 2, 3)]
        # HAProxy takes all servers for healthy until it has looked three times: it starts before any of them can answer. Of its
        # two addresses one ends the connections to a server that is no longer the primary; the other leaves them, and is so
        # slow to notice that some are made to it meanwhile.
        self.cutting, self.leaving = world.port(), world.port()
        servers = "".join(f"  server {node.name} 127.0.0.1:{node.sql_port} check port {node.rest_port}\n" for node in self.nodes)
        listen = lambda name, port, server: (
            f"listen {name}\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS /primary\n  http-check expect status 200\n"
            f"  default-server inter 3s rise 2 {server}\n{servers}")
        config = world.directory / "haproxy.cfg"
        config.write_text(
            f"global\n  maxconn 1000\n  stats socket {world.directory}/haproxy.sock\n"
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout check 2s\n  timeout client 30m\n  timeout server 30m\n"
            + listen("cutting", self.cutting, "fall 3 on-marked-down shutdown-sessions")
            + listen("leaving", self.leaving, "fall 6"))
        self.haproxy = world.spawn("haproxy", ["haproxy", "-db", "-f", config], {"PATH": search_path()})
        eventually("the cluster has a primary", self.primary, 60, 0.5)
        self.whole()
        self.primary().sql("CREATE DATABASE evergate")
        self.primary().sql("CREATE SCHEMA probe; CREATE TABLE probe.written AS SELECT 1 AS number", "evergate")
        eventually("HAProxy leads to the primary", lambda: writes(self.cutting) and writes(self.leaving), 30, 0.5)

    def primary(self):
        return next((node for node in self.nodes if node.is_primary()), None)

    def members(self):
        answers = (get(f"http://127.0.0.1:{node.rest_port}/cluster") for node in self.nodes)
        return next((json.loads(body)["members"] for status, body in answers if status == 200), [])

    def state(self):
        """What Patroni and HAProxy say, for whoever has to find out why something did not come to pass."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.world.directory / "haproxy.sock"))
            line.sendall(b"show stat\n")
            rows = [row.split(",") for row in line.makefile().read().splitlines()]
            servers = [f"{row[0]}/{row[1]} {row[17]} with {row[4]} sessions" for row in rows[1:] if len(row) > 17]
            return f"{[(member['name'], member['role'], member['state']) for member in self.members()]}, {servers}"

    def whole(self, deadline=90):
        """Waits until all three nodes are there and one of them follows without a gap."""
        def follows():
            members = self.members()
            states = [member["state"] in ("running", "streaming") for member in members]
            follower = "sync_standby" if self.synchronous else "replica"
            return len(states) == 3 and all(states) and any(member["role"] == follower for member in members)

        eventually("the cluster is whole", follows, deadline, 0.5)

    def ctl(self, *arguments):
        asked = as_postgres("patronictl", "-c", str(self.nodes[0].config), *arguments)
        environment = {"PATH": search_path(), "HOME": str(self.nodes[0].directory), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, f"patronictl {' '.join(arguments)}: {done.stdout[-300:]} {done.stderr[-300:]}"

    def switch(self):
        self.ctl("switchover", "evergate", "--leader", self.primary().name, "--force")


def writes(port, deadline=1.5):
    """Whether a new connection can write: as little of the wire protocol as that takes, so that it can be asked often."""
    framed = lambda content: struct.pack("!i", len(content) + 4) + content
    with contextlib.suppress(OSError, struct.error), socket.create_connection(("127.0.0.1", port), deadline) as line:
        line.settimeout(deadline)
        line.sendall(framed(struct.pack("!i", 196608) + b"user\0postgres\0database\0evergate\0\0"))
        line.sendall(b"Q" + framed(b"UPDATE probe.written SET number = number + 1\0") + b"X" + framed(b""))
        answer = line.makefile("rb")
        while kind := answer.read(1):
            answer.read(struct.unpack("!i", answer.read(4))[0] - 4)
            if kind in b"CE":
                return kind == b"C"
    return False
