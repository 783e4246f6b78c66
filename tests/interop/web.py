"""The HTTP that the interop scripts speak: an app, a browser, and a line to a provider that can fail."""

import contextlib
import html.parser
import http.client
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        pass  # Whoever hangs up in the middle is part of the play.


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.answer(self, self.rfile.read(length))

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET

    def reply(self, status, body=b"", headers=()):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def serve(world, answer, port=0):
    """A threaded HTTP server on loopback; `answer(handler, body)` calls `handler.reply(status, body, headers)`."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.answer = answer
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    world.at_end(lambda: (server.shutdown(), server.server_close()))
    return server


def accept(world, answer):
    """A listener on loopback, each of whose connections is given to `answer` on a thread of its own; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    world.at_end(listener.close)

    def run():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1]


class Upstream:
    """An app that answers with what it saw, as JSON, and remembers it."""

    def __init__(self, world):
        self.requests = []
        self.url = f"http://127.0.0.1:{serve(world, self._answer).server_port}"

    def _answer(self, handler, body):
        seen = {"method": handler.command, "path": handler.path, "body": body.decode(errors="replace"),
                "headers": {name.lower(): value for name, value in handler.headers.items()}}
        self.requests.append(seen)
        handler.reply(200, json.dumps(seen).encode(), [("Content-Type", "application/json"), ("X-App", "yes")])


class Answer:
    """What came of a request, and by which ways (`history`: pairs of status and URL)."""

    def __init__(self, url, status, headers, body, history=()):
        self.url, self.status, self.headers, self.body, self.history = url, status, headers, body, list(history)
        self.text = body.decode(errors="replace")

    def json(self):
        return json.loads(self.text)

    def is_apps(self):
        return self.status == 200 and self.headers.get("X-App") == "yes"

    def is_stale(self):
        return self.is_apps() and "x-evergate-renewed-at" in self.json()["headers"]

    def is_fresh(self):
        """Whether the app answered, and was told of an identity that was verified just now."""
        return self.is_apps() and not self.is_stale()

    def forms(self):
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    def __str__(self):
        way = "".join(f"{status} {url[:160]} -> " for status, url in self.history)
        if self.is_apps():
            text = str({name: value for name, value in self.json()["headers"].items() if name.startswith(("x-forwarded-", "x-evergate-"))})
        else:
            text = " ".join(re.sub("<(style|script).*?</\\1>|<[^>]*>", " ", self.text, flags=re.DOTALL).split())
        return f"{way}{self.status} {self.url[:160]} ({self.headers.get('Evergate-Response')}): {text[:300]}"


class _Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "form":
            method = (found.get("method") or "get").upper()
            self.forms.append({"action": found.get("action") or "", "method": method, "fields": {}, "buttons": {}})
        elif tag in ("input", "button") and self.forms and found.get("name"):
            kind = found.get("type") or ("submit" if tag == "button" else "text")
            if kind in ("submit", "button"):
                self.forms[-1]["buttons"][found["name"]] = found.get("value") or ""
            elif kind not in ("checkbox", "radio") or "checked" in found:
                self.forms[-1]["fields"][found["name"]] = found.get("value") or ""


