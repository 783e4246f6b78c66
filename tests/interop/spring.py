#!/usr/bin/env python3
"""Evergate at Spring Authorization Server, as Spring Boot sets it up. `spring.py storm` runs the cases so named.

Needs Java 17, Postgres, and once Maven. Refresh tokens are reused by default (`reuse-refresh-tokens`).
"""

import re
import shutil
import subprocess
import zipfile

from examination import LIFE, Examined, Shared, examine
from world import CACHE, HERE, Skip, answers, eventually, need

SOURCE = HERE / "servers" / "spring"
BOOT = re.search("<version>(.*?)</version>", (SOURCE / "pom.xml").read_text())[1]


class Spring(Examined):
    title = "Spring Authorization Server"
    preset, found_by = "spring", "the metadata show the product"
    token_path, introspection_path, revocation_path = "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"
    form_path = "/login"
    back_channel = False

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        archive, self.version = world.shared.installed
        server, own = "spring.security.oauth2.authorizationserver", f"{self.url}/oauth2"
        client = {
            "client-id": self.client, "client-secret": "{noop}" + self.secret, "client-authentication-methods[0]": "client_secret_basic",
            "authorization-grant-types[0]": "authorization_code", "authorization-grant-types[1]": "refresh_token",
            "redirect-uris[0]": f"{own}/callback", "post-logout-redirect-uris[0]": f"{own}/signed_out", "scopes[0]": "openid",
            "scopes[1]": "profile", "scopes[2]": "email",
        }
        settings = {
            "server.address": "127.0.0.1", "server.port": port, "server.servlet.session.cookie.name": "SPRING",
            f"{server}.issuer": self.issuer, f"{server}.client.evergate.token.access-token-time-to-live": f"{life}s",
            "spring.security.user.name": "ann", "spring.security.user.password": "ann", "spring.main.banner-mode": "off",
            **{f"{server}.client.evergate.registration.{name}": value for name, value in client.items()},
        }
        (world.directory / "spring.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        asked = ["java", "-Xmx300m", "-XX:TieredStopAtLevel=1", "-jar", archive, f"--spring.config.location={world.directory}/spring.properties"]
        self.process = world.spawn("spring", asked)

        def ready():
            assert self.process.alive(), f"Spring ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/.well-known/openid-configuration")

        eventually("Spring answers", ready, 120)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("java", "psql")
        archive = CACHE / f"spring-{BOOT}.jar"
        if not archive.exists():
            need("mvn")
            CACHE.mkdir(parents=True, exist_ok=True)
            copy = world.directory / "spring"
            shutil.copytree(SOURCE, copy)
            built = subprocess.run(["nice", "mvn", "-q", "-B", "package"], cwd=copy, capture_output=True, text=True, timeout=900)
            if built.returncode:
                raise Skip(f"Maven cannot build Spring Authorization Server: {built.stdout.strip()[-300:]}")
            shutil.move(copy / "target" / "provider-1.jar", archive)
        with zipfile.ZipFile(archive) as found:
            names = " ".join(found.namelist())
        return Shared(world, (archive, re.search("spring-security-oauth2-authorization-server-([0-9.]+).jar", names)[1]))


if __name__ == "__main__":
    examine(Spring)
