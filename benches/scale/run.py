#!/usr/bin/env python3
"""What Evergate and Postgres cost with ever more grants: for each number of them a database is filled (`rows.py`), two replicas are
started before an app, and look-ups, token refreshes (renewals), logins, logouts, lists and sweeps are measured. Everything shares
one machine: load, provider (`provider.py`, which answers at once), app, replicas and Postgres, whose fsync is on.

Figures are appended to a file, one line for each round, so that a run may be repeated when the machine is quieter. The table and the
plot have the best of each figure, because what else runs on a machine only ever makes them worse.

usage: run.py [--grants 10000,100000,1000000] [--figures FILE] [--plot docs/scaling.svg] [--rounds 3] [--seconds 20]
              [--below LOAD] [--label TEXT] [what rows.py takes, as --access 100 --id-token 0 --events 0]
       run.py --figures FILE --plot docs/scaling.svg --grants ''       prints and draws what there is

Needs Postgres with pg_stat_statements (Debian's postgresql), nginx, and `cargo build --release`. A million grants take 4 KB of disk
each, and 1.3 KB for a history of three events.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import load
import provider
import report
import rows
from servers import CLIENT, SECRET, Deployment, Postgres, World, cpu_seconds, wait_for

ROOT = Path(__file__).resolve().parents[2]
# Time for two rounds of everything that runs every 15 s.
PERIOD = 35
RATE = 500


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def fsync_ms(directory):
    """The median time of an fsync after 8 KiB."""
    took = []
    with open(directory / "fsync", "wb") as file:
        for _ in range(100):
            file.write(bytes(8192))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return 1000 * statistics.median(took)


def sizes(postgres):
    found = postgres.run(
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace ORDER BY pg_total_relation_size(oid) DESC"
    )
    return {name: [int(table), int(indexes)] for name, table, indexes in found if int(table) > 1 << 16}


class Numbers:
    """The numbers of sessions for each measurement, so that none takes what another has changed: 1,000 of each round are swept, those
    of every eighth user are logged out, and of the others half have a token that lives."""

    def __init__(self, count, rounds, span):
        rest = [number for number in range(1000 * rounds + 1, count) if number // 2 % 8]
        # Without those of the last hour, whose tokens all live.
        expired = [number for number in rest if not rows.is_fresh(number) and number < count - count * rows.HOUR // span]
        self.fresh = [number for number in rest if rows.is_fresh(number)]
        self.users = list(range(500 * rounds + 8 - 500 * rounds % 8, count // 2, 8))
        for numbers in (expired, self.users):
            random.shuffle(numbers)
        # Each round renews others.
        self.expired = [expired[part::rounds] for part in range(rounds)]


class Round:
    """Measures one deployment with freshly started replicas. Figures have their units in their names."""

    def __init__(self, postgres, deployment, numbers, options, round_):
        self.postgres, self.deployment, self.numbers, self.options, self.round = postgres, deployment, numbers, options, round_
        self.figures = {"load": os.getloadavg()[0], "fsync_ms": fsync_ms(deployment.world.directory)}

    def run(self):
        self.deployment.start(2)
        updates = self.postgres.updates()
        for measurement in [self.periodic, self.lookups, self.renewals, self.logins, self.logouts, self.lists, self.administration, self.sweep]:
            known = set(self.figures)
            measurement()
            new = {name: round(figure, 2) for name, figure in self.figures.items() if name not in known}
            print(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f} {new}", file=sys.stderr, flush=True)
        # Which have told the database what they updated by their end.
        self.deployment.stop()
        for (name, updated, hot), (_, before, hot_before) in zip(self.postgres.updates(), updates):
            self.figures[f"hot_{name}"] = (int(hot) - int(hot_before)) / max(1, int(updated) - int(before))
        return self.figures

    def told(self, slowest):
        for line in slowest[:4]:
            print("   ", *line, file=sys.stderr)
        return float(slowest[0][0])

    def periodic(self):
        time.sleep(5)
        self.postgres.run("SELECT pg_stat_statements_reset()")
        time.sleep(PERIOD)
        self.figures["periodic_ms"] = self.told(self.postgres.slowest())

    def lookups(self):
        replica, port = self.deployment.replicas[0], self.deployment.ports[0]
        warming = min(RATE, len(self.numbers.fresh) // 4)
        numbers = random.sample(self.numbers.fresh, min(RATE * self.options.seconds + warming, len(self.numbers.fresh)))
        # The first second opens connections to Postgres and prepares statements there.
        asyncio.run(load.paced(port, map(self.deployment.request, numbers[:warming]), RATE))
        numbers = numbers[warming:]
        before, resident = cpu_seconds(replica.pid), self.deployment.resident()
        took = asyncio.run(load.paced(port, map(self.deployment.request, numbers), RATE))
        self.percentiles("lookup", took)
        self.figures["lookup_cpu_ms"] = 1000 * (cpu_seconds(replica.pid) - before) / len(numbers)
        self.figures["replica_mib"] = self.deployment.resident() / (1 << 20)
        self.figures["cached_kib"] = (self.deployment.resident() - resident) / len(numbers) / 1024

    def renewals(self):
        deployment, postgres = self.deployment, self.postgres
        processes = {"replicas": deployment.replicas, "postgres": [postgres.process], "provider": [deployment.provider]}
        cpu = lambda: {name: sum(cpu_seconds(process.pid) for process in some) for name, some in processes.items()}
        # What a checkpoint costs is in the figures: each page that is written first after it is written whole.
        postgres.run("CHECKPOINT")
        wal, refreshed, used = postgres.written(), deployment.refreshed(), cpu()
        requests = map(deployment.request, self.numbers.expired[self.round])
        answered, seconds = asyncio.run(load.saturating(deployment.ports, requests, self.options.each, self.options.seconds))
        used = {name: now - used[name] for name, now in cpu().items()}
        refreshed = deployment.refreshed() - refreshed
        if refreshed < answered:
            sys.exit(f"{answered} answers, but {refreshed} token refreshes")
        # The history is written half a second later, and counted another.
        time.sleep(2)
        wal = [now - then for now, then in zip(postgres.written(), wal)]
        self.figures["renewals_per_s"] = answered / seconds
        self.figures |= {f"renewal_{name}_cpu_ms": 1000 * seconds / answered for name, seconds in used.items()}
        self.figures["renewal_wal_bytes"], self.figures["renewal_full_pages"] = (part / refreshed for part in wal)

    def logins(self):
        self.percentiles("login", [self.deployment.login(f"login-{number}")[0] for number in range(50)])

    def logouts(self):
        took = []
        for number in self.numbers.users[self.round * 100 :][:100]:
            token = provider.logout_token(self.deployment.issuer, CLIENT, SECRET, f"user-{number}")
            begun = time.perf_counter()
            status, _, text = self.deployment.ask(0, "/oauth2/backchannel_logout", "POST", f"logout_token={token}")
            took.append(time.perf_counter() - begun)
            left = self.postgres.numbers(f"SELECT COUNT(*) FROM grants WHERE subject = 'user-{number}'")[0]
            if status != 200 or left:
                sys.exit(f"after the logout of user-{number} there are {left:.0f} grants: {status} {text}")
        self.percentiles("logout", took)

    def lists(self):
        """From the start of the command to the last line of the first page."""
        took = []
        for _ in range(9):
            begun = time.perf_counter()
            command = [self.options.binary, "sessions", "list"]
            listing = subprocess.Popen(command, env=self.deployment.env(0), stdout=subprocess.PIPE)
            lines = [listing.stdout.readline() for _ in range(100)]
            took.append(time.perf_counter() - begun)
            listing.stdout.close()
            listing.kill()
            listing.wait()
            if not lines[-1]:
                sys.exit(f"the list has no hundred lines: {lines}")
        self.percentiles("list", took)

    def administration(self):
        """The slowest of the pages of an administrator, each asked for several times: the list, one of its later parts, by a filter that
        nobody passes, searches, and what is told of providers and keys."""
        _, cookies = self.deployment.login("admin-1")
        at = "/oauth2/admin"
        middle = self.postgres.run(
            "SELECT created_at || '-' || encode(hash, 'hex') FROM sessions ORDER BY created_at, hash "
            f"OFFSET {self.options.count // 2} LIMIT 1"
        )[0][0]
        user = rows.user(self.options.count // 3)
        paths = ["", f"?after={middle}", "?show=ended", "?show=refused", "?show=not_renewable", f"?name={user}", f"?name={user}@exam"]
        paths += ["?name=user-", "?name=nobody", f"/why?name={user}", "/providers", "/providers?days=2", "/keys", "/audit"]
        slowest = 0
        for path in paths:
            took = []
            for _ in range(9):
                begun = time.perf_counter()
                status, _, text = self.deployment.ask(0, at + path, cookies=cookies)
                took.append(time.perf_counter() - begun)
                if status != 200:
                    sys.exit(f"{at + path}: {status} {text[:300]}")
            print(f"    {1000 * percentile(took, 0.5):.1f} ms of {max(took) * 1000:.1f}: {path or '/'}", file=sys.stderr)
            slowest = max(slowest, percentile(took, 0.5))
        self.figures["administration_ms"] = 1000 * slowest

    def sweep(self):
        numbers = range(1000 * self.round + 1, 1000 * self.round + 1001)
        hashes = ", ".join(f"'\\x{rows.digest(rows.cookie(number)).hex()}'" for number in numbers)
        self.postgres.run(f"UPDATE sessions SET created_at = 0 WHERE hash IN ({hashes})", "SELECT pg_stat_statements_reset()")
        left = "SELECT (SELECT COUNT(*) FROM sessions WHERE created_at = 0) + (SELECT COUNT(*) FROM left_grants)"
        wait_for("a sweep", lambda: self.postgres.numbers(left)[0] == 0)
        slowest = [line for line in self.postgres.slowest() if "created_at = $" not in line[3]]
        self.figures["sweep_ms"] = sum(float(line[2]) for line in slowest)
        self.figures["sweep_slowest_ms"] = self.told(slowest)

    def percentiles(self, name, took):
        self.figures |= {f"{name}_{part}_ms": 1000 * percentile(took, share) for part, share in [("p50", 0.5), ("p99", 0.99)]}


def measure(world, options, count, rounds):
    """Fills a database, and yields the figures of each round."""
    postgres = Postgres(world)
    deployment = Deployment(world, postgres, options.binary.resolve())
    # Issuer, client and settings of the grants are those of a login that Evergate made.
    deployment.start(1)
    deployment.login("template-1")
    template = postgres.run("SELECT issuer, client_id, fingerprint, scopes FROM grants")[0]
    deployment.stop()
    filling = argparse.Namespace(**vars(options))
    options.count = count
    filling.url, filling.grants, filling.key, filling.now = postgres.url, count, deployment.key, int(time.time() * 1000)
    filling.issuer, filling.client, filling.fingerprint, filling.scopes = template
    begun = time.monotonic()
    rows.fill(filling)
    postgres.run("VACUUM ANALYZE", "CHECKPOINT")
    known = {"grants": count, "label": options.label, "fill_s": time.monotonic() - begun, "sizes": sizes(postgres)}
    print(f"{time.strftime('%H:%M:%S')} {count:,} grants in {known['fill_s']:.0f} s: {known['sizes']}", file=sys.stderr, flush=True)
    numbers = Numbers(count, rounds, options.span)
    for round_ in range(rounds):
        waited = 0
        while os.getloadavg()[0] > options.below and waited < options.patience:
            waited += 5
            time.sleep(5)
        yield known | Round(postgres, deployment, numbers, options, round_).run()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grants", default="10000,100000,1000000")
    parser.add_argument("--figures", type=Path, help="where figures are appended and read; without it those of this run alone count")
    parser.add_argument("--plot", type=Path, help="where the plot is drawn")
    parser.add_argument("--label", default="", help="kept with the figures")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--below", type=float, default=100, help="a round waits for a load average below this")
    parser.add_argument("--patience", type=int, default=600, help="but no longer than these seconds")
    parser.add_argument("--seconds", type=int, default=20, help="how long look-ups and renewals take")
    parser.add_argument("--each", type=int, default=32, help="connections to each replica for renewals")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/evergate")
    rows.add_sizes(parser)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("told to stop"))
    found = []
    for count in map(int, filter(None, options.grants.split(","))):
        world = World()
        try:
            for figures in measure(world, options, count, options.rounds):
                found.append(figures)
                if options.figures:
                    with options.figures.open("a") as file:
                        file.write(json.dumps(figures) + "\n")
        finally:
            world.close()
    if options.figures:
        found = [json.loads(line) for line in options.figures.read_text().splitlines()]
    print(report.table(found))
    if options.plot:
        options.plot.write_text(report.plot(found))


if __name__ == "__main__":
    main()
