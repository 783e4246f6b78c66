#!/usr/bin/env python3
"""The previous release and this one, side by side on one database, under load: docs/upgrade.md, with its commands as they are written.

HAProxy balances two replicas. Access tokens live 5 s, refresh tokens rotate, and one that comes twice is counted and ends its grant.
Users ask for pages and data; some upload, download, and keep event streams and WebSockets open all the while. What the previous
release is, `previous_release.py` says.
"""

import json
import os
import re
import subprocess
import time

from packages import debian_packages
from patroni_load import Load
from previous_release import previous_release
from upgrade_work import Work
from world import HERE, REPOSITORY, Browser, Evergate, Skip, binary, cases_of, eventually, need, run

TOKEN_SECONDS = 5
USERS, RATE = int(os.environ.get("UPGRADE_USERS", 40)), int(os.environ.get("UPGRADE_RATE", 100))
WORKERS = 3
PAGE = (REPOSITORY / "docs/upgrade.md").read_text()


class Releases:
    """The two binaries."""

    def __init__(self):
        need("node", "psql")
        debian_packages({"haproxy": "haproxy"})
        if not (HERE.parent / "peers" / "node_modules" / "oidc-provider").exists():
            raise Skip("npm's oidc-provider, which tests/run installs")
        self.name, self.old = previous_release()
        self.new = binary()


class Balancer:
    """HAProxy before two replicas, which asks each whether it is ready."""

    def __init__(self, world, port, replicas):
        self.address, self.url, stats = ("127.0.0.1", port), f"http://localhost:{port}", world.port()
        self.stats = f"http://127.0.0.1:{stats}/;csv"
        servers = "\n".join(f"    server {name} 127.0.0.1:{own}" for name, own in zip(("first", "second"), replicas))
        config = world.directory / "haproxy.cfg"
        config.write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response

frontend http
    bind 127.0.0.1:{port}
    default_backend evergate

frontend stats
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /

