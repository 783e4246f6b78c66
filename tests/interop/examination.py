"""What is tried at every provider, and the record of it: `seen/NAME.json`, of which `table` makes docs/providers/tested.md.

A provider's script is a subclass of `Examined`, and `run(cases_at(ITS_CLASS), ITS_CLASS.install)`. The record is written by the
last case, if all the others have come to their end.
"""

import base64
import contextlib
import functools
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from deployment import Deployment
from world import HERE, Answer, Browser, Skip, binary, eventually, run, together

# Access tokens are so short that their ends can be waited for; `check` and `doctor` see usual ones.
LIFE, USUAL_LIFE = 6, 300
# What `check` finds out about this machine, and what it prints to be registered.
NOT_OF_THE_PROVIDER = {
    "settings", "access URL", "database", "migrations", "announcements", "encryption keys", "upstream", "certificate", "redirect URIs",
    "post-logout URI", "back-channel logout", "login initiation",
}

SEEN = {}


class Shared:
    """What all cases of a script share: a world with a Postgres, and what was installed."""

    def __init__(self, world, installed=None):
        self.world, self.installed = world, installed


class Examined(Deployment):
    """Evergate at one provider with one client and the user ann, whose password is her name.

    `install(world)` returns the `Shared`. `__init__(world, replicas, life)` starts the provider with
    access tokens that live `life` seconds, and calls `start`.
    """

    # As in the table; the version may be an attribute of the object.
    title = version = ""
    # What Evergate has to recognise it as, and by what.
    preset, found_by = "generic", "neither the issuer nor the metadata show a known product"
    client, secret = "evergate", "the-secret-of-this-client-which-is-long-enough"
    # Whether a browser that is known to the provider passes without a page.
    silent = True
    # Whether a browser that logs out comes back, and whether the provider tells of logouts (back-channel logout).
    returns_after_logout = back_channel = True
    # Whether refresh tokens expire with their access tokens.
    renews_only_early = False
    issuer_path = ""
    # The introspection endpoint, where the metadata do not name it.
    introspection_url = ""
    # Who logs in beside ann.
    another = "ann"
    # Settings that this provider needs beyond issuer, client and secret.
    needs = {}

    @property
    def issuer(self):
        return self.line.url + self.issuer_path

    def settings(self):
        return {
            "OIDC_ISSUER_URL": self.issuer, "OIDC_CLIENT_ID": self.client, "OIDC_CLIENT_SECRET": self.secret,
            "PG_CONNECTION_URL": self.world.shared.world.postgres(), **self.needs,
        }

    def consent(self, browser, page, at=None):
        """Agrees, where the provider asks for consent."""
        return page

    def confirm_logout(self, browser, page):
        """Confirms, where the provider asks whether to log out."""
        return page

    def type_password(self, browser, page, at=None, name="ann"):
        return self.consent(browser, super().type_password(browser, page, at, name), at)

    def log_out_there(self, browser):
        """Logs a browser out at the provider, in another tab."""
        return self.confirm_logout(browser, browser.visit(self.metadata()["end_session_endpoint"]))

    @functools.lru_cache(maxsize=1)
    def metadata(self):
        with urllib.request.urlopen(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", timeout=30) as answer:
            return json.load(answer)

    def near_expiry(self):
        """Waits until the newest access token is renewed in the background, and is still good."""
        newest = [call for call in self.line.calls(self.token_path) if call["status"] == 200][-1]
        time.sleep(max(0.0, newest["at"] + 0.8 * newest["answer"]["expires_in"] - time.time()))

    def newest(self):
        """The refresh token that was given out last."""
        given = [call["answer"].get("refresh_token") for call in self.line.calls(self.token_path) if call["status"] == 200]
        return next(token for token in reversed(given) if token)

    def ask(self, url, **form):
        """Status and answer of an endpoint that the client asks with its secret."""
        request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())
        credentials = f"{urllib.parse.quote(self.client)}:{urllib.parse.quote(self.secret)}".encode()
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        with contextlib.suppress(ValueError):
            return status, json.loads(content)
        return status, {}

    def anonymously(self, text):
        """A text without the ports of this run."""
        for port, name in ((self.line.port, "id.example"), (self.port, "app.example")):
            text = re.sub(rf"(127\.0\.0\.1|localhost):{port}\b", name, text)
        return text


def cases_at(provider):
    """The cases of every provider, at this one."""
    def here(case):
        bound = lambda world: case(functools.partial(provider, world))
        bound.__name__ = case.__name__
        return bound

    return [here(case) for case in CASES]


def examine(provider):
    """Runs all cases at a provider."""
    run(cases_at(provider), provider.install)


