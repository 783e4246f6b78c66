"""What the interop scripts share: children, a Postgres, replicas of Evergate, an app, a browser, a line with faults.

A script is a list of functions whose names say what is right. `run(cases_of(globals()), start=...)` gives each a `World` of its own;
what `start(world)` returned for the whole script is `world.shared`. Everything that a world started ends with it.
"""

import atexit
import base64
import contextlib
import http.client
import inspect
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import urllib.request

from web import Answer, Browser, Fault, FaultLine, Upstream, accept, serve  # noqa: F401, what scripts import from here

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "evergate-interop"


class Skip(Exception):
    """Something that a script needs is not here; it is named, and nothing counts as passed."""


def need(*programs):
    """Skips unless all `programs` can be run."""
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")


def eventually(what, predicate, deadline=30.0, pause=0.1):
    """Waits until `predicate` returns something true, and returns that."""
    end = time.monotonic() + deadline
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"within {deadline:g} s it did not come to pass that {what}")
        time.sleep(pause)


def together(number, function):
    """Calls `function(0)` to `function(number - 1)` at the same time, and returns what they returned."""
    results, barrier = [None] * number, threading.Barrier(number)

    def one(index):
        barrier.wait()
        try:
            results[index] = function(index)
        except Exception as error:  # What one of many met is for the caller to count.
            results[index] = error

    threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def behind(function):
    """Calls `function` beside the script, whatever becomes of it."""
    def quietly():
        with contextlib.suppress(Exception):
            function()

    threading.Thread(target=quietly, daemon=True).start()


def answers(url):
    """Whether a server answers so with 200. One that is still starting may break off."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status == 200


class World:
    """A temporary folder, and all that runs in it. `close` ends everything, the youngest first."""

    def __init__(self, shared=None):
        self.shared = shared
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="evergate-interop-"))
        self.directory.chmod(0o755)  # Postgres may run as another user.
        self.replicas, self._ends, self._server = [], [], None
        atexit.register(self.close)

    def at_end(self, end):
        self._ends.append(end)

    def close(self):
        while self._ends:
            with contextlib.suppress(Exception):
                self._ends.pop()()
        if not os.environ.get("INTEROP_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)

    @staticmethod
    def port():
        """A port that nothing listens on, below those that outgoing connections are given, so that none takes it meanwhile."""
        while True:
            port = 20000 + secrets.randbelow(12000)
            with socket.socket() as listener, contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port

    def spawn(self, name, argv, env=None, cwd=None, stdin=None):
        return Process(self, name, argv, env, cwd, stdin)

    def postgres(self, template="template1"):
        """The URL of a fresh database, or a copy of one, on one server that starts when it is first asked for."""
        if not self._server:
            child = subprocess.Popen(
                [HERE.parent / "postgres.sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            self.at_end(lambda: (child.stdin.close(), child.wait(20)))
            self._server = child.stdout.readline().strip()
            if not self._server:
                raise Skip("Postgres is not installed")
        name = f"evergate_{secrets.token_hex(4)}"
        self.sql(self._server, f"CREATE DATABASE {name} TEMPLATE {template.rsplit('/', 1)[-1]}")
        return self._server.rsplit("/", 1)[0] + "/" + name

    @staticmethod
    def sql(url, statement):
        """What a statement returns, as text: one line a row."""
        asked = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", url, "-c", statement]
        return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


class Process:
    """A child in a process group of its own, its output in a file. It is told to end (SIGTERM), then killed."""

    def __init__(self, world, name, argv, env=None, cwd=None, stdin=None):
        self.name, self.argv, self.env, self.cwd, self.stdin = name, [str(part) for part in argv], env, cwd, stdin
        self.output = world.directory / f"{name}.log"
        self.child = None
        self.start()
        world.at_end(self.stop)

    def start(self):
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(
                self.argv, env=self.env, cwd=self.cwd, stdin=self.stdin or subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )

    def alive(self):
        return self.child.poll() is None

    def text(self):
        return self.output.read_text(errors="replace")

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait(10)

    def stop(self, patience=15):
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        self.kill()  # Whatever the child has left in its group, too.


def binary():
    """Evergate, as EVERGATE names it or as cargo left it."""
    named = os.environ.get("EVERGATE")
    found = [pathlib.Path(named).absolute()] if named else [REPOSITORY / "target" / kind / "evergate" for kind in ("release", "debug")]
    for path in found:
        if path.is_file():
            return path
    raise Skip(f"no binary of Evergate is there ({found[0]})")


class Evergate:
    """One replica. `settings` are without their prefix: `{"OIDC_ISSUER_URL": ...}`; None leaves one out.

    Replicas of one deployment are given the same ACCESS_URL, PG_CONNECTION_URL and EXTERNAL_TOKEN_ENCRYPTION_KEYS, as
    `also(**changed)` does. A browser that is told `at=replica` reaches the access URL by that replica. `program` is the binary that
    it starts with next.
    """

    def __init__(self, world, settings, ready=True, program=None):
        own = settings.get("HTTP_ADDRESS") or f"127.0.0.1:{world.port()}"
        self.world, self.address = world, ("127.0.0.1", int(own.rsplit(":", 1)[1]))
        defaults = {
            "HTTP_ADDRESS": own,
            "ACCESS_URL": f"http://localhost:{self.address[1]}",
            "EXTERNAL_TOKEN_ENCRYPTION_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
            "LOGGING_JSON": "true",
            "LOG_FILTER": "info,evergate=debug",
            "SHUTDOWN_TIMEOUT": "10s",
        }
        self.settings = {name: value for name, value in {**defaults, **settings}.items() if value is not None}
        if "PG_CONNECTION_URL" not in self.settings:
            self.settings["DATA_DIR"] = str(world.directory / f"data-{self.address[1]}")
        self.url = self.settings["ACCESS_URL"]
        self.name = f"evergate-{len(world.replicas) + 1}"
        self.program = program or binary()
        self.process = Process(world, self.name, [self.program, "serve"], self._env())
        world.replicas.append(self)
        if ready:
            self.wait_ready()

    def _env(self):
        return {"PATH": os.environ["PATH"], **{f"CODER_{name}": str(value) for name, value in self.settings.items()}}

    def also(self, ready=True, **changed):
        """Another replica of the same deployment."""
        inherited = {name: value for name, value in self.settings.items() if name != "HTTP_ADDRESS"}
        return Evergate(self.world, {**inherited, **changed}, ready, self.program)

    def ask(self, path, deadline=10):
        """Status and body of one of its pages, asked without cookies; (0, error) if it does not answer."""
        try:
            connection = http.client.HTTPConnection(*self.address, timeout=deadline)
            connection.request("GET", path, headers={"Host": urllib.parse.urlsplit(self.url).netloc})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def wait_ready(self, deadline=30):
        def ready():
            assert self.process.alive(), f"{self.name} ended with {self.process.child.returncode}: {self.process.text()[-2000:]}"
            status, body = self.ask("/oauth2/readyz")
            return status == 200 and '"provider":"ok"' in body.replace(" ", "")

        eventually(f"{self.name} is ready and has found its provider", ready, deadline)
        return self

    def start(self, ready=True, **changed):
        self.settings.update(changed)
        self.process.env, self.process.argv[0] = self._env(), str(self.program)
        self.process.start()
        return self.wait_ready() if ready else self

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop()

    def restart(self, ready=True, **changed):
        self.stop()
        return self.start(ready, **changed)

    @property
    def log(self):
        """Its log lines, over all its lives."""
        lines = []
        for line in self.process.text().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def said(self, *words, **fields):
        """Log lines that hold all `words` somewhere and have `fields` (`a_b` is the field `a.b`)."""
        fits = lambda line: all(word in json.dumps(line, ensure_ascii=False) for word in words) and all(
            line.get(name.replace("_", ".")) == value for name, value in fields.items())
        return [line for line in self.log if fits(line)]

    def cli(self, *arguments, deadline=30):
        """What a subcommand prints, with this replica's settings."""
        asked = [str(self.program), *arguments]
        return subprocess.run(asked, env=self._env(), capture_output=True, text=True, timeout=deadline).stdout


