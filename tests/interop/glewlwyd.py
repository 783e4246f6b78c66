#!/usr/bin/env python3
"""Evergate at Glewlwyd, of Debian, which runs on SQLite. `glewlwyd.py storm` runs the cases so named.

Its pages are scripts. What they ask of its API is asked here by `type_password` and `confirm_logout`.
"""

import gzip
import json
import sqlite3
import subprocess
import urllib.parse

from examination import LIFE, Examined, Shared, examine
from packages import debian_packages, debian_version
from world import Browser, answers, eventually, need

SCHEMA = "/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz"
MODULES = "/usr/lib/glewlwyd"


class Glewlwyd(Examined):
    title = "Glewlwyd"
    preset, found_by = "glewlwyd", "the metadata show the product"
    token_path, introspection_path, issuer_path = "/api/oidc/token", "/api/oidc/introspect", "/api/oidc"
    revocation_path = "/api/oidc/revoke"
    # It takes only a user's newest ID token for the hint that it wants with `prompt=none`, so another session is another user's.
    another = "bob"
    # It sends no `email_verified`.
    needs = {"OIDC_IGNORE_EMAIL_VERIFIED": "true"}

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        self.version, key = world.shared.installed
        database = world.directory / "glewlwyd.sqlite"
        with sqlite3.connect(database) as connection:
            # Its end-session endpoint looks for a property that its own table of properties spells otherwise.
            listed, wanted = ('"post_logout_redirect_uri%s":{"multiple":%s' % each for each in (("", "false"), ("s", "true")))
            connection.executescript(gzip.open(SCHEMA, "rt").read().replace(listed, wanted))
        settings = {
            "port": port, "bind_address": "127.0.0.1", "external_url": self.line.url, "login_url": "login.html", "api_prefix": "api",
            "static_files_path": "/usr/share/glewlwyd/webapp/", "log_mode": "console", "log_level": "INFO", "cookie_domain": "127.0.0.1",
            "cookie_secure": 0, "session_expiration": 2419200, "session_key": "GLEWLWYD2_SESSION_ID", "admin_scope": "g_admin",
            "profile_scope": "g_profile", "user_module_path": f"{MODULES}/user", "client_module_path": f"{MODULES}/client",
            "user_middleware_module_path": f"{MODULES}/user_middleware", "user_auth_scheme_module_path": f"{MODULES}/scheme",
            "plugin_module_path": f"{MODULES}/plugin", "hash_algorithm": "SHA512",
        }
        # Its format is libconfig's, in which these values are as in JSON.
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        lines.append(f'database = {{ type = "sqlite3" path = {json.dumps(str(database))} }}')
        lines.append('static_files_mime_types = ( { extension = ".html" mime_type = "text/html" compress = 0 } )')
        configuration = world.directory / "glewlwyd.conf"
        configuration.write_text("\n".join(lines) + "\n")
        self.process = world.spawn("glewlwyd", ["glewlwyd", f"--config-file={configuration}"])

        def ready():
            assert self.process.alive(), f"Glewlwyd ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/config")

        eventually("Glewlwyd answers", ready, 60)
        self._configure(key, life)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("psql", "openssl")
        debian_packages({"glewlwyd": "glewlwyd", SCHEMA: "glewlwyd"})
        key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True, timeout=60).stdout
        public = subprocess.run(["openssl", "rsa", "-pubout"], input=key, check=True, capture_output=True, text=True, timeout=60).stdout
        return Shared(world, (debian_version("glewlwyd"), (key, public)))

    def api(self, browser, method, path, body=None):
        """What its own pages ask for."""
        text = None if body is None else json.dumps(body)
        answer = browser.request(method, f"{self.line.url}/api{path}", {"Content-Type": "application/json"}, text)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.text[:500]}"
        return answer

    def _configure(self, key, life):
        browser, own = Browser(), f"{self.url}/oauth2"
        self.api(browser, "POST", "/auth/", {"username": "admin", "password": "password"})
        parameters = {
            "iss": self.issuer, "jwt-type": "rsa", "jwt-key-size": "256", "key": key[0], "cert": key[1], "access-token-duration": life,
            "refresh-token-duration": 1209600, "code-duration": 600, "refresh-token-rolling": True, "refresh-token-one-use": "always",
            "allow-non-oidc": False, "auth-type-code-enabled": True, "auth-type-refresh-enabled": True, "auth-type-token-enabled": False,
            "auth-type-id-token-enabled": True, "auth-type-none-enabled": False, "auth-type-password-enabled": False,
            "auth-type-client-enabled": False, "auth-type-implicit-enabled": False, "auth-type-device-enabled": False,
            "pkce-allowed": True, "pkce-required": False, "jwks-show": True, "jwks-x5c": [], "subject-type": "public",
            "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": [], "email-claim": "mandatory", "name-claim": "mandatory", "scope-claim": "no",
            "session-management-allowed": True, "session-cookie-name": "GLEWLWYD2_OIDC_SID", "session-cookie-expiration": 2419200,
            "back-channel-logout-allowed": True, "front-channel-logout-allowed": False,
        }
        plugin = {"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": parameters}
        self.api(browser, "POST", "/mod/plugin/", plugin)
        for name in ("ann", "bob"):
            self.api(browser, "POST", "/user/", {
                "username": name, "password": name, "name": name, "email": f"{name}@example.com", "enabled": True,
                "scope": ["g_profile", "openid"],
            })
        self.api(browser, "POST", "/client/", {
            "client_id": self.client, "client_secret": self.secret, "confidential": True, "name": "Evergate", "enabled": True,
            "redirect_uri": [f"{own}/callback"], "post_logout_redirect_uris": [f"{own}/signed_out"],
            "authorization_type": ["code", "refresh_token"], "token_endpoint_auth_method": ["client_secret_basic"], "scope": ["openid"],
            "backchannel_logout_uri": f"{own}/backchannel_logout", "backchannel_logout_session_required": "true",
        })

    @staticmethod
    def _asked(page):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query)) if "/login.html" in page.url else {}

    @classmethod
    def asks_for_password(cls, page):
        return bool(cls._asked(page)) and cls._asked(page).get("prompt") != "end_session"

    def type_password(self, browser, page, at=None, name="ann"):
        assert self.asks_for_password(page), f"the provider does not ask for a password: {page}"
        self.api(browser, "POST", "/auth/", {"username": name, "password": name})
        self.api(browser, "PUT", f"/auth/grant/{self.client}", {"scope": "openid"})
        return browser.visit(self._asked(page)["callback_url"] + "&g_continue", at)

    def confirm_logout(self, browser, page):
        asked = self._asked(page)
        if asked.get("prompt") != "end_session":
            return page
        self.api(browser, "DELETE", f"/oidc/session/{asked['sid']}")
        self.api(browser, "DELETE", "/auth/")
        return browser.visit(asked["callback_url"]) if asked.get("callback_url") else page

    def log_out_there(self, browser):
        """With a hint, because its end-session endpoint knows no session without."""
        hint = next(call["answer"]["id_token"] for call in reversed(self.line.calls(self.token_path)) if "id_token" in call["answer"])
        return self.confirm_logout(browser, browser.visit(f"{self.metadata()['end_session_endpoint']}?id_token_hint={hint}"))

    def typed(self):
        return len([call for call in self.line.calls("/api/auth/") if call["method"] == "POST"]) - 1


if __name__ == "__main__":
    examine(Glewlwyd)
