#!/usr/bin/env python3
"""Evergate at LemonLDAP::NG, of Debian, with its demonstration users. `lemonldap.py storm` runs the cases so named."""

import json
import os
import subprocess

from examination import LIFE, Examined, Shared, examine
from packages import debian_packages, debian_version
from world import answers, eventually, need

PORTAL = "/usr/share/lemonldap-ng/portal"


class LemonLdap(Examined):
    title = "LemonLDAP::NG"
    preset, found_by = "lemonldap", "the metadata show the product"
    token_path, introspection_path = "/oauth2/token", "/oauth2/introspect"
    # What its 2.16 calls back-channel logout sends nothing.
    silent = back_channel = False
    # It sends no `email_verified`.
    needs = {"OIDC_IGNORE_EMAIL_VERIFIED": "true"}

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        self.version, (key, public) = world.shared.installed
        folders = {name: world.directory / name for name in ("configurations", "sessions", "persistent", "cache")}
        for folder in folders.values():
            (folder / "lock").mkdir(parents=True)
        cached = {"namespace": "portal", "cache_root": str(folders["cache"]), "default_expires_in": 600, "cache_depth": 3}
        own, kept = f"{self.url}/oauth2", {"generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"}
        at = lambda name: {"Directory": str(folders[name]), "LockDirectory": str(folders[name] / "lock"), **kept}
        client = {
            "ClientID": self.client, "ClientSecret": self.secret, "RedirectUris": f"{own}/callback", "BypassConsent": 1,
            "PostLogoutRedirectUris": f"{own}/signed_out", "AllowOffline": 1, "RefreshToken": 1, "AccessTokenExpiration": life,
            "IDTokenSignAlg": "RS256", "IDTokenForceClaims": 1, "LogoutType": "back", "LogoutUrl": f"{own}/backchannel_logout",
            "LogoutSessionRequired": 1,
        }
        configuration = {
            "cfgNum": 1, "cfgAuthor": "interop", "cfgDate": 1700000000, "cfgVersion": self.version.split("+")[0],
            "portal": self.line.url + "/", "domain": "127.0.0.1", "cookieName": "lemonldap", "securedCookie": 0, "key": "a-key-of-this-test",
            "authentication": "Demo", "userDB": "Same", "passwordDB": "Demo", "registerDB": "Null", "whatToTrace": "_whatToTrace",
            "demoExportedVars": {"cn": "cn", "mail": "mail", "uid": "uid"}, "macros": {"_whatToTrace": "lc($_user)"},
            "globalStorage": "Apache::Session::File", "globalStorageOptions": at("sessions"),
            "persistentStorage": "Apache::Session::File", "persistentStorageOptions": at("persistent"),
            "localSessionStorage": "Cache::FileCache", "localSessionStorageOptions": {**cached, "namespace": "sessions"},
            "locationRules": {f"127.0.0.1:{self.line.port}": {"default": "accept"}}, "timeout": 72000, "portalForceAuthnInterval": 0,
            "issuerDBOpenIDConnectActivation": 1, "oidcServiceMetaDataIssuer": self.line.url + "/", "oidcServiceKeyIdSig": "first",
            "oidcServicePrivateKeySig": key, "oidcServicePublicKeySig": public, "oidcServiceIgnoreScopeForClaims": 1,
            "oidcRPMetaDataOptions": {"app": {f"oidcRPMetaDataOptions{name}": value for name, value in client.items()}},
            "oidcRPMetaDataExportedVars": {"app": {"email": "mail", "preferred_username": "uid", "name": "cn"}},
        }
        (folders["configurations"] / "lmConf-1.json").write_text(json.dumps(configuration))
        options = "{" + ", ".join(f"{name} => '{value}'" for name, value in cached.items()) + "}"
        settings = world.directory / "lemonldap-ng.ini"
        settings.write_text(
            f"[all]\nlogLevel = warn\ncheckTime = 1\n[configuration]\ntype = File\ndirName = {folders['configurations']}\n"
            f"localStorage = Cache::FileCache\nlocalStorageOptions = {options}\n"
            f"[portal]\nstaticPrefix = /static\ntemplateDir = {PORTAL}/templates\nlanguages = en\n"
        )
        env = {**os.environ, "LLNG_DEFAULTCONFFILE": str(settings), "LLNG_DEFAULTLOGGER": "Lemonldap::NG::Common::Logger::Std"}
        asked = ["starman", "--listen", f"127.0.0.1:{port}", "--workers", "3", f"{PORTAL}/htdocs/index.psgi"]
        self.process = world.spawn("lemonldap", asked, env)

        def ready():
            assert self.process.alive(), f"LemonLDAP::NG ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/.well-known/openid-configuration")

        eventually("LemonLDAP::NG answers", ready, 60)
        self.start(replicas, self.settings())

    @property
    def issuer(self):
        return self.line.url + "/"

    @staticmethod
    def install(world):
        need("psql", "openssl")
        # The portal does not start without the first two of these, and its OpenID Connect not without the others.
        debian_packages({
            f"{PORTAL}/htdocs/index.psgi": "liblemonldap-ng-portal-perl", "starman": "starman",
            "/usr/share/perl5/GD/SecurityImage.pm": "libgd-securityimage-perl", "/usr/share/perl5/Image/Magick.pm": "libimage-magick-perl",
            "/usr/share/perl5/String/Random.pm": "libstring-random-perl", "/usr/share/perl5/IO/String.pm": "libio-string-perl",
        })
        key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True, timeout=60).stdout
        public = subprocess.run(["openssl", "rsa", "-pubout"], input=key, check=True, capture_output=True, text=True, timeout=60).stdout
        return Shared(world, (debian_version("liblemonldap-ng-portal-perl"), (key, public)))

    def type_password(self, browser, page, at=None, name="dwho"):
        assert self.asks_for_password(page), f"the provider does not ask for a password: {page}"
        name = "dwho" if name == "ann" else name
        return self.consent(browser, browser.submit(page, {"user": name, "password": name}, at=at), at)

    def confirm_logout(self, browser, page):
        return browser.submit(page, {"confirm": "1"}) if any("confirm" in form["fields"] for form in page.forms()) else page

    def typed(self):
        return len([call for call in self.line.asked if call["method"] == "POST" and "password" in call["form"]])


if __name__ == "__main__":
    examine(LemonLdap)
