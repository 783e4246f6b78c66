#!/usr/bin/env python3
"""The Autobahn suite's own cases, driven by kosoku, each straight at an echo server and through the gateway before it.

websocket_cases.py --serve            an echo server: prints its port, and serves until its standard input ends
websocket_cases.py --direct ws://127.0.0.1:PORT/path --through ws://127.0.0.1:PORT/path
                   [--cookie NAME=VALUE] [--host HOST] [--only CASE]... [--all]

A gateway tunnels bytes after the 101, so it is the echo server that decides what a case comes to. Two things are asked of
every case: the suite accepts what the echo server does, and the gateway changes nothing about it: not the extension agreed
on, not one frame with its bits and payload, not the close code, not how the connection ended. The suite can neither send a
cookie nor tell how a message came in frames, so a tap stands between it and each side, which rewrites the head of the
request and keeps what comes back.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import fnmatch
import hashlib
import itertools
import json
import os
import re
import socket
import struct
import sys
from urllib.parse import urlsplit

DEADLINE = 150  # Seconds for one case on one side; the suite's own clocks, of up to 120, end what hangs before.
DROP = 10  # Seconds within which a server ends the connection, once all is said.
AT_ONCE = 4
ATTEMPTS = 12  # For a case that may rightly come to more than one outcome.
MESSAGES = 10  # In each case about compression, where the suite has 1000, unless --all.
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
# Where the echo server is not what the suite asks for; then too the gateway must not change it.
DEVIATIONS = {"7.1.5": ("FAILED", "WRONG CODE")}  # It calls a close amid a fragmented message a protocol error, 1002.


async def serve():
    # The suite sends 4 MiB in fragments of 64 bytes; the default is to refuse more than 4096 fragments.
    os.environ["WEBSOCKETS_MAX_FRAGMENTS"] = "65536"
    from websockets.asyncio.server import serve as listen
    from websockets.exceptions import ConnectionClosed
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    async def echo(connection):
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    # With no wish of its own about compression, the server grants all that a client offers.
    deflate = {"compression": None, "extensions": [ServerPerMessageDeflateFactory()]}
    async with listen(echo, "127.0.0.1", 0, max_size=None, ping_interval=None, **deflate) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)  # Else the connections that someone left open would be waited for.


@dataclasses.dataclass
class Side:
    """One way to the echo server, and what the head of every request that goes there must say."""

    url: str
    host: str | None = None
    cookie: str | None = None

    def head(self, sent):
        url = urlsplit(self.url)
        lines = [line for line in sent.decode("latin-1").split("\r\n")[1:-2] if not line.lower().startswith("host:")]
        target = f"GET {url.path or '/'}{'?' + url.query if url.query else ''} HTTP/1.1"
        lines = [target, f"Host: {self.host or url.netloc}", *lines, *([f"Cookie: {self.cookie}"] if self.cookie else [])]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclasses.dataclass
class Wire:
    """What came back on one connection: the head, the bytes after it, and how they ended."""

    head: bytes = b""
    body: bytearray = dataclasses.field(default_factory=bytearray)
    end: str = "no end"
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def handshake(self):
        """The status, and the fields by which the opening handshake agrees on something."""
        lines = self.head.decode("latin-1").split("\r\n")
        told = {"upgrade", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"}
        fields = ((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
        return [lines[0][9:12], *sorted(f"{name}: {value}" for name, value in fields if name in told)]

    def frames(self):
        """Every frame with its bits, length and payload, a long payload by its hash."""
        if self.handshake()[0] != "101":
            return [f"no frames: {bytes(self.body[:200])}"]
        frames, rest = [], memoryview(bytes(self.body))
        while len(rest) >= 2:
            first, second = rest[:2]
            extended = {126: 2, 127: 8}.get(second & 127, 0)
            length = int.from_bytes(rest[2 : 2 + extended], "big") if extended else second & 127
            payload = bytes(rest[2 + extended : 2 + extended + length])
            if len(rest) < 2 + extended + length:
                break
            shown = payload.hex() if length <= 125 else "sha1 " + hashlib.sha1(payload).hexdigest()
            if first & 15 == 8 and length >= 2:
                shown = f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='backslashreplace')}".strip()
            bits = f"FIN={first >> 7} RSV={first >> 4 & 7:03b} MASK={second >> 7}"
            # A length written longer than it need be is a frame that RFC 6455 forbids, so the form is part of the frame.
            frames.append(f"{OPCODES.get(first & 15, first & 15)} {bits} {length} in {7 + 8 * extended} bits [{shown}]")
            rest = rest[2 + extended + length :]
        return frames + ([f"cut off: {len(rest)} bytes [{bytes(rest[:32]).hex()}]"] if rest else [])


class Tap:
    """Listens for the suite, and passes all bytes on but the request's head, and FIN as FIN, and RST as RST.

    RFC 6455 has the server end the TCP connection, for which kosoku does not wait: its FIN is held back until the server's
    own came, or did not.
    """

    def __init__(self):
        self.awaited, self.keys, self.open = {}, itertools.count(), set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        if self.open:
            await asyncio.wait(self.open, timeout=DROP)

    def url(self, side, wire):
        key = f"/{next(self.keys)}"
        self.awaited[key] = side, wire
        return f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}{key}"

    async def connection(self, reader, writer):
        self.open.add(task := asyncio.current_task())
        task.add_done_callback(self.open.discard)
        head = await reader.readuntil(b"\r\n\r\n")
        side, wire = self.awaited.pop(head.split()[1].decode())
        url = urlsplit(side.url)
        try:
            back, forth = await asyncio.open_connection(url.hostname, url.port)
        except OSError as error:
            wire.end = str(error)
            wire.ended.set()
            return writer.close()
        forth.write(side.head(head))

        async def answer():
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                wire.head = await back.readuntil(b"\r\n\r\n")
                writer.write(wire.head)
            end = await self.copy(back, writer, wire.body.extend)
            wire.end = end if wire.end == "no end" else f"{end} after {wire.end}"
            wire.ended.set()
            self.end(writer, end)

        async def ask():
            end = await self.copy(reader, forth)
            if end == "FIN":
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wire.ended.wait(), DROP)
            if not wire.ended.is_set():
                wire.end = f"the client's {end}"
            self.end(forth, end)

        await asyncio.gather(ask(), answer())
        writer.close()
        forth.close()

    @staticmethod
    async def copy(reader, writer, keep=bytes):
        try:
            while data := await reader.read(1 << 18):
                keep(data)
                # Whoever no longer takes bytes has ended the connection, which the other direction tells of.
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            return "RST"
        return "FIN"

    @staticmethod
    def end(writer, end):
        with contextlib.suppress(OSError, RuntimeError):
            if end == "FIN":
                return writer.write_eof()
            # To close a socket that lingers for no time is to reset the connection.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclasses.dataclass
class Outcome:
    """What a case came to on one side: the suite's verdict, and all that a client can tell."""

    verdict: tuple[str, str]
    handshake: list[str]
    frames: list[str]
    end: str
    accepted: bool = dataclasses.field(compare=False, default=False)
    open: bool = dataclasses.field(compare=False, default=False)  # The suite accepts more than one outcome.


