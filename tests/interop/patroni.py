#!/usr/bin/env python3
"""Two replicas of Evergate on a Patroni cluster, under load, while the cluster does what clusters do.

Three nodes of Postgres, etcd and HAProxy (Debian's patroni, etcd-server, haproxy and postgresql, installed if missing), a
provider with strict rotation that revokes a grant when a refresh token comes twice, and users whose access tokens live 8 s.
Each fault is a case; at the end there is a table with a row for each.

    patroni.py [--quick] [--asynchronous] [WORD ...]   --quick: 50 users and three faults; WORD: the faults whose names hold it
    PATRONI_USERS=200 PATRONI_RATE=320    users, and requests a second of all of them

A fault's cause has ended once new connections through HAProxy can write again, and go on to. From then on it is counted
how long it takes until all requests of three seconds are answered 200 with an identity that is not marked stale.

Replication is synchronous, so that a failover loses nothing that was committed, unless it is to be asynchronous: then there are
faults in which the last seconds before the failover are lost.
"""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

from patroni_cluster import Cluster, Node, get, install, writes
from patroni_load import Load
from world import HERE, Evergate, Skip, cases_of, eventually, need, run

QUICK = "--quick" in sys.argv
ASYNCHRONOUS = "--asynchronous" in sys.argv
sys.argv = [word for word in sys.argv if word not in ("--quick", "--asynchronous")]
USERS = int(os.environ.get("PATRONI_USERS", 50 if QUICK else 200))
RATE = int(os.environ.get("PATRONI_RATE", 320))
TOKEN_SECONDS = 8

# How soon a replica knows that the store cannot be written, and how soon after the end of the cause service is whole, which is
# so once all requests of some seconds are answered well.
KNOWN_WITHIN = WHOLE_WITHIN = 5.0
NORMAL_SECONDS = 3.0
# For so long a database that went back in time has no refresh token presented: what other replicas know is put right first.
HOLD = 6.0
# After this long the replicas are restarted, for the sake of the next fault.
GIVE_UP = 25.0
# What one of the two replicas may ask of a store that cannot be written in a second, over any three: so much by itself, and for
# each of its requests the session, the grant, and the grant once more where it is to be renewed, because what a replica cannot
# hear changes of it does not keep. Of these may fail what it asks by itself, and one for each request.
STORE_CALLS, STORE_FAILURES = 100 + 3 * RATE // 2, 100 + RATE // 2


class Watch:
    """Looks, all the time: can new connections write, what does readiness say, what have the replicas asked of the store?"""

    def __init__(self, bench):
        self.bench, self.writes, self.ready, self.figures = bench, [], [], []
        for look, pause in ((self._write, 0.2), (self._ready, 0.5), (self._figures, 1.0)):
            threading.Thread(target=self._again, args=(look, pause), daemon=True).start()

    @staticmethod
    def _again(look, pause):
        while True:
            with contextlib.suppress(OSError, ValueError):
                look()
            time.sleep(pause)

    def _write(self):
        begun, succeeded = time.time(), writes(self.bench.store_port)
        self.writes.append((begun, time.time(), succeeded))

    def _ready(self):
        for replica in self.bench.replicas:
            begun, (status, body) = time.time(), replica.ask("/oauth2/readyz", 4)
            self.ready.append((begun, time.time(), f"{replica.name} at {time.strftime('%T')}: {status} {body}"))

    def _figures(self):
        for replica in self.bench.replicas:
            if figures := self.bench.figures(replica):
                self.figures.append((time.time(), replica.name, figures))

    def writable_since(self):
        """Since when every attempt to write has succeeded; infinity if the last one did not."""
        since = float("inf")
        for _, ended, succeeded in reversed(self.writes):
            if not succeeded:
                break
            since = ended
        return since

    def unwritable(self, begun, ended):
        """When the first and the last attempt to write failed in this time; None if none did."""
        failed = [start for start, _, succeeded in list(self.writes) if begun <= start <= ended and not succeeded]
        return (failed[0], failed[-1]) if failed else None

    def wrongly_ready(self, begun, ended):
        """The answers of 200 to whether a replica is ready, when nothing could be written for some seconds up to then."""
        def away(since, until):
            near = [ok for start, end, ok in list(self.writes) if end >= since - KNOWN_WITHIN and start <= until + 0.5]
            return near and not any(near)

        asked = [sample for sample in list(self.ready) if begun <= sample[0] <= ended]
        return [answer for since, until, answer in asked if ": 200 " in answer and away(since, until)]

    def store_calls(self, kind, begun, ended):
        """One replica's calls to the store in a second: the mean, and the mean of the three seconds with the most."""
        rates = []
        for name in {name for _, name, _ in self.figures}:
            series = [(at, figures[kind]) for at, who, figures in list(self.figures) if who == name and begun <= at <= ended]
            rates += [(later - earlier) / (then - at) for (at, earlier), (then, later) in zip(series, series[3:])]
        return (sum(rates) / len(rates), max(rates)) if rates else (0.0, 0.0)


