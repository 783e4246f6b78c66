#!/usr/bin/env python3
"""gRPC by a stock server and a stock client (PyPI's grpcio, gRPC's own C core) through Evergate, with a session.

Calls that take minutes begin when the script does and are waited for at its end, so that all of it takes a little more than
the longest. A few raw frames stand in where the stock client ends a call by itself before it could see how it is ended.

    grpc_calls.py [WORD ...]        the cases whose names hold one of the words
"""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

from world import CACHE, HERE, Browser, Evergate, Skip, accept, cases_of, eventually, need, run

PEERS = HERE.parent / "peers"
LONG = 120
QUIET = 110
DEADLINES = 100
SHUTDOWN = 6
CANCEL = 8


def load_grpc():
    """grpcio as `tests/run` installs it, or beside this script's other downloads."""
    wanted = [line for line in (PEERS / "requirements.txt").read_text().splitlines() if line.startswith(("grpcio", "hpack"))]
    for place in (PEERS / "python", CACHE / "python"):
        if (place / "grpc").exists():
            break
    else:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", place, *wanted]
        if subprocess.run(pip, capture_output=True, timeout=300).returncode:
            raise Skip("grpcio cannot be installed")
    sys.path[:0] = [str(place), str(PEERS)]


# The app, which is this script once more.

def serve():
    import grpc

    def sleep(request, context):
        time.sleep(float(request))
        return b"slept " + request

    def quiet(request, context):
        yield b"first"
        time.sleep(float(request))
        yield b"last"

    def many(request, context):
        pause, number = request.split()
        for index in range(int(number)):
            yield b"%d" % index
            time.sleep(float(pause))

    def echo(requests, context):
        yield from requests

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(200))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", {
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
        "Quiet": grpc.unary_stream_rpc_method_handler(quiet),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


# The script.

class Resetting:
    """An app that resets each of its streams after a moment, with CANCEL and without a word before."""

    def __init__(self, world, after):
        self.after, self.port = after, accept(world, self._serve)

    def _serve(self, line):
        import h2_conformance as h2

        with contextlib.suppress(OSError, ValueError):
            stream = line.makefile("rb")
            stream.read(len(h2.PREFACE))
            line.sendall(h2.settings())
            while head := stream.read(9):
                stream.read(int.from_bytes(head[:3]))
                kind, flags, number = head[3], head[4], int.from_bytes(head[5:9])
                if kind == h2.SETTINGS and not flags & h2.ACK:
                    line.sendall(h2.frame(h2.SETTINGS, flags=h2.ACK))
                elif kind == h2.PING and not flags & h2.ACK:
                    line.sendall(h2.ping(b"\0" * 8, h2.ACK))
                elif kind == h2.HEADERS:
                    threading.Timer(self.after, lambda at=number: line.sendall(h2.reset(at, h2.CANCEL))).start()