async def outcome(tap, side, case):
    from kosoku import FailureError, run_fuzzingclient

    wire = Wire()
    try:
        async with asyncio.timeout(DEADLINE):
            try:
                (result,) = await run_fuzzingclient(tap.url(side, wire), [case])
            except FailureError as failure:
                (result,) = failure.results
            await wire.ended.wait()
    except TimeoutError:
        return Outcome(("no verdict", f"within {DEADLINE} s"), wire.handshake(), wire.frames(), wire.end)
    verdict = result.behavior.value, result.behavior_close.value
    several = len(result.expected or ()) > 1 or "INFORMATIONAL" in verdict
    return Outcome(verdict, wire.handshake(), wire.frames(), wire.end, result.passed, several)


async def judge(tap, direct, through, case):
    """Gives what is wrong, or nothing.

    Where several frames are sent at once, of which one is forbidden, an echo of those before it may or may not get out: it
    depends on how TCP cuts the stream. The suite accepts both, and so such a case is run until both sides have come to one
    same outcome.
    """
    seen = [], []
    for _ in range(ATTEMPTS):
        straight, round_about = await outcome(tap, direct, case), await outcome(tap, through, case)
        if not straight.accepted and straight.verdict != DEVIATIONS.get(case):
            return f"the echo server itself: {'/'.join(straight.verdict)}, {straight.frames[-2:]}, {straight.end}"
        seen[0].append(straight)
        seen[1].append(round_about)
        if straight in seen[1] or round_about in seen[0]:
            return None
        if not straight.open or straight.end != round_about.end:
            break
    told = [], []
    for part in ("verdict", "handshake", "frames", "end"):
        pair = getattr(straight, part), getattr(round_about, part)
        if part == "frames":
            same = sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1], zip(*pair)))
            pair = tuple(f"frames from no. {same + 1}: {frames[same : same + 3]}" for frames in pair)
        if pair[0] != pair[1]:
            told[0].append(str(pair[0]))
            told[1].append(str(pair[1]))
    return f"direct: {', '.join(told[0])}; through: {', '.join(told[1])}"