class Browser:
    """Cookies by host and path, as browsers keep them, without scripts. Safe for several threads at once."""

    def __init__(self, patience=60):
        self.cookies, self.patience, self._lock = {}, patience, threading.Lock()

    def cookie(self, name, host="localhost"):
        return next((value for (at, _, own), value in self.cookies.items() if (at, own) == (host, name)), None)

    def request(self, method, url, headers=None, body=None, at=None):
        """One exchange, without following. `at` is the replica to connect to in place of the URL's own address."""
        parts = urllib.parse.urlsplit(url)
        path = parts.path or "/"
        address = at.address if at and parts.netloc == urllib.parse.urlsplit(at.url).netloc else ("127.0.0.1", parts.port or 80)
        with self._lock:
            sent = [f"{name}={value}" for (host, under, name), value in self.cookies.items()
                    if host == parts.hostname and (path + "/").startswith(under.rstrip("/") + "/")]
        lines = {"Host": parts.netloc, "User-Agent": "Mozilla/5.0 (interop)", "Connection": "close", **(headers or {})}
        if sent:
            lines["Cookie"] = "; ".join(sent)
        connection = http.client.HTTPConnection(*address, timeout=self.patience)
        try:
            connection.request(method, path + (f"?{parts.query}" if parts.query else ""), body, lines)
            answer = connection.getresponse()
            found = Answer(url, answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        for line in found.headers.get_all("Set-Cookie") or []:
            self._keep(parts.hostname, path, line)
        return found

    def _keep(self, host, path, line):
        pair, *attributes = (part.strip() for part in line.split(";"))
        name, value = pair.split("=", 1)
        said = {key.lower(): text for key, _, text in (part.partition("=") for part in attributes)}
        key = (host, said.get("path") or path.rsplit("/", 1)[0] or "/", name)
        gone = said.get("max-age") == "0" or "1970" in said.get("expires", "")
        with self._lock:
            self.cookies.pop(key, None)
            if not gone:
                self.cookies[key] = value

    def _navigate(self, method, url, body, origin, at):
        history, site = [], "none" if origin is None else _site(origin, url)
        for _ in range(20):
            headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
                       "Sec-Fetch-Site": site, "Sec-Fetch-User": "?1"}
            if body is not None:
                headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
            answer = self.request(method, url, headers, body, at)
            answer.history = history
            if answer.status not in (301, 302, 303, 307, 308) or not answer.headers.get("Location"):
                return answer
            history = history + [(answer.status, url)]
            target = urllib.parse.urljoin(url, answer.headers["Location"])
            if answer.status not in (307, 308):
                method, body = "GET", None
            # A redirect over another site makes the whole way cross-site; one that a person typed stays their own.
            site = site if site in ("none", "cross-site") else _site(url, target)
            url = target
        raise AssertionError(f"redirects without end: {history[-4:]}")

    def visit(self, url, at=None, referrer=None):
        """A navigation of the tab. `referrer` is the page whose link was clicked; without one the address was typed."""
        return self._navigate("GET", url, None, referrer, at)

    def submit(self, page, fields=None, button=None, at=None):
        """Sends the form of a page that has these fields and this button, with `fields` filled in."""
        fits = lambda form: set(fields or ()) <= set(form["fields"]) and (not button or button in form["buttons"])
        form = next(filter(fits, page.forms()), None)
        assert form, f"no form with {list(fields or ())} {button or ''} is on {page}"
        filled = {**form["fields"], **(fields or {}), **({button: form["buttons"].get(button, "")} if button else {})}
        target, body = urllib.parse.urljoin(page.url, form["action"]), urllib.parse.urlencode(filled)
        if form["method"] == "GET":
            return self._navigate("GET", f"{target.split('?')[0]}?{body}", None, page.url, at)
        return self._navigate("POST", target, body, "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(page.url)), at)

    def fetch(self, url, at=None, method="GET", body=None, headers=None):
        """What a script of the app's own pages asks for."""
        own = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
        return self.request(method, url, {**own, **(headers or {})}, body, at)


def _site(origin, url):
    from_, to = urllib.parse.urlsplit(origin), urllib.parse.urlsplit(url)
    return "same-origin" if from_.netloc == to.netloc else "same-site" if from_.hostname == to.hostname else "cross-site"


class Fault:
    """A rule of a `FaultLine`. `met` counts the requests that met it; `release()` ends the wait of those that are held."""

    def __init__(self, kind, path, times):
        self.kind, self.path, self.left, self.met, self.drops, self._go = kind, path, times, 0, False, threading.Event()

    def release(self, drop=False):
        """Lets those go that are held; with `drop` their connection breaks instead."""
        self.left, self.drops = 0, drop
        self._go.set()

    def wait(self):
        self._go.wait(120)
        return not self.drops


class FaultLine:
    """The line to a provider, which records what goes over it. `fault(kind, path, times)` makes a rule for paths that end so:

    cut      the connection breaks, and the provider was not asked
    refuse   nothing listens any more, whatever the path (until `mend()`)
    lose     the provider is asked, and its answer is swallowed
    gateway  502 by something in between; the provider was not asked
    early    the request is held until `release()`, then passed on, or with `release(drop=True)` broken off unasked
    late     the provider is asked, and its answer is held until `release()`
    """

    def __init__(self, world, port):
        self.world, self.target, self.rules, self.asked, self._lock = world, port, [], [], threading.Lock()
        self.server = serve(world, self._answer, world.port())
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def fault(self, kind, path="", times=None):
        rule = Fault(kind, path, times)
        if kind == "refuse":
            self.server.shutdown()
            self.server.server_close()
        self.rules.append(rule)
        return rule

    def mend(self):
        rules, self.rules = self.rules, []
        for rule in rules:
            rule.release()
        if any(rule.kind == "refuse" for rule in rules):
            self.server = serve(self.world, self._answer, self.port)

    def calls(self, path, **form):
        """The requests to a path that ends so, with these form fields: dicts of method, path, form, status, at, answer."""
        return [call for call in list(self.asked) if call["path"].split("?")[0].endswith(path)
                and all(call["form"].get(name) == value for name, value in form.items())]

    def spent(self):
        """The refresh tokens that came to the provider again after it had answered them with a new one."""
        seen, again = set(), []
        for call in self.calls("token", grant_type="refresh_token"):
            token = call["form"].get("refresh_token")
            if token in seen:
                again.append(token)
            if call["status"] == 200 and call["answer"].get("refresh_token", token) != token:
                seen.add(token)
        return again

    def _rule(self, path):
        with self._lock:
            for rule in self.rules:
                if rule.left != 0 and path.split("?")[0].endswith(rule.path):
                    rule.left = None if rule.left is None else rule.left - 1
                    return rule
        return None

    def _answer(self, handler, body):
        rule = self._rule(handler.path)
        kind = rule.kind if rule else "pass"
        if kind in ("cut", "gateway", "early"):
            rule.met += 1
        if kind == "cut":
            return self._break(handler)
        if kind == "gateway":
            return handler.reply(502, b"<html>Bad gateway</html>", [("Content-Type", "text/html")])
        if kind == "early" and not rule.wait():
            return self._break(handler)
        call = {"method": handler.command, "path": handler.path, "at": time.time(), "status": None, "answer": {},
                "basic": (handler.headers.get("Authorization") or "").startswith("Basic "),
                "form": dict(urllib.parse.parse_qsl(body.decode(errors="replace")))}
        self.asked.append(call)
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=90)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("connection", "transfer-encoding")}
            connection.request(handler.command, handler.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return self._break(handler)
        finally:
            connection.close()
        with contextlib.suppress(ValueError):
            call["answer"] = json.loads(content) if content[:1] == b"{" else {}
        call["status"] = answer.status
        if kind in ("lose", "late"):
            rule.met += 1
        if kind == "lose":
            return self._break(handler)
        if kind == "late" and not rule.wait():
            return self._break(handler)
        kept = [(name, value) for name, value in answer.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive")]
        return handler.reply(answer.status, content, kept)

    @staticmethod
    def _break(handler):
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
