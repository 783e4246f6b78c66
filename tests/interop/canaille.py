#!/usr/bin/env python3
"""Evergate at Canaille, of PyPI. `canaille.py storm` runs the cases so named."""

import json
import os
import sys

from examination import LIFE, Examined, Shared, examine
from packages import python_packages
from world import HERE, answers, eventually, need

VERSION = "0.3.6"


class Canaille(Examined):
    title, version = "Canaille", VERSION
    preset, found_by = "canaille", "the metadata show the product"
    token_path, revocation_path, introspection_path = "/oauth/token", "/oauth/revoke", "/oauth/introspect"
    back_channel, renews_only_early = False, True
    # It sends no `email_verified`.
    needs = {"OIDC_IGNORE_EMAIL_VERIFIED": "true"}

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        own = f"{self.url}/oauth2"
        client = {
            "client_id": self.client, "client_secret": self.secret, "client_name": "Evergate", "client_uri": self.url,
            "redirect_uris": [f"{own}/callback"], "post_logout_redirect_uris": [f"{own}/signed_out"],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "scope": ["openid", "profile", "email", "groups"], "token_endpoint_auth_method": "client_secret_basic",
            "access_token_seconds": life, "server_name": f"127.0.0.1:{self.line.port}",
        }
        env = {**os.environ, "PYTHONPATH": str(world.shared.installed)}
        self.process = world.spawn("canaille", [sys.executable, HERE / "servers" / "canaille_server.py", port, json.dumps(client)], env)

        def ready():
            assert self.process.alive(), f"Canaille ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/.well-known/openid-configuration")

        eventually("Canaille answers", ready, 60)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("psql")
        return Shared(world, python_packages(f"canaille-{VERSION}", f"canaille[front,oidc]=={VERSION}"))

    @staticmethod
    def asks_for_password(page):
        return any("login" in form["fields"] for form in page.forms())

    def type_password(self, browser, page, at=None, name="ann"):
        assert self.asks_for_password(page), f"the provider does not ask for a name: {page}"
        page = browser.submit(page, {"login": name}, at=at)
        return self.consent(browser, browser.submit(page, {"password": name}, at=at), at)

    def consent(self, browser, page, at=None):
        return browser.submit(page, button="answer", at=at) if any("answer" in form["buttons"] for form in page.forms()) else page

    confirm_logout = consent

    def typed(self):
        return len([call for call in self.line.asked if call["method"] == "POST" and "password" in call["form"]])


if __name__ == "__main__":
    examine(Canaille)
