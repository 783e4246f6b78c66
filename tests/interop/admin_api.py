#!/usr/bin/env python3
"""The administration's API as its OpenAPI document describes it, asked by schemathesis: each operation with what the document allows and
with what it forbids.

Needs once the network: schemathesis is installed into the cache.
"""

import html
import http.cookiejar
import re
import subprocess
import sys
import urllib.parse
import urllib.request

from world import CACHE, REPOSITORY, Skip, binary, cases_of, eventually, run

SCHEMATHESIS = "schemathesis==4.32.5"


def start(_world):
    folder = CACHE / "schemathesis-4.32.5"
    if not (folder / "done").exists():
        commands = [[sys.executable, "-m", "venv", folder], [folder / "bin/pip", "install", "--quiet", SCHEMATHESIS]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, timeout=900)
            if done.returncode:
                raise Skip(f"schemathesis cannot be installed: {done.stderr.strip()[-300:]}")
        (folder / "done").touch()
    return folder / "bin/schemathesis"


def demonstration(world, port):
    world.spawn("demo", [binary(), "demo", "--admin", f"--port={port}"])
    url = f"http://localhost:{port}"

    def is_ready():
        try:
            return urllib.request.urlopen(f"{url}/oauth2/readyz", timeout=5).status == 200
        except OSError:
            return False

    eventually("the demonstration is ready", is_ready)
    return url


def token_of_an_administrator(url):
    """Logs Maya in, and makes a personal access token for the administration, by the forms that a person uses."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    def get(address, body=None):
        return browser.open(urllib.request.Request(address, data=body, headers=page), timeout=20)

    choice = get(f"{url}/")
    link = re.search(r'href="(/authorize[^"]*person=0)"', choice.read().decode()).group(1)
    get(urllib.parse.urljoin(choice.url, html.unescape(link)))
    seal = re.search(r'name="seal" value="([^"]+)"', get(f"{url}/oauth2/tokens").read().decode()).group(1)
    form = urllib.parse.urlencode({"seal": seal, "name": "schemathesis", "route": "administration"}).encode()
    return re.search(r"<code>([^<]+)", get(f"{url}/oauth2/tokens", form).read().decode()).group(1)


def ask(world, url, token, *options):
    command = [
        world.shared, "run", REPOSITORY / "docs/openapi.json", f"--url={url}/oauth2/admin/api/v1", "--header", f"Authorization: Bearer {token}",
        "--max-examples=60", "--seed=7", "--no-color", "--generation-database=none",
        # TRACE is refused before anything is known of the path, whose methods no Allow names then.
        "--exclude-checks=unsupported_method", *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=world.directory)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    return said


def every_operation_answers_as_the_document_says(world):
    url = demonstration(world, world.port())
    token = token_of_an_administrator(url)
    # What ends sessions would end the token's, whose grant the list names.
    ending = ["endSession", "endUser", "endEveryone"]
    said = ask(world, url, token, *[f"--exclude-operation-id={name}" for name in ending])
    assert "Authentication failed" not in said, said[-6000:]
    # By themselves they meet sessions that there are not.
    few = [f"--include-operation-id={name}" for name in ending[:2]]
    said = ask(world, url, token, *few, "--phases=coverage,fuzzing")
    assert "Authentication failed" not in said, said[-6000:]
    ask(world, url, token, "--include-operation-id=endEveryone", "--phases=coverage")


if __name__ == "__main__":
    run(cases_of(globals()), start)