class Bench:
    """Everything together."""

    def __init__(self, world):
        self.rows = []
        world.at_end(self.print_table)  # Registered first, so that it comes last.
        install()
        peers = HERE.parent / "peers"
        need("node", "npm", "psql")
        npm = ["npm", "ci", "--prefix", peers]
        if not (peers / "node_modules").exists() and subprocess.run(npm, capture_output=True).returncode:
            raise Skip("npm's oidc-provider cannot be installed")
        provider_port, app_port, access = world.port(), world.port(), f"http://localhost:{world.port()}"
        self.app = f"http://127.0.0.1:{app_port}"
        said = ["node", HERE / "patroni_provider.mjs", provider_port, app_port, f"{access}/oauth2/callback", TOKEN_SECONDS]
        provider = world.spawn("provider", said)
        self.cluster = Cluster(world, not ASYNCHRONOUS)
        self.store_port = self.cluster.cutting
        eventually("the provider listens", lambda: "http" in provider.text(), 30)
        own_metrics = lambda: {"PROMETHEUS_ENABLE": "true", "PROMETHEUS_ADDRESS": f"127.0.0.1:{world.port()}"}
        first = Evergate(world, {
            "ACCESS_URL": access, "UPSTREAM_URL": self.app, "OIDC_ISSUER_URL": f"http://127.0.0.1:{provider_port}",
            "OIDC_CLIENT_ID": "evergate", "OIDC_CLIENT_SECRET": "not-much-of-a-secret", "OIDC_IGNORE_USERINFO": "true",
            "PG_CONNECTION_URL": self.store_url(), "LOG_FILTER": "info,evergate::access=off", **own_metrics(),
        })
        self.replicas = [first, first.also(**own_metrics())]
        self.load = Load(self.replicas, provider_port, USERS, RATE)
        self.load.sign_in()
        self.watch = Watch(self)

    def store_url(self):
        return f"postgres://postgres@127.0.0.1:{self.store_port}/evergate"

    def use(self, port):
        """Puts the replicas on another of HAProxy's addresses, which is a restart of both."""
        if port != self.store_port:
            self.store_port = port
            self.restart()

    def restart(self):
        self.load.rest()
        for replica in self.replicas:
            replica.restart(PG_CONNECTION_URL=self.store_url())

    def settle(self):
        """Waits until nothing is left of what was before."""
        self.load.going = True
        self.cluster.whole()
        begun = time.time()
        well = lambda: self.normal_since(max(begun, time.time() - 10))
        try:
            eventually("all requests are answered well", well, 30, 0.5)
        except AssertionError:
            self.restart()
            self.load.going = True
            eventually("all requests are answered well by replicas that have just started", well, 30, 0.5)

    def figures(self, replica):
        """What a replica has counted since it started; nothing while it is away."""
        status, text = get(f"http://{replica.settings['PROMETHEUS_ADDRESS']}/metrics")
        if status != 200:
            return None
        lines = text.splitlines()
        total = lambda start: sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"evergate_{start}"))
        calls, failures = total("store_seconds_count"), total("store_failures_total")
        return {"calls": calls, "failures": failures, "saved": total('renewals_total{outcome="ok"')}

    def totals(self):
        """What has been counted so far, at a moment at which nothing is under way."""
        self.load.rest()
        time.sleep(0.5)
        counted = collections.Counter(json.loads(get(f"{self.app}/counted")[1]))
        counted["saved"] = int(sum(self.figures(replica)["saved"] for replica in self.replicas))
        counted["lines"] = sum(len(replica.process.text().splitlines()) for replica in self.replicas)
        counted["refused"] = sum(node.refusals() for node in self.cluster.nodes)
        self.load.going = True
        return counted

    def normal_since(self, since):
        """The first moment from `since` on from which all requests of some seconds were answered well; None before that."""
        candidate = since
        for sample in sorted(sample for sample in self.load.samples[-60_000:] if sample.begun >= since):
            if sample.begun >= candidate + NORMAL_SECONDS:
                break
            if sample.outcome != "fresh":
                candidate = sample.begun + 0.001
        return candidate if self.load.answered_until() >= candidate + NORMAL_SECONDS else None

    def print_table(self):
        if not self.rows:
            return
        print(f"\n{USERS} users, {RATE} requests/s, access tokens of {TOKEN_SECONDS} s. Store calls are one replica's:")
        print("the mean, and that of the three seconds with the most.\n")
        lines = [self.rows[0].keys(), ["---"] * len(self.rows[0]), *(row.values() for row in self.rows)]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines), end="\n\n", flush=True)


