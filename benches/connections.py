#!/usr/bin/env python3
"""What an idle connection costs in memory: of Evergate, and of nginx beside it.

Opens connections, sends one request on each (for WebSockets: the handshake and one message), and leaves them idle. Printed for
each kind: resident memory before, what each connection adds to it once all have been idle for `--rest` seconds, and how much of that has been returned to the
system 20 seconds and a minute after all have closed. A process of a server that was not used before is measured for each kind.

Needs nginx (Debian's nginx-light), openssl, and `cargo build --release`. Every connection may need another to the app, so that
`ulimit -n` must be above twice the number of connections; WebSockets do need it, and also need it of nginx's workers.

usage: connections.py [--connections 9000] [--binary target/release/evergate] [--only http1,http2,tls,websocket] [--after 20,60]
       [--rest 5]
"""

import argparse
import base64
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ["http1", "http2", "tls", "websocket"]
# A client process holds so many connections.
SHARE = 3000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, log):
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}:\n{log.read_text()[-2000:]}")


def resident(pids):
    """KiB of memory of these processes, without pages that they share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty", "Private_Clean")):
                total += int(line.split()[1])
    return total


def workers(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [int(child) for child in children]


class Server:
    """A process, its log, and its addresses."""

    def __init__(self, work, name, command, env=None, ports=()):
        self.log = work / f"{name}.log"
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=open(self.log, "w"), stderr=subprocess.STDOUT, start_new_session=True
        )
        for port in ports:
            wait_for(port, self.log)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def nginx(work, name, body, ports):
    folders = "".join(f"{kind}_temp_path {work}/{name}.{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    conf = work / f"{name}.conf"
    conf.write_text(
        f"worker_processes 1; daemon off; pid {work}/{name}.pid; error_log stderr crit; worker_rlimit_nofile 20000;\n"
        f"events {{ worker_connections 20000; }}\n"
        f"http {{ access_log off; keepalive_timeout 600s; {folders}\n{body} }}\n"
    )
    return Server(work, name, [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(work), "-c", str(conf)], ports=ports)


def nginx_proxy(work, app, plain, secure):
    proxied = (
        f"location / {{ proxy_pass http://127.0.0.1:{app}; proxy_http_version 1.1; proxy_read_timeout 600s;"
        " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }"
    )
    body = (
        "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n"
        f"server {{ listen 127.0.0.1:{plain} backlog=4096; {proxied} }}\n"
        f"server {{ listen 127.0.0.1:{secure} ssl backlog=4096; ssl_certificate {work}/cert.pem; ssl_certificate_key {work}/key.pem;"
        f" {proxied} }}\n"
    )
    h2 = free_port()
    body += f"server {{ listen 127.0.0.1:{h2} http2 backlog=4096; {proxied} }}\n"
    server = nginx(work, "nginx", body, [plain, secure, h2])
    server.addresses = {"http1": plain, "websocket": plain, "tls": secure, "http2": h2}
    return server


def evergate(work, binary, app, plain, secure):
    config = work / "evergate.toml"
    config.write_text('[[route]]\npath = "/"\nrule = "public"\n')
    env = {
        **{name: value for name, value in os.environ.items() if name == "PATH" or name.startswith(("MIMALLOC_", "_RJEM_"))},
        "CODER_CONFIG_PATH": str(config),
        "CODER_HTTP_ADDRESS": f"127.0.0.1:{plain}",
        "CODER_ACCESS_URL": "http://localhost",
        "CODER_UPSTREAM_URL": f"http://127.0.0.1:{app}",
        "CODER_DATA_DIR": str(work),
        "CODER_OIDC_ISSUER_URL": "http://127.0.0.1:9",
        "CODER_OIDC_CLIENT_ID": "evergate",
        "CODER_OIDC_CLIENT_SECRET": "not-much-of-a-secret",
        "CODER_TLS_ENABLE": "true",
        "CODER_TLS_ADDRESS": f"127.0.0.1:{secure}",
        "CODER_TLS_CERT_FILE": str(work / "cert.pem"),
        "CODER_TLS_KEY_FILE": str(work / "key.pem"),
        "CODER_LOG_LEVEL": "warn",
    }
    server = Server(work, "evergate", [str(binary), "serve"], env, [plain, secure])
    server.addresses = {"http1": plain, "websocket": plain, "tls": secure, "http2": plain}
    return server


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


def literal(name, value):
    """A field of HPACK that is neither indexed nor compressed (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed")
        data += more
    return data.split(b"\r\n\r\n", 1)


def ask_http1(connection):
    connection.sendall(REQUEST)
    head, body = read_head(connection)
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    receive(connection, length - len(body))


def ask_http2(connection):
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]
    head = b"".join(literal(name, value) for name, value in fields + [(b"user-agent", b"Mozilla/5.0")])
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, head))
    while True:
        header = receive(connection, 9)
        kind, flags, stream = header[3], header[4], struct.unpack(">I", header[5:])[0]
        payload = receive(connection, int.from_bytes(header[:3], "big"))
        if kind == 4 and not flags & 1:
            connection.sendall(frame(4, 1, 0, b""))
        assert kind not in (3, 7), (kind, payload)
        if kind in (0, 1) and stream == 1 and flags & 1:
            return


