#!/usr/bin/env python3
"""Evergate in front of Keycloak 26 with strict rotation: refresh tokens are good for one use, and events count renewals.

Needs Java 17, unzip, Postgres, and once Maven, which fetches Keycloak. `keycloak.py secret` runs the cases so named;
INTEROP_KEYCLOAK is the port of a Keycloak that runs already, with the administrator admin, admin.
"""

import base64
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from deployment import SETTLED, VERIFIED_AGAIN, Deployment
from world import CACHE, Answer, Browser, Skip, answers, behind, cases_of, eventually, need, run, together

VERSION = "26.7.3"
SECRET, OTHER_SECRET = "the-first-secret-of-this-client-0001", "the-second-secret-of-this-client-0002"
# Access tokens are so short that their ends can be waited for.
LIFE = 6


class Keycloak:
    """The server, in memory. It believes the host that it is asked by, so each line to it is an issuer of its own."""

    def __init__(self, world):
        self.world, self.port = world, int(os.environ.get("INTEROP_KEYCLOAK") or world.port())
        if os.environ.get("INTEROP_KEYCLOAK"):
            return
        need("java", "psql")
        own = world.directory / "keycloak"
        shutil.copytree(self.built(), own)
        env = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin",
            "KC_HTTP_MANAGEMENT_PORT": str(world.port()),
            "JAVA_OPTS_APPEND": "-Xmx900m -Djgroups.bind_addr=127.0.0.1",
        }
        listen = ["--http-enabled=true", f"--http-port={self.port}", "--http-host=127.0.0.1", "--hostname-strict=false"]
        self.process = world.spawn("keycloak-server", ["nice", "-n", "5", own / "bin" / "kc.sh", "start", "--optimized", *listen], env)

        def ready():
            assert self.process.alive(), f"Keycloak ended: {self.process.text()[-1000:]}"
            return answers(f"http://127.0.0.1:{self.port}/realms/master")

        eventually("Keycloak answers", ready, 600, 0.5)

    @staticmethod
    def built():
        """The distribution, built for a database in memory, which takes as long as a start and is done once."""
        built, archive = CACHE / f"keycloak-{VERSION}", CACHE / f"keycloak-quarkus-dist-{VERSION}.zip"
        if built.exists():
            return built
        need("unzip")
        CACHE.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            need("mvn")
            artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
            fetched = subprocess.run(["nice", "mvn", "-q", "dependency:copy", artifact, f"-DoutputDirectory={CACHE}"], timeout=900)
            if fetched.returncode or not archive.exists():
                raise Skip(f"Maven could not fetch Keycloak {VERSION}")
        # Under another name until it is whole.
        with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
            subprocess.run(["unzip", "-q", archive, "-d", unfinished], check=True, timeout=300)
            place = pathlib.Path(unfinished) / built.name
            build = ["nice", place / "bin" / "kc.sh", "build", "--db=dev-mem", "--cache=local"]
            subprocess.run(build, check=True, capture_output=True, timeout=600)
            place.rename(built)
        return built