class Bench:
    """The stock app behind two replicas, somebody who is signed in, and the calls that take long, under way."""

    def __init__(self, world):
        load_grpc()
        need("node", "npm")
        npm = ["npm", "ci", "--prefix", PEERS]
        if not (PEERS / "node_modules").exists() and subprocess.run(npm, capture_output=True).returncode:
            raise Skip("npm's oidc-provider cannot be installed")
        self.world = world
        self.app = self._port(world.spawn("app", [sys.executable, __file__, "serve"]))
        access = f"http://localhost:{world.port()}"
        standard_input, self.held = os.pipe()  # The provider ends when its standard input does.
        asked = ["--redirect-uri", f"{access}/oauth2/callback", "--access-token-seconds", "30"]
        provider = world.spawn("provider", ["node", PEERS / "oidc-provider.mjs", *asked], stdin=standard_input)
        first = eventually("the provider listens", lambda: "\n" in provider.text() and provider.text().splitlines()[0])
        self.one = Evergate(world, {
            "ACCESS_URL": access, "UPSTREAM_URL": f"http://127.0.0.1:{self.app}", "UPSTREAM_PROTOCOL": "http2",
            "OIDC_ISSUER_URL": json.loads(first)["issuer"], "OIDC_CLIENT_ID": "evergate",
            "OIDC_CLIENT_SECRET": "not-much-of-a-secret", "OIDC_AUTH_URL_PARAMS": '{"prompt":"consent"}',
            "PG_CONNECTION_URL": world.postgres(), "SHUTDOWN_TIMEOUT": f"{SHUTDOWN}s",
        })
        self.other = self.one.also()
        self.authority = urllib.parse.urlsplit(access).netloc
        self.cookie = self._sign_in()
        pool = concurrent.futures.ThreadPoolExecutor(4)
        self.long = {
            "unary": pool.submit(self._long, "unary_unary", "Sleep", LONG),
            "quiet": pool.submit(self._long, "unary_stream", "Quiet", QUIET),
            # A client that asks for signs of life more often than the app would bear.
            "pinging": pool.submit(self._long, "unary_stream", "Quiet", QUIET, ("grpc.keepalive_time_ms", 15_000)),
            "both": pool.submit(self._both_quiet),
        }

    @staticmethod
    def _port(process):
        return int(eventually("the app listens", lambda: process.text().strip(), 30))

    def _sign_in(self):
        """The cookies of somebody who has signed in by the provider's forms."""
        browser = Browser()
        page = browser.visit(f"{self.one.url}/oauth2/start?rd=/oauth2/userinfo", at=self.one)
        page = browser.submit(page, {"login": "maya", "password": "any"}, at=self.one)
        page = browser.submit(page, at=self.one)
        assert page.json()["user"] == "maya", str(page)
        host = urllib.parse.urlsplit(self.one.url).hostname
        return "; ".join(f"{name}={value}" for (at, _, name), value in browser.cookies.items() if at == host)

    def channel(self, *replicas, options=()):
        import grpc

        target = "ipv4:" + ",".join(f"127.0.0.1:{replica.address[1]}" for replica in replicas or [self.one])
        # Without a pool of its own, a channel shares the connection of others with the same target.
        own = ("grpc.use_local_subchannel_pool", 1), ("grpc.lb_policy_name", "round_robin")
        return grpc.insecure_channel(target, [("grpc.default_authority", self.authority), *own, *options])

    def call(self, channel, kind, method):
        call = getattr(channel, kind)(f"/test.Calls/{method}")
        return lambda request, timeout=30: call(request, timeout=timeout, metadata=(("cookie", self.cookie),))

    def _long(self, kind, method, seconds, *options):
        """What came, and after how long; an error as it is."""
        begun = time.monotonic()
        with self.channel(options=options) as channel:
            answer = self.call(channel, kind, method)(b"%d" % seconds, seconds + 30)
            answer = answer if isinstance(answer, bytes) else list(answer)
        return answer, time.monotonic() - begun

    def _both_quiet(self):
        """A stream both ways on which neither side says anything for long."""
        def say():
            yield b"one"
            time.sleep(QUIET)
            yield b"two"

        begun = time.monotonic()
        with self.channel() as channel:
            return list(self.call(channel, "stream_stream", "Echo")(say(), QUIET + 30)), time.monotonic() - begun

    def raw(self, port, path, seconds=None, patience=6):
        """How a call is ended, as frames tell it: its status, its grpc-status and the code it was reset with."""
        import h2_conformance as h2

        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self.authority), ("te", "trailers"),
                  ("content-type", "application/grpc"), ("cookie", self.cookie)]
        fields += [("grpc-timeout", f"{seconds}S")] if seconds else []
        connection = h2.Connection(port, patience)
        head = b"".join(h2.literal(*field) for field in fields)
        connection.send(h2.headers(head, flags=h2.END_HEADERS) + h2.data(b"\0\0\0\0\x013"))
        connection.wait(lambda: 1 in connection.ended or connection.resets)
        said = {name: value for block in connection.fields.get(1, ()) for name, value in block}
        connection.socket.close()
        return connection.status(), said.get("grpc-status"), connection.resets.get(1, [None])[0]


def outcome(function):
    """What a call came to, by gRPC's name."""
    import grpc

    try:
        function()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def is_told(ended):
    """Whether (status, grpc-status, reset) say by gRPC's means that a call is past its deadline, or that it was reset."""
    status, grpc_status, reset = ended
    return status in (None, 200) and grpc_status in (None, "4") and (grpc_status, reset) != (None, None)


def access_lines(replica, path):
    return [line for line in replica.log if line.get("url.path") == path]


def a_call_past_its_deadline_is_told_so_each_time(world):
    bench = world.shared
    with bench.channel() as channel, concurrent.futures.ThreadPoolExecutor(20) as pool:
        sleep = bench.call(channel, "unary_unary", "Sleep")
        ended = list(pool.map(lambda _: outcome(lambda: sleep(b"3", 1)), range(DEADLINES)))
    others = [found for found in ended if found[0] != "DEADLINE_EXCEEDED"]
    assert not others, f"{len(others)} of {DEADLINES} calls ended otherwise: {others[:3]}"


def a_deadline_that_the_app_keeps_is_passed_on_as_it_says_it(world):
    bench = world.shared
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        direct = list(pool.map(lambda _: bench.raw(bench.app, "/test.Calls/Sleep", 1), range(10)))
        through = list(pool.map(lambda _: bench.raw(bench.one.address[1], "/test.Calls/Sleep", 1), range(50)))
    # What the app itself says differs from time to time; a gRPC status or a reset it always is.
    wrong = [found for found in through if not is_told(found)]
    assert not wrong, f"{len(wrong)} of 50 ended otherwise (status, grpc-status, reset): {wrong[:3]}; directly: {set(direct)}"