def fault(bench, name, action, address="cutting", within=WHOLE_WITHIN):
    """Lets `action` happen under load, waits until its cause has ended and service is whole, and judges what it cost."""
    load, watch = bench.load, bench.watch
    bench.use(getattr(bench.cluster, address))
    bench.settle()
    before, begun = bench.totals(), time.time()
    time.sleep(2)
    action_begun = time.time()
    action()
    action_ended = time.time()
    try:
        steadily = lambda: time.time() - max(watch.writable_since(), action_ended) > 3
        eventually("the store can be written again, and goes on so", steadily, 90)
    except AssertionError as error:
        raise AssertionError(f"{error}: {bench.cluster.state()}") from None
    cause_ended = max(watch.writable_since(), action_ended)
    with contextlib.suppress(AssertionError):
        eventually("service is whole", lambda: bench.normal_since(cause_ended), cause_ended + GIVE_UP - time.time(), 0.2)
    normal = bench.normal_since(cause_ended)
    spent = bench.totals()
    spent.subtract(before)

    samples = [sample for sample in load.samples if sample.begun >= begun]
    outcomes = collections.Counter(sample.outcome for sample in samples)
    typed, silent = ([entry for entry in entries if entry.at >= begun] for entries in (load.typed, load.silent))
    away = watch.unwritable(action_begun, cause_ended)
    # What was under way when the store went is asked once more, and so is everything once it is back: neither is the storm.
    calls, failures = (watch.store_calls(kind, away[0] + 2, away[1]) if away else (0, 0) for kind in ("calls", "failures"))
    logged_in = len({entry.user for entry in typed})
    until_normal = f"> {GIVE_UP:.0f}" if normal is None else f"{normal - cause_ended:.1f}"
    bench.rows.append({
        "fault": name,
        "cause lasted, s": f"{cause_ended - action_begun:.1f}",
        "requests": f"{len(samples)}",
        "failed": f"{len(samples) - outcomes['fresh'] - outcomes['stale']}",
        "stale": f"{outcomes['stale']}",
        "longest wait, s": f"{max(sample.ended - sample.begun for sample in samples):.1f}",
        "s until normal": until_normal,
        "had to log in": f"{logged_in}",
        "silent passes": f"{len(silent)}",
        "renewals": f"{spent['saved']}",
        "token calls per renewal": f"{spent['calls'] / spent['saved']:.3f}" if spent["saved"] else "-",
        "reuse detected": f"{spent['reuses']}",
        "store calls/s while it failed": "{:.0f}, {:.0f}".format(*calls),
        "of these failed": "{:.0f}, {:.0f}".format(*failures),
        "errors of Postgres/s": f"{spent['refused'] / max(cause_ended - action_begun, 1):.0f}",
        "log lines": f"{spent['lines']}",
    })
    came = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"        {name}: {came}; {dict(spent)}", flush=True)
    for entry in typed[:5]:
        print(f"        {entry.user} had to do something: {entry.where}", flush=True)
    if normal is None:
        late = [sample for sample in samples if sample.begun >= cause_ended]
        later = collections.Counter((int(sample.begun - cause_ended), sample.outcome) for sample in late)
        bad = [f"{second} s: {count} {outcome}" for (second, outcome), count in sorted(later.items()) if outcome != "fresh"]
        print(f"        after its cause had ended: {', '.join(bad[:40])}", flush=True)
        bench.restart()

    # What lasts is over when it ends: the replicas' connections may have outlived it, and be good before new ones are.
    wrong = watch.wrongly_ready(action_begun, action_ended if action_ended - action_begun > KNOWN_WITHIN else cause_ended)
    problems = [problem for is_one, problem in (
        (any("somebody else" in outcome for outcome in outcomes), "somebody was given another's identity"),
        (logged_in, f"{logged_in} people had to log in"),
        (spent["reuses"], f"{spent['reuses']} refresh tokens came to the provider twice"),
        (spent["calls"] != spent["saved"], f"{spent['calls']} token calls for {spent['saved']} renewals"),
        (normal is None or normal - cause_ended > within, f"service was whole after {until_normal} s, not {within:g}"),
        (calls[1] > STORE_CALLS, f"a replica made {calls[1]:.0f} store calls a second while it failed, not at most {STORE_CALLS}"),
        (failures[1] > STORE_FAILURES, f"{failures[1]:.0f} store calls of a replica failed a second, not at most {STORE_FAILURES}"),
        (wrong, f"{len(wrong)} times a replica was ready while nothing could be written: {wrong[:1]}"),
    ) if is_one]
    still = sum(seconds for at, seconds in load.stood_still if at >= begun)
    if problems and still > 1:
        raise Skip(f"the machine is too busy, the load stood still for {still:.0f} s; {'; '.join(problems)}")
    assert not problems, "; ".join(problems)


