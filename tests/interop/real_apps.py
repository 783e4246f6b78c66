"""What is tried with every real app: Evergate's two replicas and an ingress before it, access tokens of 5 s, and Chromium.

An app's script is a subclass of `App`, and `try_app(ITS_CLASS)`. An app says how it is installed and started, and what a person does
with it: `open` it, `work` with it once more, and see whether it still `remembers` that.
"""

import contextlib
import subprocess
import sys
import time

from ingresses import INGRESSES
from packages import python_packages
from world import HERE, Evergate, FaultLine, Skip, answers, behind, eventually, need, run

PEERS = HERE.parent / "peers"
PLAYWRIGHT = "1.65.2"
CHROMIUM = "/usr/bin/chromium"
# Seconds that an access token lives. Three renewals are waited for.
LIFE, RENEWALS = 5, 3
CLIENT, SECRET = "evergate", "the-secret-of-this-client-which-is-long-enough"


class App:
    """An app that nobody here wrote, which listens at `port`. A page has its user's name as `user`."""

    name = ""
    # Which of `INGRESSES` is before it.
    ingress = ""
    # Settings of `[[route]]`, as TOML, beside the upstream.
    route = ""
    # Whether its own links are navigations.
    navigates = False

    def __init__(self, front):
        self.front, self.world, self.port = front, front.world, front.world.port()

    @staticmethod
    def install():
        """Installs it, or skips the script."""

    def start(self):
        """Starts it and waits until it answers."""
        raise NotImplementedError

    def open(self, page):
        """Opens what is worked with. The page is the app's already, and `page.user` is signed in."""
        raise NotImplementedError

    def work(self, page, number):
        """Does something that the app must answer, as the work of this number since `open`, and waits for the result."""
        raise NotImplementedError

    def return_to(self, page, number):
        """Waits, after a login in the middle of the work, until all `number` works are there again."""
        raise NotImplementedError


class Front:
    """A provider, an app, two replicas of Evergate on one Postgres, and an ingress that terminates TLS."""

    def __init__(self, world, kind):
        self.world, self.host, self.port = world, f"{kind.name}.localhost", world.port()
        self.url = f"https://{self.host}:{self.port}"
        self.provider()
        self.app = kind(self)
        self.app.start()
        ingress = INGRESSES[kind.ingress]
        settings = {
            "ACCESS_URL": self.url, "OIDC_ISSUER_URL": self.line.url, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET,
            # This provider gives refresh tokens only after consent (OIDC Core section 11).
            "OIDC_AUTH_URL_PARAMS": '{"prompt":"consent"}', "PG_CONNECTION_URL": world.postgres(),
            "PROXY_TRUSTED_ORIGINS": "127.0.0.1", "SHUTDOWN_TIMEOUT": "6s", "CONFIG_PATH": self.config(ingress.asks),
            **({"FORWARD_AUTH": "true"} if ingress.asks else {}),
        }
        first = Evergate(world, settings)
        self.replicas = [first, first.also()]
        ingress(self)
        eventually("the ingress answers for both", lambda: self.asked("/oauth2/ping") == 200)

    def provider(self):
        port, own = self.world.port(), f"{self.url}/oauth2"
        self.line = FaultLine(self.world, port)
        self.world.spawn("oidc-provider", [
            "node", PEERS / "oidc-provider.mjs", "--port", port, "--issuer", self.line.url, "--client-secret", SECRET,
            "--access-token-seconds", LIFE, "--redirect-uri", f"{own}/callback", "--post-logout-redirect-uri", f"{own}/signed_out",
        ], stdin=subprocess.PIPE)
        eventually("the provider answers", lambda: answers(f"{self.line.url}/.well-known/openid-configuration"), 60)

    def config(self, is_forward_auth):
        upstream = "" if is_forward_auth else f'upstream = "http://127.0.0.1:{self.app.port}"\n'
        path = self.world.directory / "evergate.toml"
        path.write_text(f'[[route]]\npath = "/"\n{upstream}{self.app.route}\n')
        return path

    def asked(self, path):
        """The status of a page, asked without cookies through the ingress; 0 if nothing answers."""
        asked = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", f"{self.host}:{self.port}:127.0.0.1", self.url + path]
        return int(subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout or 0)

    def renewals(self):
        return len([call for call in self.line.calls("/token", grant_type="refresh_token") if call["status"] == 200])

    def logins(self):
        return len(self.line.calls("/token", grant_type="authorization_code"))