def ask_websocket(connection):
    connection.sendall(HANDSHAKE)
    head, rest = read_head(connection)
    assert head.startswith(b"HTTP/1.1 101"), head
    # A masked text frame of five bytes, with a mask of zeros, which is echoed without the mask.
    connection.sendall(b"\x81\x85\0\0\0\0hello")
    assert rest + receive(connection, 7 - len(rest)) == b"\x81\x05hello"


def hold(kind, port, count, pipe):
    """Opens connections in a process of its own, says when all have been used, and closes them when told."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["http/1.1"])
    ask = {"http1": ask_http1, "tls": ask_http1, "http2": ask_http2, "websocket": ask_websocket}[kind]
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        if kind == "tls":
            connection = context.wrap_socket(connection, server_hostname="localhost")
        ask(connection)
        held.append(connection)
    pipe.send(len(held))
    pipe.recv()
    for connection in held:
        connection.close()
    pipe.send(0)


def echo(port):
    """An app that answers with 1 KiB, and echoes WebSockets' frames."""
    import asyncio
    import hashlib

    body = b"x" * 1024
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + body
    accept = base64.b64encode(hashlib.sha1(base64.b64encode(bytes(16)) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"\r\nupgrade: websocket" not in head:
                    writer.write(response)
                    continue
                key = next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"sec-websocket-key:"))
                assert key
                writer.write(upgrade + accept + b"\r\n\r\n")
                while frame := await reader.readexactly(11):
                    mask, payload = frame[2:6], frame[6:]
                    writer.write(b"\x81\x05" + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(run())


def measure(server, kind, count, rest, after):
    processes = workers(server.process.pid)
    port = server.addresses[kind]
    # What is made once, at the first request.
    with multiprocessing.Pool(1) as pool:
        pool.apply(warm, (kind, port))
    time.sleep(3)
    before = resident(processes)
    holders = []
    for begun in range(0, count, SHARE):
        ours, theirs = multiprocessing.Pipe()
        holder = multiprocessing.Process(target=hold, args=(kind, port, min(SHARE, count - begun), theirs))
        holder.start()
        holders.append((holder, ours))
    held = sum(pipe.recv() for _, pipe in holders)
    time.sleep(rest)
    idle = resident(processes)
    for _, pipe in holders:
        pipe.send(0)
        pipe.recv()
    for holder, _ in holders:
        holder.join()
    closed = time.monotonic()
    added = idle - before
    returned = []
    for seconds in after:
        time.sleep(max(0, closed + seconds - time.monotonic()))
        later = resident(processes)
        returned.append(f"{later / 1024:.1f} | {100 * (idle - later) / max(added, 1):.0f} %")
    print(
        f"| {kind} | {held} | {before / 1024:.1f} | {idle / 1024:.1f} | {added / held:.2f} |"
        f" {' | '.join(returned)} |",
        flush=True,
    )


def warm(kind, port):
    ours, theirs = multiprocessing.Pipe()
    ours.send(0)
    hold(kind, port, 20, theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/evergate")
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--servers", default="nginx,evergate")
    # More than it takes to park them, and less than the idle timeout.
    parser.add_argument("--rest", type=float, default=5)
    parser.add_argument("--after", default="20,60")
    arguments = parser.parse_args()
    after = [float(seconds) for seconds in arguments.after.split(",")]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    work = Path(tempfile.mkdtemp())
    work.chmod(0o755)
    started = []
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(work / "key.pem"), "-out", str(work / "cert.pem")],
            check=True, capture_output=True,
        )  # fmt: skip
        app = free_port()
        apps = multiprocessing.Process(target=echo, args=(app,), daemon=True)
        apps.start()
        wait_for(app, Path(os.devnull))
        for name in arguments.servers.split(","):
            times = " | ".join(f"{seconds:.0f} s after, MiB | returned" for seconds in after)
            print(f"\n{name}\n\n| kind | connections | before, MiB | idle, MiB | each, KiB | {times} |")
            print("|---" * (5 + 2 * len(after)) + "|", flush=True)
            for kind in arguments.only.split(","):
                plain, secure = free_port(), free_port()
                start = nginx_proxy if name == "nginx" else lambda *given: evergate(work, arguments.binary.resolve(), *given[1:])
                server = start(work, app, plain, secure)
                started.append(server)
                # One for the client and one for the app.
                measure(server, kind, min(arguments.connections, most // 2 - 600), arguments.rest, after)
                started.pop().stop()
    finally:
        for server in started:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
