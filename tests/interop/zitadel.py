#!/usr/bin/env python3
"""Evergate at the example provider of the Go module zitadel/oidc, which Zitadel is made with. `zitadel.py storm` runs the cases so named.

It has no session of its own: every login asks for the password. So nothing is silent.
"""

import json
import os
import pathlib
import shutil
import subprocess

from examination import LIFE, Examined, Shared, examine
from world import CACHE, HERE, Skip, answers, eventually, need

VERSION = "3.52.0"
MODULE = f"github.com/zitadel/oidc/v3@v{VERSION}"


class Zitadel(Examined):
    title, version = "zitadel/oidc (example)", VERSION
    token_path, introspection_path, revocation_path = "/oauth/token", "/oauth/introspect", "/revoke"
    form_path = "/login/username"
    back_channel = silent = False
    # Its example clients have no post-logout redirect URIs.
    returns_after_logout = False

    def __init__(self, world, replicas=1, life=LIFE):
        port = world.port()
        super().__init__(world, port)
        users = world.directory / "users.json"
        ann = {"ID": "ann", "Username": "ann", "Password": "ann", "FirstName": "Ann", "LastName": "Example", "Email": "ann@example.com",
               "EmailVerified": True, "PreferredLanguage": "en"}
        users.write_text(json.dumps({"ann": ann}))
        asked = [world.shared.installed, port, self.issuer, self.client, self.secret, f"{self.url}/oauth2/callback", life, users]
        self.process = world.spawn("zitadel", asked)

        def ready():
            assert self.process.alive(), f"the provider ended: {self.process.text()[-1500:]}"
            return answers(f"{self.line.url}/.well-known/openid-configuration")

        eventually("the provider answers", ready, 60)
        self.start(replicas, self.settings())

    @staticmethod
    def install(world):
        need("psql")
        binary = CACHE / f"zitadel-oidc-{VERSION}"
        if binary.exists():
            return Shared(world, binary)
        need("go")
        source, env = world.directory / "zitadel", {**os.environ, "GOFLAGS": "-mod=mod"}
        source.mkdir()
        shutil.copy(HERE / "servers" / "zitadel.go", source / "main.go")
        unfinished = pathlib.Path(f"{binary}.new")
        for command in (["mod", "init", "provider"], ["get", MODULE], ["mod", "tidy"], ["build", "-o", unfinished, "."]):
            done = subprocess.run(["nice", "go", *command], cwd=source, env=env, capture_output=True, text=True, timeout=900)
            if done.returncode:
                raise Skip(f"{MODULE} cannot be built: go {command[0]}: {done.stderr.strip()[-300:]}")
        unfinished.rename(binary)
        return Shared(world, binary)


if __name__ == "__main__":
    examine(Zitadel)
