#!/usr/bin/env python3
"""Evergate in front of Ory Hydra 2.3.0 with its strictest rotation: no grace, and a token that comes twice ends the family.

Needs Postgres, and once Go and a C compiler, which build Hydra from its module (minutes). `hydra.py killed` runs the cases
so named. Evergate is told nothing of Hydra (preset `auto`), and Hydra's introspection is on its admin port alone.
"""

import html
import json
import os
import random
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

from deployment import SETTLED, VERIFIED_AGAIN, Deployment
from world import CACHE, Answer, Browser, Skip, answers, behind, cases_of, eventually, need, run, serve, together

VERSION = "2.3.0"
SECRET, OTHER_SECRET = "the-first-secret-of-this-client-0001", "the-second-secret-of-this-client-0002"
# Access tokens are so short that their ends can be waited for.
LIFE = 5


class Hydra:
    """The program, and a database that is brought up to date once and copied for each case."""

    def __init__(self, world):
        need("psql")
        self.world, self.binary, self.database = world, self.build(), world.postgres()
        env = {**os.environ, "DSN": self.database + "?sslmode=disable"}
        subprocess.run([self.binary, "migrate", "sql", "-e", "--yes"], env=env, check=True, capture_output=True, timeout=240)
        # It makes its keys when they are first asked for, which takes seconds, and is done here once for all.
        public, admin = world.port(), world.port()
        first = self.serve(world, public, admin, self.database, {"urls": {"self": {"issuer": f"http://127.0.0.1:{public}"}}})
        eventually("Hydra has its keys", lambda: answers(f"http://127.0.0.1:{public}/.well-known/jwks.json"), 180)
        first.stop()

    def serve(self, world, public, admin, database, config):
        """A Hydra that answers."""
        config = {
            "serve": {"public": {"host": "127.0.0.1", "port": public}, "admin": {"host": "127.0.0.1", "port": admin}},
            "secrets": {"system": ["a-secret-of-the-system-of-this-test"]},
            "dsn": database + "?sslmode=disable",
            "sqa": {"opt_out": True},
            **config,
        }
        (world.directory / "hydra.yml").write_text(json.dumps(config))
        arguments = ["nice", "-n", "5", self.binary, "serve", "all", "--dev", "-c", world.directory / "hydra.yml"]
        process = world.spawn("hydra", arguments)

        def ready():
            assert process.alive(), f"Hydra ended: {process.text()[-1500:]}"
            return answers(f"http://127.0.0.1:{admin}/health/ready")

        eventually("Hydra answers", ready, 60)
        return process

    @staticmethod
    def build():
        """The binary, built from the module without the `replace` that only Hydra's own checkout satisfies."""
        binary = CACHE / f"hydra-{VERSION}"
        if binary.exists():
            return binary
        need("go", "gcc")
        CACHE.mkdir(parents=True, exist_ok=True)
        source, module = CACHE / f"hydra-{VERSION}-source", f"github.com/ory/hydra/v2@v{VERSION}"
        env = {**os.environ, "GOFLAGS": "-mod=mod"}

        def go(*arguments, cwd=CACHE):
            done = subprocess.run(["nice", "go", *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=1500)
            if done.returncode:
                raise Skip(f"Hydra cannot be built: go {arguments[0]}: {done.stderr.strip()[-300:]}")
            return done.stdout

        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(json.loads(go("mod", "download", "-json", module))["Dir"], source)
        subprocess.run(["chmod", "-R", "u+w", source], check=True)
        go("mod", "edit", "-dropreplace", "github.com/ory/hydra-client-go/v2", cwd=source)
        # Under another name until it is whole.
        unfinished = binary.with_suffix(".new")
        go("build", "-tags", "sqlite,sqlite_omit_load_extension,sqlite_json1", "-o", str(unfinished), ".", cwd=source)
        unfinished.rename(binary)
        shutil.rmtree(source, ignore_errors=True)
        return binary


class Place(Deployment):
    """A Hydra with one client, the app where people log in and agree, and Evergate. A user's password is their name."""

    token_path, revocation_path = "/oauth2/token", "/oauth2/revoke"

    def __init__(self, world, replicas=1, client=None, settings=None, hook=False, introspects=False, life=LIFE):
        public, self.admin_port = world.port(), world.port()
        super().__init__(world, public)
        self.passwords, self.groups = 0, {}
        self.pages = f"http://127.0.0.1:{serve(world, self._answer).server_port}"
        config = {
            "urls": {"self": {"issuer": self.line.url}, **{page: f"{self.pages}/{page}" for page in ("login", "consent", "logout")}},
            "ttl": {"access_token": f"{life}s", "id_token": f"{life}s"},
            "oauth2": {"grant": {"refresh_token": {"rotation_grace_period": "0s"}}},
        }
        if hook:
            # So that a renewal can bring other groups than the login did.
            config["oauth2"]["refresh_token_hook"] = f"{self.pages}/hook"
        hydra = world.shared
        hydra.serve(world, public, self.admin_port, hydra.world.postgres(hydra.database), config)
        self.admin("POST", "/clients", {
            "client_id": "evergate", "client_secret": SECRET, "scope": "openid profile email offline_access",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "redirect_uris": [f"{self.url}/oauth2/callback"], "post_logout_redirect_uris": [f"{self.url}/oauth2/signed_out"],
            "backchannel_logout_uri": f"{self.url}/oauth2/backchannel_logout", "backchannel_logout_session_required": True,
            "token_endpoint_auth_method": "client_secret_basic", **(client or {}),
        })
        asks = {"OIDC_INTROSPECTION_URL": f"http://127.0.0.1:{self.admin_port}/admin/oauth2/introspect"} if introspects else {}
        self.start(replicas, {
            "OIDC_ISSUER_URL": self.line.url, "OIDC_CLIENT_ID": "evergate", "OIDC_CLIENT_SECRET": SECRET,
            "OIDC_GROUP_FIELD": "groups", "PG_CONNECTION_URL": hydra.world.postgres(), **asks, **(settings or {}),
        })

    def admin(self, method, path, body=None):
        url, headers = f"http://127.0.0.1:{self.admin_port}/admin{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def _claims(self, name):
        groups = self.groups.setdefault(name, ["staff"])
        return {"email": f"{name}@example.com", "email_verified": True, "preferred_username": name, "groups": groups}

    def _answer(self, handler, body):
        """Where people log in, agree and log out: all that Hydra leaves to others."""
        parts = urllib.parse.urlsplit(handler.path)
        said = dict(urllib.parse.parse_qsl(parts.query)) | dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
        page = parts.path.strip("/")
        if page == "hook":
            name = json.loads(body)["session"]["id_token"]["subject"]
            return handler.reply(200, json.dumps({"session": {"id_token": self._claims(name)}}).encode())
        challenge = said[f"{page}_challenge"]
        request = f"/oauth2/auth/requests/{page}"
        asked = self.admin("GET", f"{request}?{page}_challenge={challenge}")
        if page == "login" and not asked["skip"] and handler.command != "POST":
            form = '<form method="post"><input name="username"><input name="password" type="password"><input type="hidden" ' \
                f'name="login_challenge" value="{html.escape(challenge)}"><button>Log in</button></form>'
            return handler.reply(200, form.encode(), [("Content-Type", "text/html")])
        self.passwords += handler.command == "POST"
        answers = {
            "login": lambda: {"subject": asked["subject"] or said["username"], "remember": True, "remember_for": 3600},
            "consent": lambda: {
                "grant_scope": asked["requested_scope"], "remember": True, "remember_for": 3600,
                "session": {"id_token": self._claims(asked["subject"])},
            },
            "logout": lambda: {},
        }
        accepted = self.admin("PUT", f"{request}/accept?{page}_challenge={challenge}", answers[page]())
        return handler.reply(302, b"", [("Location", accepted["redirect_to"])])

    def replace_key(self):
        """Another key signs from now on."""
        self.admin("POST", "/keys/hydra.openid.id-token", {"alg": "RS256", "use": "sig", "kid": f"key-{time.time_ns()}"})

    def back(self, browser, at=None, deadline=20):
        """A page view that is served fresh in the end, seen by nobody on its way but by the provider."""
        last = None

        def served():
            nonlocal last
            last = browser.visit(self.url + "/", at)
            assert not self.asks_for_password(last), f"a password is asked for: {last}"
            return last.is_fresh()

        try:
            eventually("the page is served fresh", served, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last answer: {last}") from None

    def typed(self):
        return self.passwords

    def nobody_was_hurt(self, logins=1):
        super().nobody_was_hurt(logins)
        refused = [(call["status"], call["answer"].get("error")) for call in self.renewals() if call["status"] not in (200, None)]
        assert not refused, f"Hydra refused renewals: {refused}"


def a_login_leads_to_the_page_that_was_asked_for_and_is_renewed(world):
    place = Place(world)
    browser = Browser()
    page = place.type_password(browser, browser.visit(place.url + "/deep/page?x=1"))
    assert page.is_apps() and page.url == place.url + "/deep/page?x=1", str(page)
    headers = page.json()["headers"]
    told = {name: headers.get(f"x-forwarded-{name}") for name in ("user", "email", "preferred-username", "groups")}
    assert told == {"user": "ann", "email": "ann@example.com", "preferred-username": "ann", "groups": "staff"}, told
    place.expire()
    place.fresh(browser)
    place.nobody_was_hurt()


def three_expiries_of_32_requests_over_two_replicas_are_one_renewal_each(world):
    place = Place(world, replicas=2)
    browser = place.log_in()
    for expiry in (1, 2, 3):
        place.expire()
        answers = together(32, lambda index: browser.fetch(place.url + "/", place.replicas[index % 2]))
        others = [str(answer) for answer in answers if not isinstance(answer, Answer) or not answer.is_fresh()]
        assert not others, f"expiry {expiry}: {len(others)} of 32 were not served fresh: {others[0]}"
        renewals = len([call for call in place.renewals() if call["status"] == 200])
        assert renewals == expiry, f"after {expiry} expiries there were {renewals} renewals"
    place.nobody_was_hurt()


def a_replica_that_dies_in_the_first_renewal_of_all_leads_nobody_to_present_a_spent_token(world):
    place = Place(world, replicas=2)
    browser = place.log_in()
    for replica in place.replicas:
        # The first time nobody has seen yet that Hydra rotates; the second replica has renewed nothing itself.
        place.expire()
        held = place.line.fault("late", place.token_path, times=1)
        behind(lambda: browser.fetch(place.url + "/", replica))
        eventually("the provider has answered", lambda: held.met, 20)
        replica.kill()
        held.release(drop=True)
        replica.start()
        place.back(browser, replica)
    place.nobody_was_hurt()


def replicas_that_are_killed_at_any_moment_of_renewals_cost_nobody_a_login(world):
    place, dice = Place(world, replicas=2), random.Random(1)
    users = [place.log_in(name=f"user{number}") for number in range(6)]
    for turn in range(5):
        place.expire()
        victim = place.replicas[turn % 2]
        for number, browser in enumerate(users):
            behind(lambda browser=browser, number=number: browser.fetch(place.url + "/", place.replicas[(number + turn) % 2]))
        # From before the first intent to after the last save.
        time.sleep(dice.uniform(0, 0.25))
        victim.kill()
        victim.start()
        for number, browser in enumerate(users):
            place.back(browser, place.replicas[number % 2], 30)
        assert not place.line.spent(), f"turn {turn + 1}: a spent refresh token was presented"
    place.nobody_was_hurt(logins=len(users))


def a_lost_answer_costs_nobody_a_login(world):
    costs_nobody_a_login(Place(world), "lose")


def a_502_of_something_in_between_costs_nobody_a_login(world):
    costs_nobody_a_login(Place(world), "gateway")


def costs_nobody_a_login(place, kind):
    ann, bob = place.log_in(), place.log_in(name="bob")
    for _ in range(2):
        place.expire()
        fault = place.line.fault(kind, place.token_path, times=1)
        ann.fetch(place.url + "/")
        assert fault.met == 1, "her renewal did not meet the fault"
        # His shows that the provider is well, so that she can be sent to it.
        place.fresh(bob)
        place.back(ann)
    place.nobody_was_hurt(logins=2)


def a_token_that_hydra_calls_active_when_it_is_asked_is_renewed(world):
    place = Place(world, introspects=True)
    browser = place.log_in()
    for kind in ("gateway", "cut"):
        place.expire()
        fault = place.line.fault(kind, place.token_path, times=1)
        begun = time.monotonic()
        place.fresh(browser, deadline=10)
        took = time.monotonic() - begun
        assert fault.met == 1 and took < SETTLED + 3, f"{kind}: met {fault.met} times, renewed after {took:.1f} s"
    assert place.passes() == 1, "a grant whose token had not been spent was replaced by another login"
    place.expire()
    lost = place.line.fault("lose", place.token_path, times=1)
    browser.fetch(place.url + "/")
    place.back(browser)
    assert lost.met == 1, "no answer was lost"
    place.nobody_was_hurt()


def a_client_secret_is_rotated_and_nobody_notices(world):
    place = Place(world, settings={"OIDC_CLIENT_SECRET": OTHER_SECRET, "OIDC_CLIENT_SECRET_PREVIOUS": SECRET})
    browser = place.log_in()
    place.admin("PATCH", "/clients/evergate", [{"op": "replace", "path": "/client_secret", "value": OTHER_SECRET}])
    place.expire()
    place.fresh(browser, deadline=5)
    place.log_in(name="bob")
    place.admin("PATCH", "/clients/evergate", [{"op": "replace", "path": "/client_secret", "value": SECRET}])
    browser.visit(place.url + "/oauth2/sign_out", referrer=place.url + "/")
    eventually("the refresh token is revoked", lambda: 200 in [call["status"] for call in place.line.calls(place.revocation_path)], 10)


def a_logout_at_hydra_ends_that_persons_session_within_seconds(world):
    place = Place(world, replicas=2)
    ann, bob = place.log_in(), place.log_in(name="bob")
    page = ann.visit(place.line.url + "/oauth2/sessions/logout")
    assert page.status < 500, str(page)
    left = lambda browser: [browser.fetch(place.url + "/", replica).status for replica in place.replicas]
    eventually("she is out at both replicas", lambda: left(ann) == [401, 401], 10)
    assert left(bob) == [200, 200], "somebody else is out, too"
    place.told("logged out at the provider", name="ann")


def a_logout_here_is_a_logout_at_hydra(world):
    place = Place(world)
    browser = place.log_in()
    page = browser.visit(place.url + "/oauth2/sign_out", referrer=place.url + "/")
    assert page.status == 200 and page.url.startswith(place.url + "/oauth2/signed_out"), str(page)
    page = browser.visit(place.url + "/")
    assert place.asks_for_password(page), f"somebody is logged in: {page}"


def two_key_rotations_hinder_neither_renewals_nor_logins(world):
    # User info would bring the groups even if no ID token could be verified.
    place = Place(world, settings={"OIDC_IGNORE_USERINFO": "true"}, hook=True)
    browser = place.log_in()
    for turn in (1, 2):
        place.replace_key()
        place.groups["ann"] = [f"turn-{turn}"]
        place.expire()
        # The refreshed ID token names the login's key and is signed by the new one. Whatever a renewal makes of it, logins have
        # their own look at the keys.
        assert browser.fetch(place.url + "/").is_apps()
        place.log_in(name=f"bob{turn}")
        deadline = 15 if turn == 1 else VERIFIED_AGAIN
        place.fresh(browser, deadline=deadline, then=lambda page: page.json()["headers"]["x-forwarded-groups"] == f"turn-{turn}")
    place.nobody_was_hurt(logins=3)


def hydras_explanation_of_a_wrong_client_authentication_is_in_the_log_and_on_no_page(world):
    place = Place(world, client={"token_endpoint_auth_method": "client_secret_post"})
    browser = Browser()
    page = place.type_password(browser, browser.visit(place.url + "/"))
    words = "client_secret_post"
    assert page.status >= 400 and words not in page.text, str(page)
    eventually("the log has the explanation", lambda: place.replicas[0].said("a login failed", words, "token_endpoint_auth_method"), 3)


if __name__ == "__main__":
    run(cases_of(globals()), Hydra)
