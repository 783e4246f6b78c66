#!/usr/bin/env python3
"""The alerts of config/prometheus and what Evergate exports, judged by promtool: Prometheus' own checks, and series whose alerts are known.

Needs once Go: promtool is built, into the cache.
"""

import os
import shutil
import subprocess
import urllib.request

from world import CACHE, REPOSITORY, Evergate, Skip, cases_of, eventually, need, run

PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
RULES = REPOSITORY / "config/prometheus"


def start(_world):
    need("go")
    folder = CACHE / "promtool-0.316.0"
    if not folder.exists():
        unfinished = CACHE / "promtool-0.316.0.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        env = {**os.environ, "GOBIN": str(unfinished)}
        done = subprocess.run(["nice", "go", "install", PROMTOOL], env=env, capture_output=True, text=True, timeout=1500)
        if done.returncode:
            raise Skip(f"promtool cannot be built: {done.stderr.strip()[-300:]}")
        unfinished.rename(folder)
    return folder / "promtool"


def promtool(world, *arguments, said=None):
    done = subprocess.run([world.shared, *arguments], input=said, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def the_rules_are_rules_that_prometheus_loads(world):
    code, said = promtool(world, "check", "rules", RULES / "evergate.rules.yaml")
    assert code == 0 and "18 rules found" in said, said


def series_have_the_alerts_that_somebody_computed_by_hand(world):
    code, said = promtool(world, "test", "rules", RULES / "evergate.rules.test.yaml")
    assert code == 0, said


def what_is_exported_is_named_and_typed_as_prometheus_advises(world):
    address = f"127.0.0.1:{world.port()}"
    provider = {"OIDC_ISSUER_URL": f"http://127.0.0.1:{world.port()}", "OIDC_CLIENT_ID": "gate", "OIDC_CLIENT_SECRET": "unused"}
    upstream = {"UPSTREAM_URL": f"http://127.0.0.1:{world.port()}", "PROMETHEUS_ENABLE": "true", "PROMETHEUS_ADDRESS": address}
    Evergate(world, {**provider, **upstream}, ready=False)

    def exported():
        try:
            return urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read().decode()
        except OSError:
            return None

    code, said = promtool(world, "check", "metrics", said=eventually("metrics are served", exported))
    # OpenMetrics describes a counter without the ending that its samples have, which promtool does not read so.
    advice = [line for line in said.splitlines() if not line.endswith("_total no help text")]
    assert code in (0, 3) and not advice, said


if __name__ == "__main__":
    run(cases_of(globals()), start)
