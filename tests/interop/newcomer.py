#!/usr/bin/env python3
"""docs/quick-start.md: what a newcomer does is read from the page and done, at a real provider, within ten minutes.

`sudo` is a stand-in: Debian's packages are there already, and the Postgres is one of this run's own. The page's addresses are replaced by
those of this run, and its paths by a copy of the checkout's."""

import os
import re
import subprocess
import textwrap
import time
import urllib.parse

from oidc_provider import OidcProvider
from world import REPOSITORY, Browser, Upstream, answers, cases_of, eventually, need, run

PAGE = (REPOSITORY / "docs/quick-start.md").read_text()
LIMIT = 600


class Newcomer(OidcProvider):
    """The provider and the app; Evergate is the newcomer's to start."""

    def start(self, replicas, settings):
        self.app = Upstream(self.world)


def commands():
    """The page's blocks, in their order."""
    return [textwrap.dedent(block) for block in re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)]


def a_newcomer_has_a_protected_app_within_ten_minutes(world):
    need("cargo", "psql")
    begun, place = time.monotonic(), Newcomer(world)
    server = urllib.parse.urlsplit(world.postgres())
    folder = world.directory / "newcomer"
    folder.mkdir()
    (folder / "target").symlink_to(REPOSITORY / "target")
    sudo = folder / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" != --user ] || shift 2\n[ "$1" = apt-get ] || exec "$@"\n')
    sudo.chmod(0o755)
    here = {
        "http://localhost:3000": place.url, "http://127.0.0.1:8080": place.app.url, "https://idp.example.com": place.issuer,
        "CLIENT_ID='app'": f"CLIENT_ID='{place.client}'", "the-secret-of-the-client": place.secret,
        "127.0.0.1:5432": f"127.0.0.1:{server.port}", "cargo build": f"cargo build --manifest-path {REPOSITORY}/Cargo.toml",
    }
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}", "HOME": os.environ["HOME"], "CODER_HTTP_ADDRESS": f"127.0.0.1:{place.port}",
        "CODER_OIDC_AUTH_URL_PARAMS": place.needs["OIDC_AUTH_URL_PARAMS"], "PGHOST": "127.0.0.1", "PGPORT": str(server.port),
        "PGUSER": server.username or "postgres", "PGDATABASE": "postgres",
    }
    blocks = commands()
    for old, new in here.items():
        assert any(old in block for block in blocks), f"the page has no {old}"
        blocks = [block.replace(old, new) for block in blocks]
    *before, serve = blocks
    for block in before:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=env, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, f"{block}: {(done.stdout + done.stderr)[-1500:]}"
    last = "set -a; . ./evergate.env; set +a\n" + serve
    gate = world.spawn("evergate", ["bash", "-euo", "pipefail", "-c", last], env=env, cwd=folder)
    eventually("it serves", lambda: answers(f"{place.url}/oauth2/healthz"), 60)
    browser = Browser()
    page = place.type_password(browser, browser.visit(place.url + "/"))
    assert page.is_apps() and page.json()["headers"].get("x-forwarded-email"), str(page)
    gate.stop()
    gate.start()
    eventually("it serves again", lambda: answers(f"{place.url}/oauth2/healthz"), 60)
    assert browser.fetch(place.url + "/").status == 200, "still logged in"
    took = time.monotonic() - begun
    assert took < LIMIT, f"it took {took:.0f} s"


if __name__ == "__main__":
    run(cases_of(globals()), OidcProvider.install, limit=LIMIT + 60)