class Realm(Deployment):
    """A realm with one client and the user Ann."""

    def __init__(self, world, replicas=1, realm=None, client=None, settings=None):
        super().__init__(world, world.shared.port)
        self._token, self._token_at = None, 0.0
        self.name = f"app-{self.port}"
        self.path = f"/realms/{self.name}"
        own = f"{self.path}/protocol/openid-connect"
        self.token_path, self.introspection_path, self.revocation_path = f"{own}/token", f"{own}/token/introspect", f"{own}/revoke"
        self.form_path = f"{self.path}/login-actions/authenticate"
        attributes = {
            "post.logout.redirect.uris": f"{self.url}/oauth2/signed_out",
            "backchannel.logout.url": f"{self.url}/oauth2/backchannel_logout",
            "backchannel.logout.session.required": "true",
            **(client or {}),
        }
        groups = {"claim.name": "groups", "full.path": "false", "id.token.claim": "true", "userinfo.token.claim": "true"}
        mapper = {"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper", "config": groups}
        ann = {
            "username": "ann", "email": "ann@example.com", "emailVerified": True, "firstName": "Ann", "lastName": "Example",
            "enabled": True, "groups": ["/staff"], "credentials": [{"type": "password", "value": "ann", "temporary": False}],
        }
        self.admin("POST", "", {
            "realm": self.name, "enabled": True, "sslRequired": "none", "accessTokenLifespan": LIFE,
            "revokeRefreshToken": True, "refreshTokenMaxReuse": 0, "eventsEnabled": True,
            "enabledEventTypes": ["LOGIN", "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "LOGOUT"],
            "groups": [{"name": "staff"}, {"name": "crew"}], "users": [ann],
            "clients": [{
                "clientId": "evergate", "secret": SECRET, "redirectUris": [f"{self.url}/oauth2/callback"],
                "publicClient": False, "standardFlowEnabled": True, "protocolMappers": [mapper], "attributes": attributes,
            }],
            **(realm or {}),
        }, root=True)
        self.client_id = self.admin("GET", "/clients?clientId=evergate")[0]["id"]
        self.ann = self.admin("GET", "/users?username=ann")[0]["id"]
        self.start(replicas, {
            "OIDC_ISSUER_URL": self.line.url + self.path, "OIDC_CLIENT_ID": "evergate", "OIDC_CLIENT_SECRET": SECRET,
            "OIDC_GROUP_FIELD": "groups", "PG_CONNECTION_URL": world.shared.world.postgres(), **(settings or {}),
        })

    def admin(self, method, path, body=None, root=False):
        """The admin REST API, by this line, so that what it makes Keycloak send names this issuer."""
        if time.monotonic() - self._token_at > 30 or not self._token:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
            token = f"{self.line.url}/realms/master/protocol/openid-connect/token"
            with urllib.request.urlopen(token, urllib.parse.urlencode(form).encode(), timeout=60) as answer:
                self._token, self._token_at = json.load(answer)["access_token"], time.monotonic()
        url = f"{self.line.url}/admin/realms" + ("" if root else f"/{self.name}{path}")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def change(self, path, **members):
        """Reads a thing, sets members (those of `attributes` and `config` beside what is there), and writes it."""
        thing = self.admin("GET", path)
        for name, value in members.items():
            thing[name] = {**thing[name], **value} if isinstance(value, dict) else value
        self.admin("PUT", path, thing)

    def change_client(self, **members):
        self.change(f"/clients/{self.client_id}", **members)

    def change_user(self, **members):
        self.change(f"/users/{self.ann}", **members)

    def put_into(self, group):
        wanted = next(found["id"] for found in self.admin("GET", "/groups") if found["name"] == group)
        self.admin("PUT", f"/users/{self.ann}/groups/{wanted}")

    def replace_key(self, remove_old=False):
        """A new RSA key signs from now on; the old one is disabled, or gone."""
        providers = self.admin("GET", "/components?type=org.keycloak.keys.KeyProvider")
        old = [found for found in providers if found["providerId"] == "rsa-generated"]
        self.admin("POST", "/components", {
            "name": f"rsa-{len(old) + 1}", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [str(200 + len(old))], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]},
        })
        for found in old:
            if remove_old:
                self.admin("DELETE", f"/components/{found['id']}")
            else:
                self.change(f"/components/{found['id']}", config={"enabled": ["false"], "active": ["false"]})

    def events(self, kind):
        return self.admin("GET", f"/events?type={kind}&max=1000")

    def refused(self):
        """The renewals that Keycloak refused, and why."""
        errors = [(event["error"], event.get("details", {}).get("reason")) for event in self.events("REFRESH_TOKEN_ERROR")]
        # A secret that is refused says nothing of the token.
        return [error for error in errors if error[0] != "invalid_client_credentials"]

    def nobody_was_hurt(self, logins=1):
        super().nobody_was_hurt(logins)
        assert not self.refused(), f"Keycloak refused renewals: {self.refused()}"


def a_login_by_keycloaks_form_leads_to_the_page_that_was_asked_for_with_the_users_groups(world):
    realm = Realm(world)
    browser = Browser()
    page = realm.type_password(browser, browser.visit(realm.url + "/deep/page?x=1"))
    assert page.is_apps() and page.url == realm.url + "/deep/page?x=1", str(page)
    headers = page.json()["headers"]
    told = {name: headers.get(f"x-forwarded-{name}") for name in ("user", "email", "preferred-username", "groups")}
    assert told == {"user": realm.ann, "email": "ann@example.com", "preferred-username": "ann", "groups": "staff"}, told
    realm.put_into("crew")
    realm.expire()
    realm.fresh(browser, then=lambda page: sorted(page.json()["headers"]["x-forwarded-groups"].split(",")) == ["crew", "staff"])