def cases_of(names):
    """The cases of a script, of its `globals()`: the functions of its own that take a `world` alone."""
    own = [found for found in names.values() if inspect.isfunction(found) and found.__module__ == names["__name__"]]
    return [found for found in own if list(inspect.signature(found).parameters) == ["world"]]


def run(cases, start=None, limit=180):
    """Runs the cases whose names hold one of the command line's words, or all; exits with 1 if one failed.

    `start(world)` sets up what all of them share; what it returns is `world.shared`. `limit` is a case's time in seconds.
    """
    def give_up(*_):
        raise AssertionError(f"it took longer than {limit} s")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, give_up)
    chosen = [case for case in cases if not sys.argv[1:] or any(word in case.__name__ for word in sys.argv[1:])]
    counts, whole = {"ok": 0, "FAILED": 0, "skipped": 0}, World()

    def told(case, took, result, why=""):
        counts[result] += 1
        print(f"{result:8}{case.__name__.replace('_', ' ')}{f' ({took:.0f} s)' if took else ''}{f': {why}' if why else ''}", flush=True)

    try:
        shared = start(whole) if start else None
    except Exception as error:
        for case in chosen:
            told(case, 0, "skipped" if isinstance(error, Skip) else "FAILED", error)
        chosen = []
    for case in chosen:
        world, begun = World(shared), time.monotonic()
        signal.alarm(limit)
        try:
            case(world)
            told(case, time.monotonic() - begun, "ok")
        except Skip as missing:
            told(case, time.monotonic() - begun, "skipped", missing)
        except Exception as error:
            signal.alarm(0)
            frames = [(pathlib.Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
            own = [f"{path.name}:{line}" for path, line in frames if path.resolve().parent == HERE and path.name != "world.py"]
            where = ", ".join(own[-3:]) or f"{frames[-1][0].name}:{frames[-1][1]}"
            told(case, time.monotonic() - begun, "FAILED", f"{type(error).__name__}: {error} [{where}]")
            for replica in world.replicas:
                loud = [line for line in replica.log if line.get("level") in ("WARN", "ERROR") and "plain http" not in str(line)]
                for line in loud[-5:]:
                    shown = {name: value for name, value in line.items() if name not in ("target", "timestamp", "oidc.issuer")}
                    print(f"          {replica.name}: {json.dumps(shown, ensure_ascii=False)[:500]}", flush=True)
        finally:
            signal.alarm(0)
            world.close()
    whole.close()
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped", flush=True)
    sys.exit(1 if counts["FAILED"] else 0)