# The cases, each named after what is right. The one on HAProxy's other address comes last: changing it restarts the replicas.

END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'evergate'"


def when_nothing_happens_nobody_notices(world):
    fault(world.shared, "none", lambda: time.sleep(6))


def a_database_that_was_read_only_is_written_again_within_seconds(world):
    def read_only():
        primary = world.shared.cluster.primary()
        primary.sql("ALTER DATABASE evergate SET default_transaction_read_only = on")
        primary.sql(END_CONNECTIONS)
        time.sleep(20)
        # Connections that were made meanwhile stay as they began: it is for whoever has one to make another.
        primary.sql("ALTER DATABASE evergate RESET default_transaction_read_only")

    fault(world.shared, "read-only for 20 s", read_only)


def a_planned_switchover_is_over_when_it_is_over(world):
    fault(world.shared, "planned switchover", world.shared.cluster.switch)


def a_primary_is_killed_and_nobody_is_logged_out(world):
    dead = world.shared.cluster.primary()
    try:
        fault(world.shared, "primary killed", dead.kill)
    finally:
        if not dead.patroni.alive():
            dead.patroni.start()


def seconds_that_a_failover_loses_log_nobody_out(world):
    """What was committed last is not on the standby that takes over: refresh tokens that were spent are there again."""
    if not ASYNCHRONOUS:
        raise Skip("with synchronous replication nothing is lost")
    for seconds in (4, 10):
        dead = world.shared.cluster.primary()

        def lose():
            dead.hold_back_replication()
            time.sleep(seconds)
            dead.kill()

        try:
            fault(world.shared, f"primary killed, {seconds} s lost", lose, within=WHOLE_WITHIN + HOLD)
        finally:
            if not dead.patroni.alive():
                dead.patroni.start()


def etcd_comes_back_and_so_does_service(world):
    etcd = world.shared.cluster.etcd

    def away():
        etcd.signal(signal.SIGSTOP)
        time.sleep(60)
        etcd.signal(signal.SIGCONT)

    fault(world.shared, "etcd away for 60 s", away)


def nodes_are_restarted_one_after_the_other(world):
    cluster = world.shared.cluster

    def rolling():
        for node in sorted(cluster.nodes, key=Node.is_primary):
            node.patroni.stop()
            node.patroni.start()
            cluster.whole()

    fault(world.shared, "rolling restart of the nodes", rolling)


def postgres_is_restarted(world):
    fault(world.shared, "`pg_ctl restart`", lambda: world.shared.cluster.primary().restart())


def connections_that_are_ended_each_second_are_made_again(world):
    def end_them():
        primary, end = world.shared.cluster.primary(), time.time() + 24
        while time.time() < end:
            again = time.time() + 1
            primary.sql(END_CONNECTIONS)
            time.sleep(max(again - time.time(), 0))

    fault(world.shared, "all connections ended each second, 24 s", end_them)


def a_store_that_did_not_answer_is_asked_again(world):
    haproxy = world.shared.cluster.haproxy

    def silence():
        haproxy.signal(signal.SIGSTOP)
        time.sleep(14)
        haproxy.signal(signal.SIGCONT)

    fault(world.shared, "store silent for 14 s", silence)


def connections_left_on_a_demoted_node_are_given_up(world):
    cluster = world.shared.cluster
    demoted, made = cluster.primary(), [0]
    left = lambda: int(demoted.try_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'evergate'") or 0)

    def switch():
        cluster.switch()
        end = time.time() + 15
        while time.time() < end:
            made[0] = max(made[0], left())

    fault(world.shared, "switchover that leaves connections", switch, address="leaving")
    assert made[0], "no connection was made to the demoted node, so that nothing was shown"
    assert not left(), f"{left()} of {made[0]} connections are still kept to a node that only reads"


QUICK_CASES = [
    a_database_that_was_read_only_is_written_again_within_seconds,
    a_planned_switchover_is_over_when_it_is_over,
    a_primary_is_killed_and_nobody_is_logged_out,
]

if __name__ == "__main__":
    run(QUICK_CASES if QUICK else cases_of(globals()), start=Bench, limit=240)