def a_reset_of_the_apps_is_passed_on_as_a_reset(world):
    bench = world.shared
    app = Resetting(world, 0.3)
    replica = bench.one.also(UPSTREAM_URL=f"http://127.0.0.1:{app.port}")
    world.at_end(replica.stop)
    ended = [bench.raw(replica.address[1], f"/test.Calls/Ended{number}") for number in range(5)]
    assert set(ended) == {(None, None, CANCEL)}, f"(status, grpc-status, reset) were {set(ended)}"
    said = [json.dumps(line) for line in access_lines(replica, "/test.Calls/Ended0")]
    assert len(said) == 1 and re.search("reset|cancel", said[0], re.I), f"the access line does not say so: {said}"


def a_reset_of_the_apps_at_the_deadline_is_no_gateway_error(world):
    bench = world.shared
    # The app and the client give up at the same moment, and either may be first.
    app = Resetting(world, 0.99)
    replica = bench.one.also(UPSTREAM_URL=f"http://127.0.0.1:{app.port}")
    world.at_end(replica.stop)
    with bench.channel(replica) as channel, concurrent.futures.ThreadPoolExecutor(20) as pool:
        call = bench.call(channel, "unary_unary", "Sleep")
        ended = list(pool.map(lambda _: outcome(lambda: call(b"3", 1)), range(DEADLINES)))
        raw = list(pool.map(lambda _: bench.raw(replica.address[1], "/test.Calls/Sleep", 1), range(20)))
    others = [found for found in ended if found[0] not in ("DEADLINE_EXCEEDED", "CANCELLED")]
    assert not others, f"{len(others)} of {DEADLINES} calls ended otherwise: {others[:3]}"
    wrong = [found for found in raw if not is_told(found)]
    assert not wrong, f"(status, grpc-status, reset) were {wrong[:3]}"


def a_stream_ends_in_time_when_its_replica_is_stopped(world):
    bench = world.shared
    leaving = bench.one.also()
    with bench.channel(leaving) as channel:
        stream = bench.call(channel, "unary_stream", "Many")(b"0.2 15", 30)
        assert next(stream) == b"0"
        leaving.process.signal(signal.SIGTERM)
        received = []
        rest = outcome(lambda: received.extend(stream))
    # It had 3 s to go, and a stop gives it longer.
    assert rest[0] == "OK" and len(received) == 14, f"it ended with {rest} after {len(received)} of 14"
    eventually("the replica has ended", lambda: not leaving.process.alive(), SHUTDOWN + 5)


def a_stream_without_end_is_ended_with_a_status_when_its_replica_is_stopped(world):
    bench = world.shared
    leaving = bench.one.also()
    with bench.channel(leaving) as channel:
        stream = bench.call(channel, "unary_stream", "Many")(b"0.1 10000", 60)
        next(stream)
        leaving.process.signal(signal.SIGTERM)
        begun, ended = time.monotonic(), outcome(lambda: [None for _ in stream])
        took = time.monotonic() - begun
    assert ended[0] != "OK" and took < SHUTDOWN + 3, f"it ended with {ended} after {took:.1f} s"
    eventually("the replica has ended", lambda: not leaving.process.alive(), SHUTDOWN + 5)


def a_second_replica_takes_the_calls_that_come_while_one_is_stopped(world):
    bench = world.shared
    leaving = bench.one.also()
    with bench.channel(leaving, bench.other) as channel:
        sleep = bench.call(channel, "unary_unary", "Sleep")
        for _ in range(10):
            sleep(b"0")
        holding = bench.call(channel, "unary_stream", "Many")(b"0.2 10", 30)
        next(holding)
        leaving.process.signal(signal.SIGTERM)
        end, ended = time.monotonic() + SHUTDOWN + 2, []
        while time.monotonic() < end:
            ended.append(outcome(lambda: sleep(b"0.02")))
    wrong = [found for found in ended if found[0] != "OK"]
    assert len(ended) > 50 and not wrong, f"{len(wrong)} of {len(ended)} calls ended otherwise: {wrong[:3]}"


def lasted(bench, name, expected, seconds):
    answer, took = bench.long[name].result(LONG + 40)
    assert answer == expected and took >= seconds, f"it brought {answer} after {took:.1f} s"


def a_quiet_stream_is_left_alone(world):
    lasted(world.shared, "quiet", [b"first", b"last"], QUIET)


def a_stream_that_is_quiet_both_ways_is_left_alone(world):
    lasted(world.shared, "both", [b"one", b"two"], QUIET)


def a_client_that_pings_more_than_the_app_would_bear_costs_its_call_nothing(world):
    lasted(world.shared, "pinging", [b"first", b"last"], QUIET)


def a_unary_call_of_two_minutes_to_a_server_that_bears_no_pings_succeeds(world):
    bench = world.shared
    lasted(bench, "unary", b"slept %d" % LONG, LONG)
    ended = [line for line in access_lines(bench.one, "/test.Calls/Sleep") if line.get("duration.us", 0) >= LONG * 1_000_000]
    assert ended and "grpc" in json.dumps({**ended[0], "url.path": ""}), f"the access line does not say how it ended: {ended}"


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        load_grpc()
        serve()
    else:
        run(cases_of(globals()), start=Bench)
