#!/usr/bin/env python3
"""Evergate at Django OAuth Toolkit, of PyPI, with its usual settings. `django_oauth_toolkit.py storm` runs the cases so named."""

import json
import os
import subprocess
import sys

from examination import LIFE, Examined, Shared, examine
from packages import python_packages
from world import HERE, answers, eventually, need

VERSION, DJANGO = "3.4.1", "5.2"


class Toolkit(Examined):
    title, version = "Django OAuth Toolkit", VERSION
    preset, found_by = "django-oauth-toolkit", "the issuer shows the product"
    token_path, form_path, issuer_path = "/o/token/", "/login/", "/o"
    back_channel = silent = False

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        packages, key = world.shared.installed
        client = {
            "client_id": self.client, "client_secret": self.secret, "name": "Evergate", "client_type": "confidential",
            "authorization_grant_type": "authorization-code", "algorithm": "RS256", "skip_authorization": True,
            "redirect_uris": f"{self.url}/oauth2/callback", "post_logout_redirect_uris": f"{self.url}/oauth2/signed_out",
            "key": key, "access_token_seconds": life, "settings": {},
        }
        env = {**os.environ, "PYTHONPATH": str(packages)}
        asked = [sys.executable, HERE / "servers" / "django_server.py", port, json.dumps(client), world.directory / "django.sqlite"]
        self.process = world.spawn("django", asked, env)

        def ready():
            assert self.process.alive(), f"Django ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/o/.well-known/openid-configuration")

        eventually("Django answers", ready, 60)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("psql", "openssl")
        key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True, timeout=60).stdout
        wanted = (f"django-oauth-toolkit=={VERSION}", f"django~={DJANGO}.0")
        return Shared(world, (python_packages(f"django-oauth-toolkit-{VERSION}", *wanted), key))

    def confirm_logout(self, browser, page):
        return browser.submit(page, button="allow") if any("allow" in form["buttons"] for form in page.forms()) else page


if __name__ == "__main__":
    examine(Toolkit)
