"""Evergate in front of an app and behind a line to a real provider: what the cases do at every provider."""

import time

from world import Browser, Evergate, FaultLine, Upstream, eventually

# What was asked may still be under way at the provider when its answer is lost, so it is given these seconds before it is asked
# what became of it.
SETTLED = 5
# A renewal that could not be verified is followed by another within a minute.
VERIFIED_AGAIN = 75


class Deployment:
    """A provider says its paths (`token_path`, `form_path`), registers `url`, and calls `start` with Evergate's settings."""

    token_path = form_path = introspection_path = revocation_path = ""

    def __init__(self, world, provider_port):
        self.world, self.port = world, world.port()
        self.url, self.line, self.replicas = f"http://localhost:{self.port}", FaultLine(world, provider_port), []

    def start(self, replicas, settings):
        self.app = Upstream(self.world)
        own = {"ACCESS_URL": self.url, "HTTP_ADDRESS": f"127.0.0.1:{self.port}", "UPSTREAM_URL": self.app.url, "OIDC_TOKEN_TIMEOUT": "5s"}
        first = self.evergate(self.world, {**own, **settings})
        self.replicas = [first, *(first.also() for _ in range(replicas - 1))]

    @staticmethod
    def evergate(*arguments, **more):
        """The first replica."""
        return Evergate(*arguments, **more)

    def renewals(self):
        return self.line.calls(self.token_path, grant_type="refresh_token")

    def passes(self):
        """How often a browser went through the provider, seen or unseen."""
        return len(self.line.calls(self.token_path, grant_type="authorization_code"))

    def introspected(self):
        """What the provider said to each question about a token: whether it is active."""
        return [call["answer"].get("active") for call in self.line.calls(self.introspection_path)]

    @staticmethod
    def asks_for_password(page):
        return any("password" in form["fields"] for form in page.forms())

    def type_password(self, browser, page, at=None, name="ann"):
        assert self.asks_for_password(page), f"the provider does not ask for a password: {page}"
        return browser.submit(page, {"username": name, "password": name}, at=at)

    def log_in(self, at=None, name="ann"):
        """A browser whose user has typed a password, on the app's page."""
        browser = Browser()
        page = self.type_password(browser, browser.visit(self.url + "/", at), at, name)
        assert page.is_apps(), f"the login does not lead to the app: {page}"
        return browser

    def expire(self):
        """Waits until every access token that was given out has expired."""
        calls = [call for call in self.line.calls(self.token_path) if call["status"] == 200]
        end = max(call["at"] + call["answer"]["expires_in"] for call in calls)
        time.sleep(max(0.0, end + 0.3 - time.time()))

    def fresh(self, browser, at=None, deadline=15.0, then=lambda page: True):
        """A script's request that is served with an identity verified just now. Returns the answer."""
        last = None

        def served():
            nonlocal last
            last = browser.fetch(self.url + "/", at)
            return last.is_fresh() and then(last)

        try:
            eventually("a script is served and its identity is fresh", served, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last answer: {last}") from None
        return last

    def told(self, *words, name="ann@example.com"):
        """`evergate sessions why` says these words within seconds; the history is written in the background."""
        said = ""

        def all_said():
            nonlocal said
            said = self.replicas[0].cli("sessions", "why", name)
            return all(word in said for word in words)

        try:
            eventually(f"why says {words}", all_said, 5, 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says: {said}") from None

    def typed(self):
        """How often a password was typed."""
        return len([call for call in self.line.calls(self.form_path) if call["method"] == "POST"])

    def nobody_was_hurt(self, logins=1):
        """No token was presented twice, none that is nobody's, and passwords were typed only so often."""
        given = {call["answer"].get("refresh_token") for call in self.line.calls(self.token_path)}
        spent, nobodys = self.line.spent(), [call for call in self.renewals() if call["form"].get("refresh_token") not in given]
        assert not spent, f"{len(spent)} spent refresh tokens were presented"
        assert self.typed() == logins, f"passwords were typed {self.typed()} times, not {logins}"
        assert not nobodys, f"refresh tokens that are nobody's were presented {len(nobodys)} times to a healthy provider"