class Visit:
    """A browser of its own with one user, and what went wrong in it."""

    def __init__(self, chromium, front, user):
        self.front, self.context = front, chromium.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 900})
        self.context.set_default_timeout(60_000)
        self.page, self.refusals, self.navigations = self.context.new_page(), [], 0
        self.page.user = user
        self.page.on("response", self._answered)
        self.page.on("request", self._requested)

    def begin(self):
        """Logs the user in and opens the app."""
        self.page.goto(self.front.url, wait_until="domcontentloaded")
        self.log_in()
        self.front.app.open(self.page)
        self.refusals, self.navigations = [], 0

    def _answered(self, response):
        # Evergate's own responses, and the ingress's where Evergate or the app did not answer.
        if response.url.startswith(self.front.url) and response.status >= 400:
            if "evergate-response" in response.headers or response.status >= 500:
                self.refusals.append(f"{response.status} {response.url} ({response.headers.get('evergate-response')})")

    def _requested(self, request):
        if request.is_navigation_request() and request.frame == self.page.main_frame:
            self.navigations += 1

    def log_in(self):
        """Goes by the provider's pages, which ask for a name, for consent, or for nothing."""
        def is_back():
            if self.page.url.startswith(self.front.url):
                return True
            with contextlib.suppress(Exception):
                name = self.page.locator("input[name=login]")
                if name.count():
                    name.fill(self.page.user)
                    self.page.locator("input[name=password]").fill(self.page.user)
                self.page.locator("button[type=submit]").first.click(timeout=5_000)
                self.page.wait_for_load_state("domcontentloaded")
            return False

        eventually("the provider's pages lead back to the app", is_back, 60)
        self.page.wait_for_load_state("domcontentloaded")

    def is_undisturbed(self):
        """Nothing was refused, and the page has stayed where it was."""
        assert not self.refusals, f"Evergate or the ingress refused: {self.refusals[:5]}"
        assert self.front.app.navigates or self.navigations == 0, "the page was left"


def three_renewals_are_not_noticed(world):
    front = world.shared.front
    with world.shared.visit("ann") as visit:
        before, logins, number = front.renewals(), front.logins(), 0
        end = time.monotonic() + 120
        while front.renewals() < before + RENEWALS:
            assert time.monotonic() < end, f"{front.renewals() - before} renewals in 120 s"
            number += 1
            front.app.work(visit.page, number)
        front.app.work(visit.page, number + 1)
        visit.is_undisturbed()
        assert front.logins() == logins, "there was another login"
        print(f"        {number + 1} works, {front.renewals() - before} renewals", flush=True)


def a_deploy_of_both_replicas_is_not_noticed(world):
    front = world.shared.front
    with world.shared.visit("ben") as visit:
        logins, number, done = front.logins(), 0, []

        def deploy():
            for replica in front.replicas:
                replica.restart()
                done.append(replica.name)

        behind(deploy)
        end = time.monotonic() + 120
        while len(done) < len(front.replicas):
            assert time.monotonic() < end, f"only {done} have restarted in 120 s"
            number += 1
            front.app.work(visit.page, number)
        for _ in range(3):
            number += 1
            front.app.work(visit.page, number)
        visit.is_undisturbed()
        assert front.logins() == logins, "there was another login"
        print(f"        {number} works", flush=True)


def after_a_session_s_end_a_return_finds_all_work(world):
    front = world.shared.front
    with world.shared.visit("cyd") as visit:
        page = visit.page
        front.app.work(page, 1)
        front.app.work(page, 2)
        front.replicas[0].cli("sessions", "revoke", "cyd@example.com")
        eventually("a script of the page is refused", lambda: page.evaluate("fetch('/').then((answer) => answer.status)") == 401, 10)
        # Without the fragment, or the page would not be left.
        page.goto(page.url.split("#")[0], wait_until="domcontentloaded")
        visit.log_in()
        front.app.return_to(page, 2)
        front.app.work(page, 3)


class Shared:
    """What the cases share: the front and a browser."""

    def __init__(self, world, kind):
        self.front, self.chromium = Front(world, kind), chromium(world)

    @contextlib.contextmanager
    def visit(self, user):
        visit = Visit(self.chromium, self.front, user)
        try:
            visit.begin()
            yield visit
        except Exception:
            # The folder is kept with INTEROP_KEEP.
            with contextlib.suppress(Exception):
                visit.page.screenshot(path=self.front.world.directory / f"{user}.png")
            raise
        finally:
            visit.context.close()


def chromium(world):
    """Debian's Chromium by PyPI's Playwright."""
    need(CHROMIUM)
    sys.path.insert(0, str(python_packages(f"playwright-{PLAYWRIGHT}", f"playwright=={PLAYWRIGHT}")))
    from playwright.sync_api import sync_playwright

    driver = sync_playwright().start()
    world.at_end(driver.stop)
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[
        "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
        # Nothing is asked for beyond this machine, and nothing waits for an answer from there.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ])
    world.at_end(browser.close)
    return browser


def try_app(kind):
    """Runs the cases with an app."""
    def start(world):
        need("node", "psql", "openssl", "curl")
        if not (PEERS / "node_modules" / "oidc-provider").exists():
            raise Skip("npm's oidc-provider, which tests/run installs")
        kind.install()
        return Shared(world, kind)

    run([three_renewals_are_not_noticed, a_deploy_of_both_replicas_is_not_noticed, after_a_session_s_end_a_return_finds_all_work], start, 300)