def a_login_leads_to_the_page_that_was_asked_for(start):
    place = start()
    browser = Browser()
    page = place.type_password(browser, browser.visit(place.url + "/deep/page?x=1"))
    assert page.is_apps() and page.url == place.url + "/deep/page?x=1", str(page)
    assert page.json()["headers"].get("x-forwarded-user"), f"the app is not told of a user: {page}"
    chosen = {line["oidc.setting"]: (line["oidc.value"], line["message"].split(": ", 1)[1])
              for line in place.replicas[0].said("provider setting chosen")}
    preset, reason = chosen["CODER_OIDC_PRESET"]
    assert (preset, reason) == (place.preset, place.found_by), f"the preset is {preset}: {reason}"
    SEEN["provider"], SEEN["version"] = place.title, place.version
    SEEN["needs"] = {f"CODER_{name}": value for name, value in place.needs.items()}
    SEEN["preset"] = {"name": preset, "found_by": reason}
    SEEN["chosen"] = {setting: value for setting, (value, _) in chosen.items() if setting != "CODER_OIDC_PRESET"}
    SEEN["metadata"] = json.loads(place.anonymously(json.dumps(place.metadata())))


def tokens_that_32_requests_over_two_replicas_need_are_renewed_by_one_call(start):
    place = start(replicas=2)
    browser = place.log_in()
    for turn in (1, 2):
        place.near_expiry() if place.renews_only_early else place.expire()
        answers = together(32, lambda index: browser.fetch(place.url + "/", place.replicas[index % 2]))
        others = [str(answer) for answer in answers if not isinstance(answer, Answer) or not answer.is_fresh()]
        assert not others, f"turn {turn}: {len(others)} of 32 were not served fresh: {others[0]}"
        # In the background one is still under way.
        renewals = lambda: [call["status"] for call in place.renewals() if call["status"]]
        eventually(f"there are {turn} renewals", lambda: len(renewals()) >= turn, 5)
        assert renewals() == [200] * turn, f"in turn {turn} the provider has answered renewals with {renewals()}"
    place.nobody_was_hurt()
    SEEN["renewal"] = "before the expiry alone" if place.renews_only_early else "ok"


def a_lost_answer_costs_nobody_a_login(start):
    place = start()
    if not place.silent:
        # Until the grace is over the session is served stale, because a login could ask for something.
        place.replicas[0].restart(OIDC_OUTAGE_GRACE="5s")
    browser, another = place.log_in(), place.log_in(name=place.another)
    place.expire()
    lost = place.line.fault("lose", place.token_path, times=1)
    begun = time.monotonic()
    eventually("an answer is lost", lambda: browser.fetch(place.url + "/") and lost.met, 10)
    # Another session's renewal shows that the provider is well, so that a browser can be sent to it.
    if not place.renews_only_early:
        place.fresh(another)
    last = None

    def is_over():
        nonlocal last
        last = browser.visit(place.url + "/")
        return last.is_fresh() or (not place.silent and place.asks_for_password(last))

    try:
        eventually("the page is served fresh", is_over)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last answer: {last}") from None
    assert place.typed() == 2, f"passwords were typed {place.typed()} times"
    how = "a login" if not last.is_fresh() else "the next renewal" if place.passes() == 2 else "a login that nobody sees"
    SEEN["lost_answer"] = {"followed_by": how, "seconds": round(time.monotonic() - begun)}


def a_logout_here_is_a_logout_at_the_provider(start):
    place = start()
    browser = place.log_in()
    token = place.newest()
    page = browser.visit(place.url + "/oauth2/sign_out", referrer=place.url + "/")
    after = place.confirm_logout(browser, page)
    if place.returns_after_logout:
        assert after.status == 200 and after.url.startswith(place.url + "/oauth2/signed_out"), str(after)
    assert browser.fetch(place.url + "/").status == 401, "the session here has not ended"
    page = browser.visit(place.url + "/")
    assert place.asks_for_password(page), f"somebody is logged in: {page}"
    if place.revocation_path:
        revoked = lambda: [call for call in place.line.calls(place.revocation_path) if call["form"].get("token") == token]
        eventually("the refresh token is revoked", lambda: [call for call in revoked() if call["status"] == 200], 10)
    status, answer = place.ask(place.metadata()["token_endpoint"], grant_type="refresh_token", refresh_token=token)
    after_it = {"status": status, "error": answer.get("error")}
    SEEN["logout"] = {"comes_back": place.returns_after_logout, "refresh_token_after_it": after_it}
    assert status != 200 or not place.revocation_path, "the refresh token is still good"


def a_logout_at_the_provider_ends_the_session_within_seconds(start):
    place = start(replicas=2)
    if not place.back_channel:
        SEEN["back_channel_logout"] = False
        raise Skip("the provider tells nobody of a logout (no back-channel logout)")
    ann = place.log_in()
    page = place.log_out_there(ann)
    assert page.status < 500, str(page)
    left = lambda: [ann.fetch(place.url + "/", replica).status for replica in place.replicas]
    eventually("she is out at both replicas", lambda: left() == [401, 401], 10)
    SEEN["back_channel_logout"] = True