def suite(only, whole):
    """The cases asked for, with what each does in a sentence."""
    from kosoku.cases import CASES

    wanted = {}
    for case, definition in CASES.items():
        if only and not any(fnmatch.fnmatch(case, one) or case.startswith(f"{one}.") for one in only):
            continue
        # The suite is of Python 2, whose strings are bytes. Valid UTF-8 that is written there byte by byte has become one
        # character for each byte in kosoku, which would be sent as two bytes: make it the characters that are meant.
        for name, value in list(vars(definition).items()):
            if case.startswith("6.") and name.startswith("PAYLOAD") and isinstance(value, str):
                with contextlib.suppress(UnicodeError):
                    setattr(definition, name, value.encode("latin-1").decode())
        if hasattr(definition, "COUNT") and not whole:
            definition.DESCRIPTION = definition.DESCRIPTION.replace(str(definition.COUNT), str(MESSAGES), 1)
            definition.COUNT = MESSAGES
        sentence = " ".join(re.sub("<[^>]+>", " ", definition.DESCRIPTION).split())
        wanted[case] = "".join(char if char.isprintable() else "." for char in sentence)[:100]
    return wanted


async def run(options):
    direct, through = Side(options.direct), Side(options.through, options.host, options.cookie)
    groups, slots = collections.defaultdict(lambda: [0, 0]), asyncio.Semaphore(AT_ONCE)

    async with Tap() as tap:

        async def one(case, sentence):
            async with slots:
                wrong = await judge(tap, direct, through, case)
            groups[case.split(".")[0]][0] += wrong is None
            groups[case.split(".")[0]][1] += 1
            print(f"ok {case} {sentence}" if wrong is None else f"FAIL {case} {sentence} — {wrong}", flush=True)

        await asyncio.gather(*(one(*case) for case in suite(options.only, options.all).items()))
    passed, total = (sum(counts) for counts in zip(*groups.values())) if groups else (0, 0)
    by_group = dict(sorted(groups.items(), key=lambda group: int(group[0])))
    print(json.dumps({"passed": passed, "failed": total - passed, "by_group": by_group}), flush=True)
    return 0 if passed == total > 0 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--direct")
    parser.add_argument("--through")
    parser.add_argument("--host", help="the Host that the gateway expects")
    parser.add_argument("--cookie", help="the session at the gateway")
    parser.add_argument("--only", action="append", metavar="CASE", help="7, 7.9, 7.9.1 or 9.?.1; repeatable")
    parser.add_argument("--all", action="store_true", help="all 1000 messages of each case about compression")
    options = parser.parse_args()
    if options.serve:
        return asyncio.run(serve())
    if not (options.direct and options.through):
        parser.error("--direct and --through, or --serve")
    status = asyncio.run(run(options))
    # The threads of kosoku may still hold Python's lock when the interpreter takes itself down, which aborts the process.
    os._exit(status)


if __name__ == "__main__":
    main()