def three_expiries_of_32_requests_over_two_replicas_are_one_renewal_each(world):
    realm = Realm(world, replicas=2)
    browser = realm.log_in()
    for expiry in (1, 2, 3):
        realm.expire()
        answers = together(32, lambda index: browser.fetch(realm.url + "/", realm.replicas[index % 2]))
        others = [str(answer) for answer in answers if not isinstance(answer, Answer) or not answer.is_fresh()]
        assert not others, f"expiry {expiry}: {len(others)} of 32 were not served fresh: {others[0]}"
        eventually("the renewal is among the events", lambda: len(realm.events("REFRESH_TOKEN")) >= expiry, 5)
        renewals = len(realm.events("REFRESH_TOKEN"))
        assert renewals == expiry, f"after {expiry} expiries there were {renewals} renewals"
    assert not realm.introspected(), "the token of a healthy grant was introspected"
    realm.nobody_was_hurt()


def no_token_that_is_nobodys_is_presented_while_the_provider_is_healthy(world):
    realm = Realm(world)
    browser = realm.log_in()
    for _ in range(2):
        realm.expire()
        realm.fresh(browser)
        realm.replicas[0].restart()
    realm.expire()
    realm.fresh(browser)
    realm.nobody_was_hurt()


def replicas_that_are_killed_between_and_during_renewals_cost_nobody_a_login(world):
    realm = Realm(world, replicas=2)
    browser = realm.log_in()
    first, second = realm.replicas
    # Between renewals: what a dead replica had learnt is in the store.
    for replica in (first, second):
        realm.expire()
        realm.fresh(browser, replica)
        replica.kill()
        replica.start()
    # While the provider's answer is on its way: the token is spent, and nobody knows its successor.
    realm.expire()
    held = realm.line.fault("late", realm.token_path, times=1)
    behind(lambda: browser.fetch(realm.url + "/", first))
    eventually("the provider has answered", lambda: held.met, 20)
    first.kill()
    held.release(drop=True)
    # Nobody knows when a killed replica's call has ended, before it must have.
    eventually("the page is back without a login", lambda: browser.visit(realm.url + "/", second).is_fresh(), 60)
    realm.nobody_was_hurt()
    first.start()
    # Before the provider has it: the token is as good as before, whatever is known of the provider's habits.
    realm.expire()
    realm.fresh(browser, first)
    realm.expire()
    passes = realm.passes()
    held = realm.line.fault("early", realm.token_path, times=1)
    behind(lambda: browser.fetch(realm.url + "/", second))
    eventually("the provider is about to be asked", lambda: held.met, 20)
    second.kill()
    held.release(drop=True)
    realm.fresh(browser, first, 60)
    assert realm.passes() == passes, "a grant whose token had not been spent was replaced by another login"
    second.start()
    realm.expire()
    realm.fresh(browser, second)
    realm.nobody_was_hurt()


def a_lost_answer_is_followed_by_a_question_and_a_token_that_is_still_active_is_renewed(world):
    # Keycloak leaves the token as it is here, and nobody here knows that before the first renewal.
    realm = Realm(world, realm={"revokeRefreshToken": False})
    browser = realm.log_in()
    realm.expire()
    lost = realm.line.fault("lose", realm.token_path, times=1)
    begun = time.monotonic()
    realm.fresh(browser, deadline=10)
    took = time.monotonic() - begun
    assert lost.met == 1 and took < SETTLED + 3, f"{lost.met} answers were lost, and the renewal took {took:.1f} s"
    assert realm.introspected() == [True], f"introspection was asked and answered {realm.introspected()}"
    assert realm.passes() == 1 and not realm.refused(), f"{realm.passes()} passes, Keycloak refused {realm.refused()}"


def a_renewal_that_never_reached_the_provider_is_repeated(world):
    realm = Realm(world)
    browser = realm.log_in()
    for fault in ("gateway", "cut"):
        realm.expire()
        met = realm.line.fault(fault, realm.token_path, times=1)
        asked = len(realm.introspected())
        begun = time.monotonic()
        realm.fresh(browser, deadline=10)
        took = time.monotonic() - begun
        assert met.met == 1 and took < SETTLED + 3, f"{fault}: met {met.met} times, renewed after {took:.1f} s"
        answers = realm.introspected()[asked:]
        assert answers == [True], f"{fault}: introspection was asked and answered {answers}"
    assert realm.passes() == 1, "a grant whose token had not been spent was replaced by another login"
    realm.nobody_was_hurt()


