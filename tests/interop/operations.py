#!/usr/bin/env python3
"""docs/operations.md: each of its blocks is run, as it is written, in front of somebody who is logged in."""

import base64
import datetime
import json
import os
import re
import secrets
import subprocess
import sys

from oidc_provider import OidcProvider
from previous_release import previous_release
from world import HERE, REPOSITORY, Evergate, binary, cases_of, eventually, need, run

PAGE = (REPOSITORY / "docs/operations.md").read_text()


def blocks(section):
    """The commands of a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def programs_of(place):
    """A folder that is searched first for programs: Evergate's is the one under test."""
    programs = place.world.directory / "programs"
    if not programs.exists():
        programs.mkdir()
        (programs / "evergate").symlink_to(binary())
    return programs


def do(place, section, number=0, statuses=(0,), url=None):
    """Runs a block of the page where the deployment's environment is, or with the URL of another role, and returns what it printed."""
    replica, folder = place.replicas[0], place.world.directory
    env = {**replica._env(), "PATH": f"{programs_of(place)}:{os.environ['PATH']}", **({"CODER_PG_CONNECTION_URL": url} if url else {})}
    asked = ["bash", "-euo", "pipefail", "-c", blocks(section)[number]]
    done = subprocess.run(asked, env=env, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode in statuses, f"{section}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def on_the_page(place, browser):
    """The user sees the app's page, and types no password for it."""
    typed = place.typed()
    page = browser.visit(place.url + "/")
    if any(form["fields"].get("prompt") == "consent" for form in page.forms()):
        page = place.consent(browser, page)
    assert page.is_apps() and place.typed() == typed, str(page)


def expired_certificate(folder):
    """The files of a key and its certificate, whose day was in 2020."""
    sys.path.insert(0, str(HERE.parent / "peers" / "python"))
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(day).not_valid_after(day + datetime.timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files = folder / "tls.key", folder / "tls.crt"
    files[0].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files[1].write_bytes(built.sign(key, hashes.SHA256()).public_bytes(pem))
    return files


def restart(place, **changed):
    """A rolling restart."""
    for replica in place.replicas:
        replica.restart(**changed)


def a_backup_is_restored_and_nobody_types_a_password(world):
    need("pg_dump", "pg_restore", "psql")
    place = OidcProvider(world)
    browser = place.log_in()
    do(place, "Backup")
    place.expire()
    place.fresh(browser)
    for replica in place.replicas:
        replica.stop()
    do(place, "Restore")
    for replica in place.replicas:
        replica.start()
    spent = len(place.renewals())
    on_the_page(place, browser)
    assert len(place.renewals()) == spent, "the token that was spent is not presented again"


class WithTwoRoles(OidcProvider):
    """A deployment of the previous release whose schema has an owner, as whom it does not serve."""

    def settings(self):
        url, (_, self.program) = self.world.shared.world.postgres(), previous_release()
        server, name = url.rsplit("/", 1)
        owner, role = f"owner_{name}", f"serving_{name}"
        self.world.sql(url, f"CREATE ROLE {owner} LOGIN; CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {owner}")
        self.owner, serving = (re.sub("//[^@]*@", f"//{user}@", server) + "/" + name for user in (owner, role))
        self.world.sql(self.owner, f"ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}")
        self.world.sql(self.owner, f"GRANT USAGE ON SCHEMA public TO {role}")
        return {**super().settings(), "PG_CONNECTION_URL": serving}

    def start(self, replicas, settings):
        env = {name: value for name, value in os.environ.items() if not name.startswith("CODER_")}
        keys = base64.b64encode(secrets.token_bytes(32)).decode()
        env |= {"CODER_PG_CONNECTION_URL": self.owner, "CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS": keys}
        subprocess.run([self.program, "migrate"], env=env, check=True, capture_output=True, timeout=60)
        super().start(replicas, {**settings, "EXTERNAL_TOKEN_ENCRYPTION_KEYS": keys})

    def evergate(self, *arguments, **more):
        return Evergate(*arguments, program=self.program, **more)


def a_backup_of_the_previous_release_is_restored_after_the_upgrade(world):
    need("pg_dump", "pg_restore", "psql")
    place = WithTwoRoles(world)
    browser, (replica,) = place.log_in(), place.replicas
    do(place, "Backup", url=place.owner)
    do(place, "Upgrade", statuses=(0, 1), url=place.owner)
    replica.program = binary()
    replica.restart()
    place.expire()
    place.fresh(browser)
    replica.stop()
    do(place, "Restore", url=place.owner)
    replica.start()
    spent = len(place.renewals())
    on_the_page(place, browser)
    assert len(place.renewals()) == spent, "the token that was spent is not presented again"


def keys_are_rotated_and_nobody_notices(world):
    place = OidcProvider(world, replicas=2)
    browser = place.log_in()
    new = re.search(r"[A-Za-z0-9+/]{43}=", do(place, "Key rotation"))[0]
    old = place.replicas[0].settings["EXTERNAL_TOKEN_ENCRYPTION_KEYS"]
    for keys in (f"{old},{new}", f"{new},{old}"):
        restart(place, EXTERNAL_TOKEN_ENCRYPTION_KEYS=keys)
        on_the_page(place, browser)
    do(place, "Key rotation", 1)
    restart(place, EXTERNAL_TOKEN_ENCRYPTION_KEYS=new)
    place.expire()
    place.fresh(browser)
    on_the_page(place, browser)


def a_new_release_migrates_beside_the_old_one(world):
    place = OidcProvider(world)
    browser = place.log_in()
    # `check` warns of plain http.
    do(place, "Upgrade", statuses=(0, 1))
    on_the_page(place, browser)


def an_outage_of_the_provider_logs_nobody_out_and_is_found(world):
    place = OidcProvider(world)
    browser = place.log_in()
    place.line.fault("refuse")
    said = do(place, "The provider is away", statuses=(2,))
    assert re.search(r"^error +provider", said, re.MULTILINE), said
    assert browser.fetch(place.url + "/").status == 200


def an_outage_of_the_database_logs_nobody_out(world):
    place = OidcProvider(world)
    browser = place.log_in()
    on_the_page(place, browser)
    url = place.replicas[0].settings["PG_CONNECTION_URL"]
    name, server = url.rsplit("/", 1)[1], url.rsplit("/", 1)[0] + "/postgres"
    end = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    world.sql(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    world.sql(server, end)
    assert browser.fetch(place.url + "/").status == 200, "memory serves"
    world.sql(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    place.expire()
    place.fresh(browser)


def a_lost_key_is_named_and_its_users_type_no_password(world):
    place = OidcProvider(world)
    browser = place.log_in()
    old = place.replicas[0].settings["EXTERNAL_TOKEN_ENCRYPTION_KEYS"]
    new = base64.b64encode(secrets.token_bytes(32)).decode()
    restart(place, EXTERNAL_TOKEN_ENCRYPTION_KEYS=new)
    said = do(place, "An encryption key is lost")
    assert re.search(r"\b[0-9a-f]{8}\b", said), said
    replica = place.replicas[0]
    eventually("readyz names the key", lambda: json.loads(replica.ask("/oauth2/readyz")[1]).get("missing_keys"))
    on_the_page(place, browser)
    restart(place, EXTERNAL_TOKEN_ENCRYPTION_KEYS=f"{new},{old}")
    on_the_page(place, browser)


def an_expired_certificate_is_found(world):
    place = OidcProvider(world)
    key, certificate = expired_certificate(world.directory)
    place.replicas[0].settings.update(TLS_ENABLE="true", TLS_CERT_FILE=str(certificate), TLS_KEY_FILE=str(key))
    said = do(place, "A certificate has expired", statuses=(2,))
    assert "expired" in said, said


def who_was_logged_out_is_told_why(world):
    place = OidcProvider(world)
    browser = place.log_in()
    place.ask(place.metadata()["revocation_endpoint"], token=place.newest())
    place.expire()
    eventually("the grant has ended", lambda: browser.fetch(place.url + "/").status == 401)
    eventually("why says so", lambda: "invalid_grant" in do(place, "Everybody is logged out"))
    do(place, "Everybody is logged out", 1)


if __name__ == "__main__":
    run(cases_of(globals()), OidcProvider.install)
