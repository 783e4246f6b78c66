#!/usr/bin/env python3
"""OpenTelemetry's own collector takes the spans that Evergate sends, and prints them.

It is built once of its Go modules, with the receiver of OTLP and the exporter that prints.

    otel_collector.py [WORD ...]        the cases whose names hold one of the words
"""

import os
import re
import shutil
import subprocess

from world import CACHE, HERE, Evergate, Skip, cases_of, eventually, need, run

VERSION, CONFMAP = "v0.165.0", "v1.71.0"
MODULES = {
    "component": CONFMAP, "confmap": CONFMAP, "confmap/provider/fileprovider": CONFMAP, "exporter": CONFMAP, "receiver": CONFMAP,
    "exporter/debugexporter": VERSION, "otelcol": VERSION, "receiver/otlpreceiver": VERSION, "service": VERSION,
}
CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:PORT"}}}}
exporters: {debug: {verbosity: detailed}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}, telemetry: {metrics: {level: none}}}
"""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def collector():
    """The binary of the collector."""
    binary = CACHE / f"otelcol-{VERSION}"
    if binary.exists():
        return binary
    need("go")
    source = CACHE / f"otelcol-{VERSION}-source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(HERE / "servers/otel_collector.go", source / "main.go")
    required = "".join(f"require go.opentelemetry.io/collector/{module} {version}\n" for module, version in MODULES.items())
    (source / "go.mod").write_text(f"module otelcol\n\ngo 1.25\n\n{required}")
    env = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    unfinished = binary.with_suffix(".new")
    for arguments in (["mod", "tidy"], ["build", "-o", str(unfinished), "."]):
        done = subprocess.run(["nice", "go", *arguments], cwd=source, env=env, capture_output=True, text=True, timeout=1500)
        if done.returncode:
            raise Skip(f"the collector cannot be built: go {arguments[0]}: {done.stderr.strip()[-300:]}")
    unfinished.rename(binary)
    shutil.rmtree(source, ignore_errors=True)
    return binary


class Traced(Evergate):
    """A replica that sends its spans."""

    def __init__(self, world, port, settings, **variables):
        self.variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "100", **variables}
        own = {"TRACE_ENABLE": "true", "PROXY_TRUSTED_ORIGINS": "127.0.0.1", "OIDC_ISSUER_URL": "http://127.0.0.1:9", "OIDC_CLIENT_ID": "app"}
        super().__init__(world, {**own, **settings}, ready=False)
        eventually("it serves", lambda: self.ask("/oauth2/healthz")[0] == 200)

    def _env(self):
        return {**super()._env(), **self.variables}


def start_collector(world, port):
    config = world.directory / f"collector-{port}.yaml"
    config.write_text(CONFIG.replace("PORT", str(port)))
    process = world.spawn("collector", [collector(), "--config", f"file:{config}"])
    eventually("the collector listens", lambda: process.alive() and "Everything is ready" in process.text(), 60)
    return process


def the_collector_takes_spans_and_finds_what_they_are_of(world):
    for compression in ("none", "gzip"):
        port = world.port()
        process = start_collector(world, port)
        variables = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression, "OTEL_SERVICE_NAME": "login", "OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb"}
        evergate = Traced(world, port, {"UPSTREAM_URL": "http://127.0.0.1:9"}, **variables)
        asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"traceparent: 00-{TRACE}-{PARENT}-01"]
        status = subprocess.run([*asked, f"{evergate.url}/page?secret=hunter2"], capture_output=True, text=True, check=True).stdout
        eventually("the span is there", lambda: TRACE in process.text())
        span = next(span for span in process.text().split("Span #") if TRACE in span and re.search(r"Kind +: Server", span))
        for line in (
            rf"Parent ID +: {PARENT}", r"Name +: GET /", rf"http.response.status_code: Int\({status}\)", r"url.path: Str\(/page\)",
            r"http.request.method: Str\(GET\)", r"client.address: Str\(127.0.0.1\)",
        ):
            assert re.search(line, span), f"{line} is not in {span}"
        assert "service.name: Str(login)" in process.text() and "team: Str(a,b)" in process.text(), process.text()[-3000:]
        assert "hunter2" not in process.text()


if __name__ == "__main__":
    run(cases_of(globals()), limit=300)
