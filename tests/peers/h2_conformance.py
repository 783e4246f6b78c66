#!/usr/bin/env python3
"""Whether a server keeps to HTTP/2 (RFC 9113) and HPACK (RFC 7541) towards a client that does not.

h2_conformance.py PORT [--authority HOST:PORT] [--cookie NAME=VALUE] [--path PATH] [--only SECTION] [--deadline SECONDS]

Speaks to 127.0.0.1:PORT in plain text by prior knowledge. What h2spec asks of a server is asked here, by the section numbers
of RFC 9113, besides what is new in that RFC and a few forms of attack. Every case has a connection of its own. PATH answers
GET and POST with any status and with a body of at least 8 octets.

A connection error shows as a GOAWAY with the code called for and the end of the connection, or as its end alone: the GOAWAY is
a SHOULD (5.4.1). A stream error shows as a RST_STREAM with the code called for, or with a GOAWAY that has it (5.4.1). A
malformed request is a stream error of PROTOCOL_ERROR, or answered with 400 (8.1.1). Silence is a failure everywhere: that a
server goes on is shown by what it answers next.
"""

import argparse
import concurrent.futures
import contextlib
import json
import re
import socket
import struct
import sys
import time

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = range(11)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20
WHOLE = END_STREAM | END_HEADERS
CODES = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM "
    "CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
).split()
PROTOCOL, FLOW_CONTROL, CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION, CALM = 1, 3, 5, 6, 7, 8, 9, 11
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_FIELDS = range(1, 7)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_WINDOW = 2**31 - 1
LARGEST = {TABLE_SIZE: 2**32 - 1, MAX_STREAMS: 2**32 - 1, INITIAL_WINDOW: 2**31 - 1, MAX_FRAME: 2**24 - 1, MAX_FIELDS: 2**32 - 1}
LITERALS = {"without indexing": (0x00, 4), "never indexed": (0x10, 4), "with incremental indexing": (0x40, 6)}  # HPACK 6.2
AT_ONCE = 8