def a_lost_answer_that_spent_the_token_ends_in_a_login_that_nobody_sees(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.expire()
    realm.fresh(browser)
    realm.expire()
    lost = realm.line.fault("lose", realm.token_path, times=1)
    eventually("an answer is lost", lambda: browser.visit(realm.url + "/").is_apps() and lost.met, 10)
    eventually("its identity is fresh", lambda: browser.visit(realm.url + "/").is_fresh(), 20)
    assert realm.introspected() == [False], f"introspection was asked and answered {realm.introspected()}"
    realm.nobody_was_hurt()


def a_client_secret_is_rotated_in_either_order_and_nobody_notices(world):
    # The new one is set here first, and Keycloak has the old one.
    realm = Realm(world, settings={"OIDC_CLIENT_SECRET": OTHER_SECRET, "OIDC_CLIENT_SECRET_PREVIOUS": SECRET})
    browser = realm.log_in()
    realm.expire()
    realm.fresh(browser)
    realm.change_client(secret=OTHER_SECRET)
    realm.expire()
    realm.fresh(browser, deadline=5)
    realm.log_in()
    # And back, while a question is all that can tell what became of a token.
    realm.expire()
    held = realm.line.fault("early", realm.token_path, times=1)
    behind(lambda: browser.fetch(realm.url + "/"))
    eventually("the provider is about to be asked", lambda: held.met, 20)
    realm.change_client(secret=SECRET)
    held.release(drop=True)
    realm.fresh(browser, deadline=10)
    asked = [call["status"] for call in realm.line.calls(realm.introspection_path)]
    assert asked and asked[-1] == 200, f"introspection was answered {asked}"
    # A revocation is a call of ours, too.
    realm.change_client(secret=OTHER_SECRET)
    browser.visit(realm.url + "/oauth2/sign_out", referrer=realm.url + "/")
    revoked = lambda: [call["status"] for call in realm.line.calls(realm.revocation_path)]
    eventually("the refresh token is revoked", lambda: 200 in revoked(), 10)
    realm.nobody_was_hurt(logins=2)


def a_corrected_client_secret_is_tried_at_once_after_a_restart(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.change_client(secret=OTHER_SECRET)
    eventually("a session lives on within the grace", lambda: browser.fetch(realm.url + "/").is_stale(), 3 * LIFE)
    realm.replicas[0].restart(OIDC_CLIENT_SECRET=OTHER_SECRET)
    realm.fresh(browser, deadline=5)
    realm.nobody_was_hurt()


def a_logout_at_keycloak_ends_that_session_alone_within_seconds(world):
    realm = Realm(world, replicas=2)
    here, there = realm.log_in(), realm.log_in()
    sessions = realm.admin("GET", f"/users/{realm.ann}/sessions")
    assert len(sessions) == 2, sessions
    realm.admin("DELETE", f"/sessions/{min(sessions, key=lambda found: (found['start'], found['id']))['id']}")
    left = lambda: [browser.fetch(realm.url + "/", at).status for browser in (here, there) for at in realm.replicas]
    eventually("one of the two is out at both replicas", lambda: sorted(left()) == [200, 200, 401, 401], 10)
    realm.admin("POST", f"/users/{realm.ann}/logout")
    eventually("the other is out, too", lambda: left() == [401] * 4, 10)
    realm.told("logged out at the provider")


def a_user_who_is_disabled_just_after_the_login_sees_the_page_of_somebody_who_may_not_enter(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.change_user(enabled=False)
    realm.expire()
    eventually("the grant has ended", lambda: browser.fetch(realm.url + "/").status == 401, 15)
    page = browser.visit(realm.url + "/")
    assert page.status == 403 and "No access" in page.text, str(page)
    userinfo = browser.fetch(realm.url + "/oauth2/userinfo")
    assert userinfo.status == 401, f"user info judges as requests are judged: {userinfo}"
    why = realm.replicas[0].cli("sessions", "why", "ann@example.com")
    assert "is logged in" not in why, why
    realm.told("invalid_grant", realm.renewals()[0]["answer"]["error_description"])


def an_address_that_is_no_longer_verified_is_403_and_verified_again_200_without_a_login(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.change_user(emailVerified=False)
    realm.expire()
    denied = eventually("requests are refused", lambda: (found := browser.fetch(realm.url + "/")).status != 200 and found, 10)
    assert (denied.status, denied.headers.get("Evergate-Response")) == (403, "access_denied"), str(denied)
    before = len(realm.renewals())
    realm.expire()
    denied = browser.fetch(realm.url + "/")
    assert denied.status == 403, str(denied)
    eventually("the grant is renewed all the same", lambda: len(realm.renewals()) > before, 5)
    assert not realm.line.calls(realm.revocation_path), "the refresh token was revoked"
    why = realm.replicas[0].cli("sessions", "why", "ann@example.com")
    assert "not this user's" not in why, why
    realm.change_user(emailVerified=True)
    realm.expire()
    realm.fresh(browser)
    realm.nobody_was_hurt()


def a_new_signing_key_at_keycloak_is_found_by_renewals_and_by_logins(world):
    realm = Realm(world, replicas=2)
    browser = realm.log_in()
    realm.replace_key()
    realm.put_into("crew")
    realm.expire()
    # The group shows that the identity was verified by the new key.
    realm.fresh(browser, realm.replicas[0], then=lambda page: "crew" in page.json()["headers"]["x-forwarded-groups"])
    realm.log_in(realm.replicas[1])
    realm.replace_key(remove_old=True)
    realm.log_in(realm.replicas[0])
    realm.expire()
    realm.fresh(browser, realm.replicas[1])
    realm.nobody_was_hurt(logins=3)


def id_tokens_that_turn_to_hs256_and_back_end_no_grant(world):
    another_algorithm_and_back(Realm(world), "HS256")


def id_tokens_that_turn_to_es256_and_back_end_no_grant(world):
    another_algorithm_and_back(Realm(world), "ES256")


def another_algorithm_and_back(realm, algorithm):
    browser = realm.log_in()
    realm.change_client(attributes={"id.token.signed.response.alg": algorithm})
    before = len(realm.renewals())
    realm.expire()
    for _ in range(2):
        answer = browser.fetch(realm.url + "/")
        assert answer.is_apps(), f"stale or fresh, requests are served: {answer}"
        realm.expire()
    eventually(f"a renewal met {algorithm}", lambda: len(realm.renewals()) > before, 5)
    assert not realm.line.calls(realm.revocation_path), "the refresh token was revoked"
    realm.change_client(attributes={"id.token.signed.response.alg": ""})
    realm.put_into("crew")
    # What could not be verified is renewed again within a minute, and the group shows that it was.
    realm.fresh(browser, deadline=VERIFIED_AGAIN, then=lambda page: "crew" in page.json()["headers"]["x-forwarded-groups"])
    realm.nobody_was_hurt()


def a_logout_here_is_a_logout_at_keycloak(world):
    realm = Realm(world)
    browser = realm.log_in()
    logged_out_at_keycloak(realm, browser)
    asked = realm.line.calls(f"{realm.path}/protocol/openid-connect/logout/logout-confirm")
    assert not asked, "Keycloak had to ask although it was told who it is"


def a_logout_does_not_end_on_keycloaks_error_page_when_the_id_tokens_key_is_gone(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.replace_key(remove_old=True)
    # Somebody else's login has shown the new key.
    realm.log_in()
    logged_out_at_keycloak(realm, browser)


def a_logout_does_not_end_there_even_if_nobody_here_has_noticed_that_the_key_is_gone(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.replace_key(remove_old=True)
    logged_out_at_keycloak(realm, browser)


def logged_out_at_keycloak(realm, browser):
    before = len(realm.admin("GET", f"/users/{realm.ann}/sessions"))
    page = browser.visit(realm.url + "/oauth2/sign_out", referrer=realm.url + "/")
    assert page.status == 200, f"an error page of the provider: {page}"
    if any("confirmLogout" in form["buttons"] for form in page.forms()):
        # Without the hint Keycloak asks whoever logs out.
        page = browser.submit(page, button="confirmLogout")
    assert page.status == 200 and page.url.startswith(realm.url + "/oauth2/signed_out"), str(page)
    eventually("Keycloak knows of no session", lambda: len(realm.admin("GET", f"/users/{realm.ann}/sessions")) < before, 10)
    page = browser.visit(realm.url + "/")
    assert realm.asks_for_password(page), f"somebody is logged in: {page}"


def what_keycloak_says_of_a_refused_login_is_in_the_log_and_on_no_page(world):
    realm = Realm(world)
    refusals = [
        ({"standardFlowEnabled": False}, "Standard flow is disabled"),
        ({"standardFlowEnabled": True, "attributes": {"require.pushed.authorization.requests": "true"}},
         "Pushed Authorization Request is only allowed"),
        ({"attributes": {"require.pushed.authorization.requests": "false", "dpop.bound.access.tokens": "true"}}, "DPoP proof is missing"),
    ]
    for members, words in refusals:
        realm.change_client(**members)
        browser = Browser()
        page = browser.visit(realm.url + "/")
        if realm.asks_for_password(page):
            page = realm.type_password(browser, page)
        assert page.status >= 400 and page.url.startswith(realm.url), f"{words}: {page}"
        assert words not in page.text, f"the provider's words are on a page: {page}"
        eventually(f"the log says “{words}”", lambda: realm.replicas[0].said("a login failed", words), 3)


def what_keycloak_says_of_a_refused_renewal_is_in_the_log_and_told_by_why(world):
    realm = Realm(world)
    browser = realm.log_in()
    realm.change_client(attributes={"dpop.bound.access.tokens": "true"})
    realm.expire()
    answer = browser.fetch(realm.url + "/")
    assert answer.is_apps(), f"a client's mistake at the provider ends no session: {answer}"
    words = "DPoP proof is missing"
    eventually(f"the log says “{words}”", lambda: realm.replicas[0].said("failed to renew OIDC token", words), 5)
    realm.told(words)


class Job:
    """A job of the app's, which asks at the unix socket for the token of the session whose request came with this assertion."""

    def __init__(self, path, assertion):
        self.path, self.assertion = path, assertion

    def ask(self, query=""):
        """Status and JSON of the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(self.path)
            lines = [f"GET /oauth2/token{query} HTTP/1.1", "Host: localhost", f"X-Evergate-Assertion: {self.assertion}", "Connection: close"]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, json.loads(answer.read())

    def claims(self, query=""):
        """The claims of the token that it gets."""
        status, answer = self.ask(query)
        assert status == 200, f"{query}: {status} {answer}"
        payload = answer["access_token"].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def a_job_gets_fresh_tokens_and_those_of_another_client_that_keycloak_exchanges_them_for(world):
    path = str(world.directory / "token.sock")
    realm = Realm(world, client={"standard.token.exchange.enabled": "true"}, settings={
        "IDENTITY_ASSERTION": "true", "APP_TOKENS": "true", "APP_TOKEN_ADDRESS": f"unix:{path}", "APP_TOKEN_AUDIENCES": "billing,nowhere",
    })
    realm.admin("POST", "/clients", {"clientId": "billing", "secret": OTHER_SECRET, "publicClient": False})
    audience = {"included.client.audience": "billing", "access.token.claim": "true"}
    mapper = {"name": "billing", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper", "config": audience}
    realm.admin("POST", f"/clients/{realm.client_id}/protocol-mappers/models", mapper)
    browser = realm.log_in()
    job = Job(path, browser.fetch(realm.url + "/").json()["headers"]["x-evergate-assertion"])
    first = job.claims()
    assert (first["sub"], first["azp"]) == (realm.ann, "evergate"), first
    exchanged = job.claims("?audience=billing")
    assert (exchanged["sub"], exchanged["aud"], exchanged["azp"]) == (realm.ann, "billing", "evergate"), exchanged
    assert job.claims("?audience=billing")["jti"] == exchanged["jti"], "it is kept"
    for _ in range(2):
        realm.expire()
        again = job.claims("?audience=billing")
        assert again["aud"] == "billing" and again["exp"] > exchanged["exp"] and again["exp"] > time.time(), again
        assert job.claims()["exp"] > time.time()
        exchanged = again
    for query, refused in [("?audience=nowhere", (400, "invalid_target")), ("?audience=billing&scope=nothing", (400, "invalid_scope"))]:
        status, answer = job.ask(query)
        assert (status, answer["error"]) == refused, f"{query}: {status} {answer}"
    realm.change_client(attributes={"standard.token.exchange.enabled": "false"})
    realm.expire()
    status, answer = job.ask("?audience=billing")
    assert (status, answer["error"]) == (502, "exchange_failed"), f"{status} {answer}"
    words = "Standard token exchange is not enabled"
    eventually(f"the log says “{words}”", lambda: realm.replicas[0].said("could not be exchanged", words), 5)
    assert job.claims()["exp"] > time.time(), "no exchange ends the grant"
    realm.fresh(browser)
    realm.nobody_was_hurt()


if __name__ == "__main__":
    run(cases_of(globals()), Keycloak)
