"""Postgres, two replicas of Evergate, the provider and an app, on free ports of this machine and in one directory."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import provider
import rows

CLIENT, SECRET = "evergate", "a-client-secret-of-thirty-two-bytes-or-more"
IS_ROOT = os.geteuid() == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, predicate, seconds=60):
    end = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(pid):
    """CPU time of a process and of its children, those that have ended included."""
    seconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                seconds += cpu_seconds(child)
            except FileNotFoundError:
                pass
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return seconds + sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class World:
    """What is started, and a directory; both are gone at the end."""

    def __init__(self):
        self.directory, self.started = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))), []
        self.directory.chmod(0o755)

    def spawn(self, name, command, **options):
        log = open(self.directory / f"{name}.log", "a")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options)
        self.started.append(process)
        return process

    def stop(self, process):
        """Postgres ends its connections and itself on SIGINT, the others themselves."""
        self.started.remove(process)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self):
        for process in list(reversed(self.started)):
            self.stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)


class Postgres:
    SETTINGS = {
        "shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "200", "maintenance_work_mem": "512MB",
        "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "1000",
    }  # fmt: skip

    def __init__(self, world):
        self.world, self.port = world, free_port()
        bin_ = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        self.data = world.directory / "postgres"
        self.data.mkdir(mode=0o700)
        # Postgres refuses to run as root.
        self.owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if IS_ROOT else {}
        if IS_ROOT:
            shutil.chown(self.data, "postgres", "postgres")
        initdb = [bin_ / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **self.owner)
        settings = {**self.SETTINGS, "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = world.spawn("postgres", [bin_ / "postgres", "-D", self.data, *flags], cwd="/", **self.owner)
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        wait_for("Postgres", lambda: subprocess.run(["psql", "-qXc", "SELECT 1", self.url], capture_output=True).returncode == 0)
        self.run("CREATE EXTENSION pg_stat_statements")

    def run(self, *statements):
        """Runs statements, and returns the rows of the last one as lists of text."""
        asked = [word for statement in statements for word in ("-c", statement)]
        answer = subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", *asked, self.url], capture_output=True, text=True)
        if answer.returncode != 0:
            sys.exit(f"{statements}: {answer.stderr}")
        return [line.split("|") for line in answer.stdout.splitlines()]

    def numbers(self, statement):
        """The only row of an answer, as numbers."""
        return [float(text or 0) for text in self.run(statement)[0]]

    def slowest(self):
        """The statements since `pg_stat_statements_reset`, the slowest call first: its milliseconds, calls, all their ms, text."""
        return self.run(
            "SELECT round(max_exec_time::numeric, 2), calls, round(total_exec_time::numeric, 1), "
            "left(regexp_replace(replace(query, '|', ' '), '\\s+', ' ', 'g'), 90) FROM pg_stat_statements "
            "WHERE query !~ 'pg_stat_|VACUUM|CHECKPOINT|^COPY' ORDER BY max_exec_time DESC"
        )

    def written(self):
        """Bytes of WAL until now, and how many of its pages are full images."""
        return self.numbers("SELECT wal_bytes, wal_fpi FROM pg_stat_wal")

    def updates(self):
        return self.run(
            "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname IN ('grants', 'sessions') ORDER BY 1"
        )


class Deployment:
    """Replicas of one deployment before an app that answers with the user's name, and the provider."""

    def __init__(self, world, postgres, binary):
        self.world, self.binary, self.key = world, binary, base64.b64encode(os.urandom(32)).decode()
        self.issuer_port, app = free_port(), free_port()
        arguments = [sys.executable, Path(provider.__file__), str(self.issuer_port), CLIENT, SECRET]
        self.provider = world.spawn("provider", arguments)
        self.issuer = f"http://127.0.0.1:{self.issuer_port}"
        folders = "".join(f"{kind}_temp_path {world.directory}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        (world.directory / "app.conf").write_text(
            f"worker_processes 1; daemon off; pid {world.directory}/app.pid; error_log stderr crit; events {{ worker_connections 4096; }}\n"
            f"http {{ access_log off; keepalive_requests 1000000; {folders}\n"
            f'server {{ listen 127.0.0.1:{app}; location / {{ return 200 "$http_x_forwarded_user\\n"; }} }} }}\n'
        )
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.app = world.spawn("app", [nginx, "-p", world.directory, "-c", world.directory / "app.conf"])
        self.ports = [free_port(), free_port()]
        self.host = f"localhost:{self.ports[0]}"
        self.settings = {
            "ACCESS_URL": f"http://{self.host}", "UPSTREAM_URL": f"http://127.0.0.1:{app}", "OIDC_ISSUER_URL": self.issuer,
            "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET, "OIDC_GROUP_FIELD": "groups", "PG_CONNECTION_URL": postgres.url,
            "EXTERNAL_TOKEN_ENCRYPTION_KEYS": self.key, "SESSION_DURATION": "1440h", "SESSION_MAX_DURATION": "1440h",
            "LOG_FILTER": "info,evergate::access=off", "ADMIN_GROUPS": "administrators", "LOGGING_JSON": "true", "SHUTDOWN_TIMEOUT": "2s",
        }  # fmt: skip
        for port in [self.issuer_port, app]:
            wait_for("provider and app", lambda port=port: listens(port))
        self.replicas = []

    def env(self, replica):
        settings = {**self.settings, "HTTP_ADDRESS": f"127.0.0.1:{self.ports[replica]}"}
        return {"PATH": os.environ["PATH"], **{f"CODER_{name}": value for name, value in settings.items()}}

    def start(self, count):
        for replica in range(count):
            self.replicas.append(self.world.spawn(f"replica-{replica}", [self.binary, "serve"], env=self.env(replica)))
        for replica in range(count):
            wait_for("a replica", lambda replica=replica: listens(self.ports[replica]) and self.is_ready(replica))

    def is_ready(self, replica):
        status, _, text = self.ask(replica, "/oauth2/readyz")
        return status == 200 and json.loads(text).get("provider") == "ok"

    def stop(self):
        while self.replicas:
            self.world.stop(self.replicas.pop())

    def ask(self, replica, path, method="GET", form=None, cookies=""):
        """Status, headers and text of a replica's answer."""
        headers = {"Host": self.host, "Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        headers |= {"Cookie": cookies} if cookies else {}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[replica], timeout=30)
        connection.request(method, path, form, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def login(self, subject):
        """Signs a user in at the first replica, and returns the seconds of the ways to the provider and back, and the cookies."""
        begun = time.perf_counter()
        status, headers, text = self.ask(0, "/")
        if status != 303:
            sys.exit(f"no login begins: {status} {text[:500]}")
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(headers["Location"]).query))
        cookies = "; ".join(line.split(";")[0] for line in headers.get_all("Set-Cookie"))
        back = urllib.parse.urlencode({"code": f"{asked['nonce']}~{subject}", "state": asked["state"]})
        status, headers, text = self.ask(0, f"/oauth2/callback?{back}", cookies=cookies)
        if status != 303 or "evergate_session" not in str(headers):
            sys.exit(f"the login of {subject} failed: {status} {text[:500]}")
        took = time.perf_counter() - begun
        return took, "; ".join(line.split(";")[0] for line in headers.get_all("Set-Cookie"))

    def request(self, number):
        """A request of the session with this number, and the body that it expects."""
        head = f"GET / HTTP/1.1\r\nHost: {self.host}\r\nAccept: application/json\r\nCookie: evergate_session={rows.cookie(number)}\r\n\r\n"
        return head.encode(), rows.user(number).encode()

    def refreshed(self):
        """How many refresh tokens the provider was given until now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.issuer_port, timeout=30)
        connection.request("GET", "/counted")
        return json.loads(connection.getresponse().read())["refreshed"]

    def resident(self):
        """Bytes of memory of the first replica."""
        fields = dict(line.split(":") for line in Path(f"/proc/{self.replicas[0].pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) * 1024
