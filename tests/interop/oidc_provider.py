#!/usr/bin/env python3
"""Evergate at npm's certified `oidc-provider`, as tests/run installs it. `oidc_provider.py storm` runs the cases so named."""

import json
import subprocess

from examination import LIFE, Examined, Shared, examine
from world import HERE, Skip, answers, eventually, need

PEERS = HERE.parent / "peers"


class OidcProvider(Examined):
    title = "oidc-provider (npm)"
    token_path, revocation_path, introspection_path = "/token", "/token/revocation", "/token/introspection"

    # It gives refresh tokens only after consent (OIDC Core section 11).
    needs = {"OIDC_AUTH_URL_PARAMS": '{"prompt":"consent"}'}

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        self.version = world.shared.installed
        own = f"{self.url}/oauth2"
        world.spawn("oidc-provider", [
            "node", PEERS / "oidc-provider.mjs", "--port", port, "--issuer", self.issuer, "--client-secret", self.secret,
            "--access-token-seconds", life, "--redirect-uri", f"{own}/callback", "--post-logout-redirect-uri", f"{own}/signed_out",
            "--backchannel-logout-uri", f"{own}/backchannel_logout", "--introspection",
        ], stdin=subprocess.PIPE)
        eventually("the provider answers", lambda: answers(f"{self.line.url}/.well-known/openid-configuration"), 60)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("node", "psql")
        package = PEERS / "node_modules" / "oidc-provider" / "package.json"
        if not package.exists():
            raise Skip("npm's oidc-provider, which tests/run installs")
        return Shared(world, json.loads(package.read_text())["version"])

    @staticmethod
    def asks_for_password(page):
        return any(form["fields"].get("prompt") == "login" for form in page.forms())

    def type_password(self, browser, page, at=None, name="ann"):
        assert self.asks_for_password(page), f"the provider does not ask for a password: {page}"
        return self.consent(browser, browser.submit(page, {"prompt": "login", "login": name, "password": name}, at=at), at)

    def consent(self, browser, page, at=None):
        if any(form["fields"].get("prompt") == "consent" for form in page.forms()):
            return browser.submit(page, {"prompt": "consent"}, at=at)
        return page

    def confirm_logout(self, browser, page):
        if any("xsrf" in form["fields"] for form in page.forms()):
            return browser.submit(page, {"xsrf": page.forms()[0]["fields"]["xsrf"]}, button="logout")
        return page

    def typed(self):
        return len([call for call in self.line.asked if call["method"] == "POST" and call["form"].get("prompt") == "login"])


if __name__ == "__main__":
    examine(OidcProvider)