def frame(kind, payload=b"", flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(block, stream=1, flags=WHOLE):
    return frame(HEADERS, block, flags, stream)


def continuation(block, stream=1, flags=END_HEADERS):
    return frame(CONTINUATION, block, flags, stream)


def data(payload=b"data", stream=1, flags=END_STREAM):
    return frame(DATA, payload, flags, stream)


def priority(depends_on=0, weight=16, stream=1):
    return frame(PRIORITY, struct.pack(">IB", depends_on, weight - 1), 0, stream)


def reset(stream=1, code=CANCEL):
    return frame(RST_STREAM, struct.pack(">I", code), 0, stream)


def settings(*pairs):
    return frame(SETTINGS, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def ping(payload=b"--ping--", flags=0, stream=0):
    return frame(PING, payload, flags, stream)


def goaway(code=0, stream=0):
    return frame(GOAWAY, struct.pack(">II", 0, code), 0, stream)


def window(increment, stream=0):
    return frame(WINDOW_UPDATE, struct.pack(">I", increment), 0, stream)


STALL = settings((INITIAL_WINDOW, 0))  # Keeps a response with a body, and so its stream, from ending.


def integer(value, bits, pattern=0):
    """An integer with a prefix of so many bits (HPACK 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([pattern | value])
    octets, value = [pattern | most], value - most
    while value > 127:
        octets, value = [*octets, value & 127 | 128], value >> 7
    return bytes([*octets, value])


def octets(text):
    return text if isinstance(text, bytes) else text.encode()


def string(text):
    return integer(len(octets(text)), 7) + octets(text)


def literal(name, value, pattern=0x00):
    """A literal field with a new name, without indexing unless the pattern is another."""
    return bytes([pattern]) + string(name) + string(value)


class Preface(bytes):
    """As the first step of a case: sent in place of a proper connection preface."""


class Connection:
    def __init__(self, port, deadline, preface=None):
        self.deadline, self.decoder, self.buffer, self.block = deadline, hpack.Decoder(), b"", b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=deadline)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen, self.frames, self.settings, self.fields, self.received = [], [], {}, {}, {}
        self.ended, self.resets, self.pongs, self.acks, self.credit = set(), {}, [], 0, 65535
        self.goaway, self.closed, self.other_code = None, False, False
        self.send(PREFACE + settings() if preface is None else preface)
        if preface is None and not self.wait(lambda: SETTINGS in self.frames):
            raise ConnectionError("no SETTINGS frame from the server")

    def send(self, what):
        # What a server said before it closed can still be read.
        with contextlib.suppress(OSError):
            self.socket.settimeout(self.deadline)
            self.socket.sendall(what)

    def wait(self, done):
        """Takes frames in until done, or until nothing more comes."""
        end = time.monotonic() + self.deadline
        while not done() and not self.closed:
            if len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3]):
                self.take()
                continue
            try:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                some = self.socket.recv(65536)
            except TimeoutError:
                self.seen.append("nothing more")
                break
            except OSError:
                some = b""
            self.buffer += some
            if not some:
                self.closed = True
                self.seen.append("closed")
        return done()

    def take(self):
        length, (kind, flags, stream) = int.from_bytes(self.buffer[:3]), struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
        self.frames.append(kind)
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            self.ended |= {stream} if kind == HEADERS and flags & END_STREAM else set()
            if flags & END_HEADERS:
                self.fields.setdefault(stream, []).append(self.decoder.decode(self.block))
                self.block = b""
                self.seen.append(f"HEADERS on {stream}, {self.status(stream)}")
        elif kind == DATA:
            self.received[stream] = self.received.get(stream, 0) + length
            self.ended |= {stream} if flags & END_STREAM else set()
            self.seen.append(f"DATA on {stream}, {length} octets")
        elif kind == RST_STREAM:
            code = int.from_bytes(payload)
            self.resets.setdefault(stream, []).append(code)
            self.seen.append(f"RST_STREAM on {stream}, {name_of(code)}")
        elif kind == SETTINGS and flags & ACK:
            self.acks += 1
        elif kind == SETTINGS:
            self.settings.update(struct.iter_unpack(">HI", payload))
            self.send(frame(SETTINGS, flags=ACK))
        elif kind == PING and flags & ACK:
            self.pongs.append(payload)
        elif kind == PING:
            self.send(ping(payload, ACK))
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8])
            self.seen.append(f"GOAWAY, {name_of(self.goaway)}")
        elif kind == WINDOW_UPDATE and stream == 0:
            self.credit += int.from_bytes(payload)

    def status(self, stream=1):
        """The status of the last head on a stream, which trailers do not have."""
        found = [dict(block)[":status"] for block in self.fields.get(stream, ()) if ":status" in dict(block)]
        return int(found[-1]) if found else None

    def summary(self):
        some = self.seen if len(self.seen) < 8 else [*self.seen[:3], "...", *self.seen[-3:]]
        return "; ".join(some) or "nothing"

    def error(self, codes):
        """Whether the connection was ended for one of these codes, with None among them for no GOAWAY at all."""
        self.other_code = self.closed and self.goaway not in (None, 0, *codes)
        return self.closed and self.goaway in codes


def name_of(code):
    return CODES[code] if code < len(CODES) else hex(code)


# The steps of a case are octets to send, and checks like these to pass. What the last check asks for ends the sentence of its
# case, unless the sentence has its own end, a full stop.


def saying(says):
    def mark(check):
        check.says = says
        return check

    return mark


def connection_error(*codes):
    @saying(f"is a connection error of {' or '.join(map(name_of, codes))}")
    def check(c):
        return c.wait(lambda: c.closed) and c.error([None, *codes])

    return check


def stream_error(*codes, stream=1, statuses=()):
    @saying(f"is a stream error of {' or '.join(map(name_of, codes))}")
    def check(c):
        return c.wait(lambda: not {*codes}.isdisjoint(c.resets.get(stream, ())) or c.status(stream) in statuses) or c.error(codes)

    return check


malformed = saying("is malformed")(stream_error(PROTOCOL, statuses=(400,)))
refused = saying("is refused")(stream_error(PROTOCOL, CALM, COMPRESSION, REFUSED, CANCEL, statuses=(400, 413, 431)))
protocol, size, flow, compression = map(connection_error, (PROTOCOL, FRAME_SIZE, FLOW_CONTROL, COMPRESSION))
closed = stream_error(CLOSED)
# CONTINUATION with no field block to continue is a PROTOCOL_ERROR in every state of a stream (6.10), and so is HEADERS with an
# identifier that neither is new nor belongs to a stream (5.1.1).
closed_or_protocol = stream_error(CLOSED, PROTOCOL)


@saying("is accepted")
def answered(c, stream=1):
    c.wait(lambda: stream in c.ended or stream in c.resets or c.goaway is not None)
    return stream in c.ended and c.status(stream) is not None and c.goaway is None


@saying("are accepted")
def both(c):
    return answered(c) and answered(c, 3)


def head(c):
    return c.wait(lambda: c.status() is not None)


def acknowledged(c):
    """Whether the first SETTINGS and those of the case are."""
    return c.wait(lambda: c.acks == 2)


def pong(c, payload=b"--ping--"):
    return c.wait(lambda: payload in c.pongs)


def receives(total):
    """Whether so many octets of the body come, and no more before the answer to a PING."""

    def check(c):
        mark = b"%08d" % total
        enough = c.wait(lambda: c.received.get(1, 0) >= total)
        c.send(ping(mark))
        return enough and pong(c, mark) and c.received.get(1, 0) == total

    return check


@saying("is accepted")
def winds_down(c):
    """After a GOAWAY from the client either side may close; an error it is not."""
    c.send(ping())
    return pong(c) or c.closed and c.goaway in (None, 0)


def either(*checks):
    return lambda c: any(check(c) for check in checks)


def proper_head(c):
    forbidden = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
    names = [name for name, _ in c.fields[1][0]] if answered(c) else []
    regular = names[1:]
    return names[:1] == [":status"] and not any(n[:1] == ":" or n != n.lower() or n in forbidden for n in regular)


def length_is_right(c):
    return answered(c) and int(dict(c.fields[1][0]).get("content-length", c.received[1])) == c.received[1]


def without_table(c):
    """The decoder raises an error unless the server's block starts with a table size update and uses no dynamic entry."""
    c.decoder.max_allowed_table_size = 0
    return both(c)


class Cases:
    def __init__(self, options):
        self.options = options
        self.get, self.post = self.request(), self.request(method="POST")

    def request(self, *more, **pseudo):
        """A field block of literals alone, so that nothing malformed is mended on the way; no pseudo-header that is None."""
        values = {"method": "GET", "scheme": "http", "authority": self.options.authority, "path": self.options.path, **pseudo}
        fields = [(f":{name}", value) for name, value in values.items() if value is not None]
        cookie = [("cookie", self.options.cookie)] if self.options.cookie else []
        return b"".join(literal(*field) for field in [*fields, *more, *cookie])

    def whole(self, *more, **pseudo):
        return headers(self.request(*more, **pseudo))

    @saying("is accepted")
    def goes_on(self, c):
        c.send(headers(self.get, 100001))
        return answered(c, 100001)

    def calm(self, c):
        """Whether the server goes on, or has had enough of this client; either way it serves others."""
        other = Connection(self.options.port, self.options.deadline)
        with other.socket:
            return either(self.goes_on, connection_error(0, CALM))(c) and self.goes_on(other)

    def too_large(self, kind):
        def check(c):
            length = c.settings.get(MAX_FRAME, 16384) + 1
            if length == 2**24:  # More than a frame can say, so that none is too large.
                return self.goes_on(c)
            block = self.request(("x-a", b"x" * length))[:length]
            c.send(headers(block) if kind == HEADERS else headers(self.post, flags=END_HEADERS) + data(bytes(length)))
            return (size if kind == HEADERS else stream_error(FRAME_SIZE))(c)

        return check

    def too_many(self, c):
        limit = c.settings.get(MAX_STREAMS, 2**32)
        c.seen.append(f"SETTINGS_MAX_CONCURRENT_STREAMS, {limit}")
        if limit > 1000:
            return False
        c.send(STALL + b"".join(headers(self.get, stream) for stream in range(1, 2 * limit + 2, 2)))
        return stream_error(REFUSED, PROTOCOL, stream=2 * limit + 1)(c)

    def unread(self, c):
        """Whether bodies can be sent of four times what the connection's window first allows, or of 2 MiB."""
        for stream in range(1, 2 * min(4 * c.credit // 60000 + 2, 36), 2):
            c.send(headers(self.post, stream, END_HEADERS))
            for _ in range(4):
                if not c.wait(lambda: c.credit >= 15000):
                    return False
                c.credit -= 15000
                c.send(data(bytes(15000), stream, 0))
            c.send(data(b"", stream))
            if not c.wait(lambda stream=stream: c.status(stream) is not None):
                return False
        return self.goes_on(c)

    def all(self):
        # The sections of RFC 9113 and, as HPACK/..., of RFC 7541.
        ok, whole, get, post = self.goes_on, self.whole, headers(self.get), headers(self.post, flags=END_HEADERS)
        begun, rest = headers(self.get[:9], flags=END_STREAM), self.get[9:]
        yield from [
            ("3.4", "a SETTINGS frame is what the server sends first.", lambda c: c.frames[0] == SETTINGS, ok),
            ("3.4", "a preface in two pieces", Preface(PREFACE[:11]), PREFACE[11:] + settings() + get, answered),
            ("3.4", "a request before the server's preface", Preface(PREFACE + settings() + get), answered),
            ("3.4", "a preface of other octets", Preface(b"INVALID\r\n\r\n"), protocol),
            ("3.4", "a preface that ends in other octets", Preface(PREFACE[:-6] + b"XM\r\n\r\n" + settings()), protocol),
            ("3.4", "a preface without SETTINGS", Preface(PREFACE + get), protocol),
            ("4.1", "a frame of unknown type", frame(UNKNOWN, bytes(8)), ok),
            ("4.1", "a frame of unknown type on an idle stream", frame(0xFA, b"", 0xFF, 3), ok),
            ("4.1", "PING with flags that have no meaning", ping(flags=0xFE), pong, ok),
            ("4.1", "HEADERS with flags that have no meaning", headers(self.get, flags=WHOLE | 0xD2), answered),
            ("4.1", "PING with the reserved bit set", ping(stream=1 << 31), pong, ok),
            ("4.1", "HEADERS with the reserved bit set", headers(self.get, 1 | 1 << 31), answered),
            ("4.2", "a frame of 16384 octets", post + data(bytes(16384)), answered),
            ("4.2", "DATA above SETTINGS_MAX_FRAME_SIZE is an error of FRAME_SIZE_ERROR.", self.too_large(DATA)),
            ("4.2", "HEADERS above SETTINGS_MAX_FRAME_SIZE is a connection error of FRAME_SIZE_ERROR.", self.too_large(HEADERS)),
            ("4.2", "GOAWAY too short for its fields", frame(GOAWAY, bytes(7)), size),
            ("4.3", "a field block that does not decode", headers(b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xff\xfd\x25\x42\x7f"),
             compression),
            ("4.3", "a field block that ends within a field", headers(self.get[:-1]), compression),
            ("4.3", "PRIORITY within a field block", begun + priority(), protocol),
            ("4.3", "HEADERS of another stream within a field block", begun + headers(self.get, 3), protocol),
            ("4.3", "the field block of a malformed request has its entries in the dynamic table all the same.",
             headers(self.request(("connection", "close")) + literal("te", "trailers", 0x40)), malformed,
             headers(self.get + b"\xbe", 3), lambda c: c.error([PROTOCOL]) or answered(c, 3)),
        ]
        yield from [
            ("5.1", "DATA on an idle stream", data(), protocol),
            ("5.1", "RST_STREAM on an idle stream", reset(), protocol),
            ("5.1", "WINDOW_UPDATE on an idle stream", window(1, 1), protocol),
            ("5.1", "CONTINUATION on an idle stream", continuation(self.get), protocol),
            ("5.1", "PRIORITY on an idle stream", priority(), ok),
            ("5.1", "PRIORITY on a half-closed (remote) stream", STALL + get + priority(), head, window(65535, 1), answered),
            ("5.1", "WINDOW_UPDATE on a half-closed (remote) stream", STALL + get + window(65535, 1), answered),
            ("5.1", "RST_STREAM on a half-closed (remote) stream", STALL + get + reset() + settings((INITIAL_WINDOW, 65535)), ok),
            ("5.1", "DATA on a half-closed (remote) stream", STALL + get + data(), closed),
            ("5.1", "HEADERS on a half-closed (remote) stream", STALL + get + get, closed),
            ("5.1", "CONTINUATION on a half-closed (remote) stream", STALL + get + continuation(self.get), closed_or_protocol),
            ("5.1", "DATA on a stream that the client reset", post + reset() + data(), closed),
            ("5.1", "HEADERS on a stream that the client reset", post + reset() + get, closed_or_protocol),
            ("5.1", "CONTINUATION on a stream that the client reset", post + reset() + continuation(self.get),
             closed_or_protocol),
            ("5.1", "DATA on a closed stream", get, answered, data(), closed),
            ("5.1", "HEADERS on a closed stream", get, answered, get, closed_or_protocol),
            ("5.1", "CONTINUATION on a closed stream", get, answered, continuation(self.get), closed_or_protocol),
            ("5.1", "PRIORITY on a closed stream", get, answered, priority(), ok),
            ("5.1", "WINDOW_UPDATE that crosses the end of a stream", get, answered, window(1, 1), ok),
            ("5.1", "RST_STREAM that crosses the end of a stream", get, answered, reset(), ok),
            ("5.1.1", "a stream with an even identifier", headers(self.get, 2), protocol),
            ("5.1.1", "a new stream with a lower identifier", headers(self.get, 5) + headers(self.get, 3), protocol),
            ("5.1.2", "a limit on streams is announced, and one beyond it refused.", self.too_many),
            # RFC 9113 left the rule out together with the priority scheme; in RFC 7540 this is an error of PROTOCOL_ERROR.
            ("5.3", "HEADERS whose stream depends on itself may have an error of PROTOCOL_ERROR, and no other consequence.",
             headers(b"\0\0\0\x01\x0f" + self.get, flags=WHOLE | WITH_PRIORITY), either(answered, stream_error(PROTOCOL))),
            ("5.3", "PRIORITY whose stream depends on itself may have an error of PROTOCOL_ERROR, and no other consequence.",
             post + priority(1), either(ok, stream_error(PROTOCOL))),
            ("5.4.1", "a connection error is told by GOAWAY.", ping(stream=1), protocol, lambda c: c.goaway == PROTOCOL),
            ("5.4.2", "a stream error leaves other streams alone, unless it is made a connection error.",
             whole(("te", "gzip")), malformed, lambda c: c.error([PROTOCOL]) or ok(c)),
            ("5.5", "an extension frame within a field block", begun + frame(UNKNOWN, bytes(8)) + continuation(rest), protocol),
            ("5.5", "an extension frame on an open stream", post + frame(UNKNOWN, bytes(8), 0, 1) + data(), answered),
        ]
        yield from [
            ("6.1", "DATA", post + data(), answered),
            ("6.1", "a body of several DATA frames, the last empty", post + data(flags=0) * 2 + data(b""), answered),
            ("6.1", "DATA with padding", post + data(b"\x05data" + bytes(5), flags=END_STREAM | PADDED), answered),
            ("6.1", "DATA of padding alone", post + data(b"\x05" + bytes(5), flags=END_STREAM | PADDED), answered),
            ("6.1", "DATA on stream 0", data(stream=0), protocol),
            ("6.1", "DATA after the end of a request", STALL + get, head, data(), closed),
            ("6.1", "DATA with padding as long as its payload", post + data(b"\x05data", flags=END_STREAM | PADDED), protocol),
            ("6.2", "HEADERS", get, answered),
            ("6.2", "HEADERS with padding", headers(b"\x07" + self.get + bytes(7), flags=WHOLE | PADDED), answered),
            ("6.2", "HEADERS with priority", headers(bytes(4) + b"\xff" + self.get, flags=WHOLE | WITH_PRIORITY), answered),
            ("6.2", "HEADERS with padding and priority",
             headers(b"\x07" + bytes(5) + self.get + bytes(7), flags=WHOLE | WITH_PRIORITY | PADDED), answered),
            ("6.2", "HEADERS on stream 0", headers(self.get, 0), protocol),
            ("6.2", "HEADERS with padding longer than its payload", headers(b"\xff" + self.get[:20], flags=WHOLE | PADDED),
             protocol),
            ("6.2", "HEADERS after HEADERS that are not ended", headers(self.get, flags=END_STREAM) + get, protocol),
            ("6.2", "DATA after HEADERS that are not ended", headers(self.post, flags=0) + data(), protocol),
            ("6.3", "PRIORITY with weight 1", priority(weight=1), ok),
            ("6.3", "PRIORITY with weight 256", priority(weight=256), ok),
            ("6.3", "PRIORITY with an exclusive dependency", priority(3 | 1 << 31), ok),
            ("6.3", "a stream with a lower identifier than one that PRIORITY named", priority(stream=9) + get, answered),
            ("6.3", "PRIORITY on stream 0", priority(stream=0), protocol),
            ("6.3", "PRIORITY of other than 5 octets", post + frame(PRIORITY, bytes(4), 0, 1), stream_error(FRAME_SIZE)),
            ("6.4", "RST_STREAM", post + reset(), ok),
            ("6.4", "RST_STREAM on stream 0", reset(0), protocol),
            ("6.4", "RST_STREAM on an idle stream", reset(3), protocol),
            ("6.4", "RST_STREAM of other than 4 octets", post + frame(RST_STREAM, bytes(3), 0, 1), size),
            ("6.5", "an acknowledgement of SETTINGS that has a payload", frame(SETTINGS, bytes(6), ACK), size),
            ("6.5", "SETTINGS on a stream", frame(SETTINGS, b"", 0, 1), protocol),
            ("6.5", "a SETTINGS frame that ends within a setting", frame(SETTINGS, bytes(3)), size),
            ("6.5.2", "SETTINGS_ENABLE_PUSH of 2", settings((ENABLE_PUSH, 2)), protocol),
            ("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE of 2^31", settings((INITIAL_WINDOW, 2**31)), flow),
            ("6.5.2", "SETTINGS_MAX_FRAME_SIZE of 2^14-1", settings((MAX_FRAME, 2**14 - 1)), protocol),
            ("6.5.2", "SETTINGS_MAX_FRAME_SIZE of 2^24", settings((MAX_FRAME, 2**24)), protocol),
            ("6.5.2", "a setting that is not known", settings((0xFF, 1)), acknowledged, ok),
            ("6.5.2", "the largest value of every setting", settings(*LARGEST.items()), acknowledged, ok),
            ("6.5.3", "of two values for a setting the later counts.", settings((INITIAL_WINDOW, 9), (INITIAL_WINDOW, 1)) + get,
             receives(1)),
            ("6.5.3", "SETTINGS are acknowledged.", settings((ENABLE_PUSH, 0)), acknowledged),
            ("6.7", "PING is acknowledged with its payload.", ping(b"\x00\xff12345\n"), lambda c: pong(c, b"\x00\xff12345\n")),
            ("6.7", "an acknowledgement of PING is not answered.", ping(b"unasked.", ACK) + ping(), pong,
             lambda c: len(c.pongs) == 1),
            ("6.7", "PING on a stream", ping(stream=1), protocol),
            *(("6.7", f"PING of {length} octets", ping(bytes(length)), size) for length in (0, 7, 9)),
            ("6.8", "GOAWAY", goaway(), winds_down),
            ("6.8", "a request that is under way when the client sends GOAWAY", post + goaway() + data(),
             saying("is accepted")(lambda c: c.wait(lambda: 1 in c.ended))),
            ("6.8", "GOAWAY on a stream", goaway(stream=1), protocol),
            ("6.9", "WINDOW_UPDATE of the connection", window(1000), ok),
            ("6.9", "WINDOW_UPDATE of a stream", post + window(1000, 1) + data(), answered),
            ("6.9", "WINDOW_UPDATE by 0 of the connection", window(0), protocol),
            ("6.9", "WINDOW_UPDATE by 0 of a stream", STALL + post + window(0, 1), stream_error(PROTOCOL)),
            ("6.9", "WINDOW_UPDATE of other than 4 octets", frame(WINDOW_UPDATE, bytes(3)), size),
            ("6.9", "the connection gets back the window that bodies took.", self.unread),
            ("6.9.1", "no more is sent than the window of a stream allows.", settings((INITIAL_WINDOW, 1)) + get, receives(1),
             window(4, 1), receives(5), window(LARGEST_WINDOW - 4, 1), answered),
            ("6.9.1", "a window beyond 2^31-1 on the connection", window(LARGEST_WINDOW) * 2, flow),
            ("6.9.1", "a window beyond 2^31-1 on a stream", STALL + get + window(LARGEST_WINDOW, 1) * 2,
             stream_error(FLOW_CONTROL)),
            ("6.9.2", "a change of the initial window counts for open streams.", STALL + get, head, receives(0),
             settings((INITIAL_WINDOW, 1)), receives(1), settings((INITIAL_WINDOW, 65535)), answered),
            ("6.9.2", "a window that a change made negative is filled before more is sent.", settings((INITIAL_WINDOW, 3)) + get,
             receives(3), settings((INITIAL_WINDOW, 1)) + window(3, 1), receives(4), window(1000000, 1), answered),
            ("6.9.2", "a change that takes the window of a stream beyond 2^31-1",
             STALL + get + window(LARGEST_WINDOW, 1) + settings((INITIAL_WINDOW, 65535)), flow),
            ("6.10", "CONTINUATION", begun + continuation(rest), answered),
            ("6.10", "a field block in several CONTINUATION frames, one of them empty",
             begun + continuation(rest[:5], flags=0) + continuation(b"", flags=0) + continuation(rest[5:]), answered),
            ("6.10", "another frame after CONTINUATION", begun + continuation(rest[:5], flags=0) + ping(), protocol),
            ("6.10", "CONTINUATION of another stream", begun + continuation(rest, 3), protocol),
            ("6.10", "CONTINUATION on stream 0", begun + continuation(rest, 0), protocol),
            ("6.10", "CONTINUATION after HEADERS with END_HEADERS", post + continuation(self.get), protocol),
            ("6.10", "CONTINUATION after one with END_HEADERS",
             headers(self.post[:9], flags=0) + continuation(self.post[9:]) + continuation(self.get), protocol),
            ("6.10", "CONTINUATION after DATA", post + data(flags=0) + continuation(self.get), protocol),
            ("7", "GOAWAY with an unknown error code", goaway(0xFF), winds_down),
            ("7", "RST_STREAM with an unknown error code", post + reset(code=0xFF), ok),
        ]
        yield from self.messages()
        yield from self.compression()
        endless = b"".join(continuation(literal(f"x-{number}", b"x" * 16000), flags=0) for number in range(64))
        bomb = headers(self.get + literal("x-b", b"x" * 4000, 0x40), flags=END_STREAM)
        enough = "leave the server serving, or end the connection without another error than ENHANCE_YOUR_CALM."
        yield from [
            ("10.5", f"streams opened and reset at once {enough}",
             b"".join(headers(self.get, stream) + reset(stream) for stream in range(1, 2001, 2)), self.calm),
            ("10.5", f"streams that a client has the server reset {enough}",
             b"".join(headers(self.post, stream, END_HEADERS) + window(LARGEST_WINDOW, stream) for stream in range(1, 4001, 2)),
             self.calm),
            ("10.5", f"SETTINGS without end {enough}", settings() * 2000, self.calm),
            ("10.5", f"empty DATA frames without end {enough}", post + data(b"", flags=0) * 2000, self.calm),
            ("10.5.1", "a field block without end", headers(self.get, flags=END_STREAM) + endless, refused),
            ("10.5.1", "a field block with many empty frames is accepted or refused.",
             headers(self.get, flags=END_STREAM) + continuation(b"", flags=0) * 2000 + continuation(b""),
             either(answered, refused)),
            ("10.5.1", "a field block that expands to 250 MB",
             bomb + continuation(b"\xbe" * 16384, flags=0) * 3 + continuation(b"\xbe" * 16384), refused),
        ]

    def messages(self):
        whole, get, post = self.whole, headers(self.get), headers(self.post, flags=END_HEADERS)

        def sized(lengths, *parts):
            """A stalled response keeps the stream open until what is wrong with the request is seen."""
            start = headers(self.request(*(("content-length", one) for one in lengths), method="POST"), flags=END_HEADERS)
            return STALL + start + b"".join(data(part, flags=0) for part in parts[:-1]) + data(parts[-1])

        def trailers(*fields, flags=WHOLE):
            return STALL + post + data(flags=0) + headers(b"".join(literal(*field) for field in fields), flags=flags)

        none = {"method": None, "scheme": None, "authority": None, "path": None}
        lengths = {
            "longer than a body": sized(["5"], b"data"),
            "longer than a body in several frames": sized(["9"], b"data", b"data"),
            "shorter than a body": sized(["3"], b"data"),
            "shorter than a body in several frames": sized(["7"], b"data", b"data"),
            "without a body": whole(("content-length", "4"), method="POST"),
            "that is not a number": sized(["4x"], b"data"),
            "with a sign": sized(["+4"], b"data"),
            "twice with different values": sized(["4", "5"], b"data"),
        }
        names = {"with a space": "x y", "with NUL": "x\0", "with DEL": "x\x7f", "with an octet above 0x7f": b"x\x80",
                 "with a colon": "x:y", "that is empty": "", "in upper case": "X-Upper"}
        values = {"with NUL": "a\0b", "with LF": "a\nb", "with CR": "a\rb", "with SP before": " a", "with HTAB after": "a\t"}
        hop = [("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"),
               ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate;q=0.5")]
        pseudo = {
            "with an unknown pseudo-header": whole((":unknown", "x")),
            "with a pseudo-header of responses": whole((":status", "200")),
            "with a pseudo-header after a regular field": whole(("x-a", "b"), (":path", "/"), path=None),
            "with :protocol in another method than CONNECT": whole((":protocol", "websocket")),
        }
        twice = {"method": "GET", "scheme": "http", "path": "/", "authority": self.options.authority}
        required = {
            **{f"without :{name}": whole(**{name: None}) for name in ("method", "scheme", "path")},
            **{f"with :{name} twice": whole((f":{name}", value)) for name, value in twice.items()},
            "without any pseudo-header": whole(("x-a", "b"), **none),
            "with an empty :path": whole(path=""),
            "with a :path that has no leading slash": whole(path="x"),
            "with a space in :path": whole(path="/x y"),
            "with an empty :method": whole(method=""),
            "with a :method that is not a token": whole(method="GE T"),
        }
        yield from [
            ("8.1", "GET", get, answered),
            ("8.1", "HEAD is answered without a body.", whole(method="HEAD"), answered, lambda c: not c.received.get(1)),
            ("8.1", "POST", post + data(), answered),
            ("8.1", "POST with trailers", post + data(flags=0) + headers(literal("x-a", "b")), answered),
            ("8.1", "a trailer section without END_STREAM", trailers(("x-a", "b"), flags=END_HEADERS), malformed),
            ("8.1", "a trailer section with a pseudo-header of requests", trailers((":method", "GET")), malformed),
            ("8.1", "a trailer section with a pseudo-header of responses", trailers((":status", "200")), malformed),
            ("8.1", "a trailer section with a name in upper case", trailers(("X-Upper", "b")), malformed),
            ("8.1", "a trailer section with a connection-specific field", trailers(("connection", "close")), malformed),
            ("8.1", "DATA after the trailer section", trailers(("x-a", "b")) + data(), closed),
            ("8.1.1", "a content-length that agrees", sized(["8"], b"data", b"data") + window(65535, 1), answered),
            *(("8.1.1", f"a content-length {what}", sent, malformed) for what, sent in lengths.items()),
            ("8.1.1", "the content-length of a response is that of its body.", get, length_is_right),
            *(("8.2.1", f"a field name {what}", whole((name, "a")), malformed) for what, name in names.items()),
            *(("8.2.1", f"a field value {what}", whole(("x-a", value)), malformed) for what, value in values.items()),
            *(("8.2.2", f"a request with {name}: {value}", whole((name, value)), malformed) for name, value in hop),
            ("8.2.2", "a request with te: trailers", whole(("te", "trailers")), answered),
            ("8.2.3", "a cookie in several fields counts as one.", get + headers(self.request(("cookie", "x=y")), 3), both,
             lambda c: c.status(1) == c.status(3)),
            *(("8.3", f"a request {what}", sent, malformed) for what, sent in pseudo.items()),
            *(("8.3.1", f"a request {what}", sent, malformed) for what, sent in required.items()),
            ("8.3.1", "OPTIONS *", whole(method="OPTIONS", path="*"), answered),
            ("8.3.2", "a response has :status first and no field that is prohibited.", get, proper_head),
            ("8.4", "PUSH_PROMISE from a client", post + frame(PUSH_PROMISE, b"\0\0\0\2" + self.get, END_HEADERS, 1), protocol),
            ("8.5", "CONNECT with :scheme and :path", whole(method="CONNECT"), malformed),
            ("8.5", "CONNECT without :authority", whole(**{**none, "method": "CONNECT"}), malformed),
            ("8.5", "CONNECT with :protocol but not :scheme and :path",
             whole((":protocol", "websocket"), **{**none, "method": "CONNECT", "authority": self.options.authority}), malformed),
        ]

    def compression(self):
        def with_field(field):
            return headers(self.get + field)

        def encoded(huffman):
            encoder, names = hpack.Encoder(), (":method", ":scheme", ":authority", ":path", "x-custom")
            fields = list(zip(names, ("GET", "http", self.options.authority, self.options.path, "a-value"), strict=True))
            # The second block has by index what the first put into the dynamic table.
            return b"".join(headers(encoder.encode(fields, huffman=huffman), stream) for stream in (1, 3))

        def coded(octets):
            return with_field(b"\x00" + string("x") + integer(len(octets), 7, 0x80) + octets)

        @saying(compression.says)
        def beyond_limit(c):
            c.send(headers(integer(c.settings.get(TABLE_SIZE, 4096) + 1, 5, 0x20) + self.get))
            return compression(c)

        static = b"\x82\x86" + literal(":path", self.options.path) + self.request(method=None, scheme=None, path=None)
        newest = headers(self.get + b"\xbe", 3)  # With the field that was the last to go into the dynamic table.
        return [
            ("HPACK/2.3.3", "an index beyond both tables", with_field(b"\xc6"), compression),
            ("HPACK/2.3.3", "a name at an index beyond both tables", with_field(integer(70, 6, 0x40) + b"\x01x"), compression),
            ("HPACK/4.2", "a block that starts with a table size update", headers(b"\x20" + self.get), answered),
            ("HPACK/4.2", "a block that starts with two table size updates", headers(b"\x20\x3f\xe1\x1f" + self.get), answered),
            ("HPACK/4.2", "a block that ends with a table size update", with_field(b"\x20"), compression),
            ("HPACK/4.2", "a response follows a SETTINGS_HEADER_TABLE_SIZE of 0.",
             settings((TABLE_SIZE, 0)) + headers(self.get) + headers(self.get, 3), without_table),
            ("HPACK/4.3", "the index of an entry that a table size update evicted", with_field(literal("x-a", "b", 0x40)),
             answered, headers(b"\x20" + self.get + b"\xbe", 3), compression),
            ("HPACK/4.4", "the index of an entry larger than the table",
             with_field(literal("x-a", "b", 0x40) + literal("x-b", b"x" * 5000, 0x40)), answered, newest, compression),
            ("HPACK/5.1", "an integer without end", with_field(b"\xff" * 17 + b"\x01"), compression),
            ("HPACK/5.2", "a string longer than its block", with_field(b"\x00\x01x\x7f\x80\x08x"), compression),
            ("HPACK/5.2", "Huffman padding of ones", coded(b"\x1f"), answered),
            ("HPACK/5.2", "Huffman padding longer than 7 bits", coded(b"\x1f\xff"), compression),
            ("HPACK/5.2", "Huffman padding of zeros", coded(b"\x18"), compression),
            ("HPACK/5.2", "EOS within a Huffman string", coded(b"\xff\xff\xff\xff"), compression),
            ("HPACK/6.1", "a block of fields in the static table", headers(static), answered),
            ("HPACK/6.1", "fields at indices of the dynamic table", encoded(huffman=False), both),
            ("HPACK/6.1", "Huffman-coded fields", encoded(huffman=True), both),
            ("HPACK/6.1", "index 0", with_field(b"\x80"), compression),
            *(("HPACK/6.2", f"a literal {what} with a new name", with_field(literal("x-a", "b", pattern)), answered)
              for what, (pattern, _) in LITERALS.items()),
            *(("HPACK/6.2", f"a literal {what} with its name at an index", with_field(integer(19, bits, pattern) + string("*/*")),
               answered) for what, (pattern, bits) in LITERALS.items()),
            ("HPACK/6.2.1", "a request by index that was malformed as a literal", with_field(literal("te", "gzip", 0x40)),
             malformed, newest, saying("is malformed")(stream_error(PROTOCOL, stream=3, statuses=(400,)))),
            ("HPACK/6.3", "a table size update beyond the limit", beyond_limit),
        ]


def run(case, options):
    """The section, the sentence, what was seen if it was not as it should be, and whether that is but an error's code."""
    section, sentence, *steps = case
    sentence = sentence[:-1] if sentence.endswith(".") else f"{sentence} {steps[-1].says}"
    preface = steps.pop(0) if isinstance(steps[0], Preface) else None
    try:
        c = Connection(options.port, options.deadline, preface)
        with c.socket:
            for step in steps:
                if isinstance(step, bytes):
                    c.send(step)
                elif not step(c):
                    return section, sentence, c.summary(), c.other_code
    except (OSError, hpack.HPACKError, KeyError, ValueError, struct.error) as error:
        return section, sentence, repr(error), False
    return section, sentence, None, False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--authority", help="default: localhost:PORT")
    parser.add_argument("--cookie")
    parser.add_argument("--path", default="/")
    parser.add_argument("--only", metavar="SECTION", help="with the sections within it")
    parser.add_argument("--deadline", type=float, default=5, metavar="SECONDS")
    options = parser.parse_args()
    options.authority = options.authority or f"localhost:{options.port}"
    wanted = [case for case in Cases(options).all() if not options.only or re.match(rf"{re.escape(options.only)}\b", case[0])]
    by_section, passed, other_code = {}, 0, 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for section, sentence, seen, only_code in pool.map(lambda case: run(case, options), wanted):
            print(f"ok {section} {sentence}" if seen is None else f"FAIL {section} {sentence} — {seen}", flush=True)
            count = by_section.setdefault(re.match(r"\w+", section)[0], [0, 0])
            passed, other_code = passed + (seen is None), other_code + only_code
            count[:] = count[0] + (seen is None), count[1] + 1
    failed = len(wanted) - passed
    print(json.dumps({"passed": passed, "failed": failed, "other_code": other_code, "by_section": by_section}))
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