backend evergate
    balance roundrobin
    option httpchk
    http-check send meth GET uri /oauth2/readyz ver HTTP/1.1 hdr Host localhost:{port}
    default-server check inter 200ms fall 1 rise 1
{servers}
""")
        world.spawn("haproxy", ["haproxy", "-db", "-q", "-f", config], {"PATH": os.environ["PATH"] + ":/usr/sbin"})

    def balances(self):
        """Whether both replicas get requests."""
        told = subprocess.run(["curl", "-s", self.stats], capture_output=True, text=True, timeout=10).stdout
        return len(re.findall(r"^evergate,(?:first|second),.*,UP,", told, re.MULTILINE)) == 2


class Bench:
    """Two replicas of the previous release, a provider, an app, a balancer, and users who come and work."""

    def __init__(self, world):
        self.world, self.releases, self.rows, self.logins = world, world.shared, [], 0
        provider_port, app_port, port, own = (world.port() for _ in range(4))
        access, self.app = f"http://localhost:{port}", f"http://127.0.0.1:{app_port}"
        said = ["node", HERE / "patroni_provider.mjs", provider_port, app_port, f"{access}/oauth2/callback", TOKEN_SECONDS]
        provider = world.spawn("provider", said)
        self.work = Work(world)
        eventually("the provider listens", lambda: "http" in provider.text(), 30)
        config = world.directory / "evergate.toml"
        config.write_text(f'[[route]]\npath = "/"\nupstream = "{self.app}"\n\n[[route]]\npath = "/work/"\nupstream = "{self.work.url}"\n')
        first = Evergate(world, {
            "ACCESS_URL": access, "HTTP_ADDRESS": f"127.0.0.1:{own}", "OIDC_ISSUER_URL": f"http://127.0.0.1:{provider_port}",
            "OIDC_CLIENT_ID": "evergate", "OIDC_CLIENT_SECRET": "not-much-of-a-secret", "OIDC_IGNORE_USERINFO": "true",
            "PG_CONNECTION_URL": world.postgres(), "LOG_FILTER": "info,evergate::access=off", "CONFIG_PATH": str(config),
            "PROXY_TRUSTED_ORIGINS": "127.0.0.1", "SHUTDOWN_TIMEOUT": "6s",
        }, program=self.releases.old)
        self.replicas = [first, first.also()]
        self.balancer = Balancer(world, port, [replica.address[1] for replica in self.replicas])
        eventually("the balancer has both", self.balancer.balances)
        self.load = Load([self.balancer], provider_port, USERS, RATE)
        self.load.sign_in()
        workers = [self.log_in(f"worker{number}", self.balancer) for number in range(WORKERS)]
        self.sessions = self.stored()
        assert len(self.sessions) == USERS + WORKERS, self.sessions
        self.prompts, self.logins = self.counted()["prompts"], 0
        self.load.going = True
        self.work.begin(access, [self.cookies(browser) for browser in workers])

    def log_in(self, name, at):
        """A browser that logs in by this replica."""
        browser, self.logins = Browser(), self.logins + 1
        browser.name = name
        page = browser.submit(browser.visit(self.balancer.url + "/", at), {"login": name}, at=at)
        assert page.headers.get("x-user") == name, str(page)
        return browser

    @staticmethod
    def cookies(browser):
        return "; ".join(f"{name}={value}" for (host, _, name), value in browser.cookies.items() if host == "localhost")

    def served(self, browser, at):
        """Whether a script of its user is served by this replica; otherwise it is refused with 401."""
        answer = browser.fetch(self.balancer.url + "/", at)
        assert answer.status in (200, 401), str(answer)
        assert answer.status == 401 or answer.headers["x-user"] == browser.name, str(answer)
        return answer.status == 200

    def counted(self):
        """What the provider has counted so far."""
        return json.loads(subprocess.run(["curl", "-s", f"{self.app}/counted"], capture_output=True, text=True, timeout=10).stdout)

    def sql(self, statement):
        return self.world.sql(self.replicas[0].settings["PG_CONNECTION_URL"], statement)

    def stored(self):
        """The sessions whose grant has not ended."""
        asked = "SELECT encode(hash, 'hex') FROM sessions JOIN grants ON grants.id = grant_id WHERE ended_reason IS NULL"
        return set(self.sql(asked).split())

    def step(self, name, action):
        """Does something under load, then goes on until every user's token has been renewed once more."""
        begun, before = time.time(), self.counted()
        action()
        took = time.time() - begun
        due = self.counted()["renewals"] + USERS + WORKERS
        eventually("everybody is renewed once more", lambda: self.counted()["renewals"] >= due, 60)
        samples = [sample for sample in self.load.samples if sample.begun >= begun]
        failed = [sample.outcome for sample in samples if sample.outcome != "fresh"]
        after = self.counted()
        self.rows.append((name, f"{took:.1f}", len(samples), len(failed), f"{max(sample.ended - sample.begun for sample in samples):.2f}",
                          after["renewals"] - before["renewals"], after["reuses"] - before["reuses"]))
        assert not failed, f"{name}: {len(failed)} of {len(samples)} requests were not served: {failed[:3]}"
        assert not self.work.problems, f"{name}: {self.work.problems[:3]}"

    def replace(self, number, program):
        """Stops a replica, which drains, and starts another release in its place."""
        replica = self.replicas[number]
        replica.stop()
        assert replica.process.child.returncode == 0, f"{replica.name} ended with {replica.process.child.returncode}"
        replica.program = program
        replica.start()
        running = os.readlink(f"/proc/{replica.process.child.pid}/exe")
        assert os.path.samefile(running, program), running
        eventually("the balancer has both", self.balancer.balances)

    def side_by_side(self):
        """What either release does, the other one knows."""
        for one, other in (self.replicas, self.replicas[::-1]):
            browsers = [self.log_in(f"{how}-{one.address[1]}", one) for how in ("stays", "leaves", "is-ended")]
            for browser in browsers:
                assert self.served(browser, other), f"{browser.name} is not known to the other replica"
            browsers[1].visit(self.balancer.url + "/oauth2/sign_out", one, referrer=self.balancer.url + "/")
            said = one.cli("sessions", "revoke", browsers[2].name)
            assert "ended session" in said, said
            for browser in browsers[1:]:
                eventually(f"{browser.name} has ended there too", lambda: not self.served(browser, other), 10)
            assert self.served(browsers[0], other)

    def conclude(self):
        """Lets everybody finish, and looks at what it cost."""
        self.work.rest()
        self.load.rest()
        time.sleep(0.5)  # A renewal in the background belongs to no request.
        counted, lost = self.counted(), self.sessions - self.stored()
        found = {
            "requests that were not served": [sample for sample in self.load.samples if sample.outcome != "fresh"],
            "people who were sent to the login": self.load.typed,
            "silent logins": self.load.silent,
            "logins beside the tests' own": counted["prompts"] - self.prompts - self.logins,
            "refresh tokens that came twice": counted["reuses"],
            # `check` presents one refresh token that was never issued.
            "token calls without a renewal": counted["calls"] - counted["renewals"] - 1,
            "sessions that are gone": lost,
            "problems of what takes longer": self.work.problems,
            "errors in the log": [line for replica in self.replicas for line in replica.log if line["level"] == "ERROR"],
        }
        self.print_table()
        assert not any(found.values()), {what: str(value)[:600] for what, value in found.items() if value}
        interruptions = self.work.interruptions()
        assert interruptions <= 4, f"a stream was interrupted {interruptions} times by four deploys"

    def print_table(self):
        print(f"\n{self.releases.name} and this release, {USERS} users, {RATE} requests/s, access tokens of {TOKEN_SECONDS} s.")
        print(f"Beside them: {dict(self.work.done)}\n")
        columns = ("step", "s", "requests", "failed", "longest wait, s", "token refreshes", "reuse detected")
        for row in (columns, ["---"] * len(columns), *self.rows):
            print(f"| {' | '.join(map(str, row))} |")
        print(flush=True)