def the_provider_is_asked_what_its_preset_says_of_it(start):
    place = start()
    browser = place.log_in()
    token = place.newest()
    metadata = place.metadata()
    introspect = metadata.get("introspection_endpoint") or place.introspection_url
    active = lambda: place.ask(introspect, token=token, token_type_hint="refresh_token")[1].get("active") if introspect else None
    before = active()
    status, answer = place.ask(metadata["token_endpoint"], grant_type="refresh_token", refresh_token=token)
    assert status == 200, f"a refresh token that nobody used is refused: {status} {answer}"
    rotates = answer.get("refresh_token", token) != token
    SEEN["introspection"] = {"valid": before, "spent": active() if rotates else None} if introspect else None
    status, answer = place.ask(metadata["token_endpoint"], grant_type="refresh_token", refresh_token="nobodys-" + token[8:])
    assert 400 <= status < 600, f"a token that is nobody's is answered with {status}"
    SEEN["unknown_token"] = {"status": status, "error": answer.get("error")}
    SEEN["prompt_none"] = {"stranger": _silently(Browser(), place), "known": _silently(browser, place)}


def _silently(browser, place):
    """What an authorization request with `prompt=none` comes to: "code", an error, or a page and its status."""
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    begun = urllib.parse.urlsplit(Browser().request("GET", place.url + "/", navigation).headers["Location"])
    asked = {**dict(urllib.parse.parse_qsl(begun.query)), "prompt": "none"}
    url = begun._replace(query=urllib.parse.urlencode(asked)).geturl()
    for _ in range(10):
        answer = browser.request("GET", url, navigation)
        if answer.status not in (301, 302, 303, 307, 308) or not answer.headers.get("Location"):
            return f"a page ({answer.status})"
        url = urllib.parse.urljoin(url, answer.headers["Location"])
        if url.startswith(place.url + "/oauth2/callback"):
            said = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
            return said.get("error") or "code"
    return "redirects without end"


def check_has_nothing_to_mend(start):
    place = start(life=USUAL_LIFE)
    found = json.loads(place.replicas[0].cli("check", "--json", deadline=60))
    about = [{name: place.anonymously(finding[name]) for name in ("check", "level", "seen")} for finding in found
             if finding["check"] not in NOT_OF_THE_PROVIDER]
    SEEN["check"] = about
    errors = [f"{finding['check']}: {finding['seen']}" for finding in about if finding["level"] == "error"]
    assert not errors, f"check finds errors: {errors}"


def the_doctor_logs_in_and_finds_that_users_stay_logged_in(start):
    place = start(life=USUAL_LIFE)
    # Then the doctor listens at the redirect URI by itself.
    place.replicas[0].stop()
    report = json.loads(place.anonymously(json.dumps(_doctor(place))))
    SEEN["doctor"] = report
    errors = [f"{finding['topic']}: {finding['text']}" for finding in report["findings"] if finding["level"] == "error"]
    assert not errors, f"the doctor finds errors: {errors}"


def _doctor(place):
    """The report of `evergate doctor`, whose errands a browser runs."""
    replica, browser = place.replicas[0], Browser()
    asked = [binary(), "doctor", "--storm", "--destructive", "--yes", "--json"]
    with open(place.world.directory / "doctor.json", "w+") as report:
        child = subprocess.Popen(asked, env=replica._env(), stdin=subprocess.PIPE, stdout=report, stderr=subprocess.PIPE, text=True)
        place.world.at_end(child.kill)
        errand, said = "", []
        for line in child.stderr:
            said.append(line)
            if not line.startswith("  http"):
                errand = line.strip() or errand
                continue
            page = browser.visit(line.strip())
            if "log out" in errand:
                place.confirm_logout(browser, page)
                child.stdin.write("\n")
                child.stdin.flush()
            elif place.asks_for_password(page):
                page = place.type_password(browser, page)
            else:
                page = place.consent(browser, page)
            assert "log out" in errand or "Done." in page.text, f"{errand} {page}"
        child.wait(30)
        report.seek(0)
        text = report.read()
    assert text, f"the doctor ended with {child.returncode}: {''.join(said)[-1000:]}"
    return json.loads(text)


def what_was_seen_is_written_down(_start):
    missing = {"preset", "renewal", "lost_answer", "logout", "back_channel_logout", "introspection", "check", "doctor"} - set(SEEN)
    if missing:
        raise Skip(f"nothing is known of {', '.join(sorted(missing))}")
    asked = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True, timeout=30)
    SEEN["evergate"], SEEN["tried"] = asked.stdout.split()[-1], time.strftime("%Y-%m-%d", time.gmtime())
    name = re.sub("[^a-z0-9]+", "-", SEEN["provider"].lower()).strip("-")
    (HERE / "seen").mkdir(exist_ok=True)
    (HERE / "seen" / f"{name}.json").write_text(json.dumps(SEEN, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


CASES = [
    a_login_leads_to_the_page_that_was_asked_for,
    tokens_that_32_requests_over_two_replicas_need_are_renewed_by_one_call,
    a_lost_answer_costs_nobody_a_login,
    a_logout_here_is_a_logout_at_the_provider,
    a_logout_at_the_provider_ends_the_session_within_seconds,
    the_provider_is_asked_what_its_preset_says_of_it,
    check_has_nothing_to_mend,
    the_doctor_logs_in_and_finds_that_users_stay_logged_in,
    what_was_seen_is_written_down,
]