def commands(section):
    """The block of a section of the page."""
    return re.search(r"```sh\n(.*?)```", PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0], re.DOTALL)[1]


def as_written(bench, section):
    """Runs a block of the page with this release's binary."""
    programs = bench.world.directory / "programs"
    programs.mkdir(exist_ok=True)
    if not (programs / "evergate").exists():
        (programs / "evergate").symlink_to(bench.releases.new)
    env = {**bench.replicas[0]._env(), "PATH": f"{programs}:{os.environ['PATH']}"}
    asked = ["bash", "-uo", "pipefail", "-c", commands(section)]
    done = subprocess.run(asked, env=env, cwd=bench.world.directory, capture_output=True, text=True, timeout=60)
    # `check` warns of plain http.
    assert done.returncode in (0, 1), f"{done.returncode}: {done.stdout}{done.stderr}"
    assert not re.search("^error", done.stdout, re.MULTILINE), done.stdout


def nobody_notices_an_upgrade_or_its_way_back(world):
    bench = Bench(world)
    old, new = bench.releases.old, bench.releases.new
    applied = lambda: bench.sql("SELECT max(version) FROM _sqlx_migrations")
    bench.step("previous release alone", lambda: None)
    before = applied()
    bench.step("this release migrates", lambda: as_written(bench, "Upgrade"))
    print(f"        migrations {before} to {applied()}", flush=True)
    bench.step("first replica replaced", lambda: bench.replace(0, new))
    bench.step("both releases side by side", bench.side_by_side)
    bench.step("second replica replaced", lambda: bench.replace(1, new))
    bench.step("first replica back to the previous release", lambda: bench.replace(0, old))
    bench.step("side by side again", bench.side_by_side)
    bench.step("first replica replaced again", lambda: bench.replace(0, new))
    bench.conclude()


def a_file_of_sqlite_goes_forward_and_back(world):
    port, app_port, own = (world.port() for _ in range(3))
    access = f"http://localhost:{own}"
    provider = world.spawn("provider", ["node", HERE / "patroni_provider.mjs", port, app_port, f"{access}/oauth2/callback", TOKEN_SECONDS])
    eventually("the provider listens", lambda: "http" in provider.text(), 30)
    replica = Evergate(world, {
        "ACCESS_URL": access, "HTTP_ADDRESS": f"127.0.0.1:{own}", "OIDC_ISSUER_URL": f"http://127.0.0.1:{port}",
        "OIDC_CLIENT_ID": "evergate", "OIDC_CLIENT_SECRET": "not-much-of-a-secret", "OIDC_IGNORE_USERINFO": "true",
        "UPSTREAM_URL": f"http://127.0.0.1:{app_port}",
    }, program=world.shared.old)
    browser = Browser()
    assert browser.submit(browser.visit(access + "/"), {"login": "ann"}).headers.get("x-user") == "ann"
    for program in (world.shared.new, world.shared.old, world.shared.new):
        replica.stop()
        replica.program = program
        replica.start()
        answer = browser.fetch(access + "/")
        assert (answer.status, answer.headers.get("x-user")) == (200, "ann"), str(answer)
        counted = lambda: json.loads(Browser().fetch(f"http://127.0.0.1:{app_port}/counted").text)
        due = counted()["renewals"] + 1
        eventually("she is renewed", lambda: browser.fetch(access + "/").status == 200 and counted()["renewals"] >= due)
        assert counted()["reuses"] == 0


if __name__ == "__main__":
    run(cases_of(globals()), lambda world: Releases(), limit=420)
