"""Users who come to replicas of Evergate at a fixed pace, over raw sockets, so that one thread bears hundreds a second."""

import asyncio
import collections
import contextlib
import itertools
import random
import threading
import time
import urllib.parse

from world import eventually

# Longer than any answer may take, a page's way over the provider included.
PATIENCE = 25

Sample = collections.namedtuple("Sample", "begun ended outcome replica")
Entry = collections.namedtuple("Entry", "at user where")
Answer = collections.namedtuple("Answer", "status headers cookies")

SCRIPT = "accept: application/json\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\nsec-fetch-site: same-origin\r\n"
PAGE = "accept: text/html\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\nsec-fetch-site: none\r\n"


class User:
    def __init__(self, number):
        self.name, self.jars, self.loads_page, self.is_loading = f"user{number}", {}, True, False


class Load:
    """Users who come at a fixed pace, however long answers take: scripts, and every tenth time a page.

    A script that is told 401 has its page loaded again. A page may lead over the provider: silently, which is counted, or
    to its form, which is what must not happen. Then the name is typed in, so that the load goes on.
    """

    def __init__(self, replicas, provider_port, users, rate):
        self.ports, self.provider_port, self.rate = [replica.address[1] for replica in replicas], provider_port, rate
        self.host = urllib.parse.urlsplit(replicas[0].url).netloc
        self.users = [User(number) for number in range(users)]
        self.samples, self.typed, self.silent, self.stood_still = [], [], [], []
        self.idle, self.waiting, self.going = collections.defaultdict(list), {}, False
        self.turn = itertools.cycle(range(len(self.ports)))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._come(), self.loop)

    def sign_in(self):
        """Everybody comes for the first time."""
        async def some(users):
            for user in users:
                for _ in range(3):
                    if await self._page(user, next(self.turn)) == "fresh":
                        break
                else:
                    raise AssertionError(f"{user.name} could not sign in: {self.samples[-1:]}")

        async def everybody():
            await asyncio.gather(*(some(self.users[part::8]) for part in range(8)))

        asyncio.run_coroutine_threadsafe(everybody(), self.loop).result(120)
        self.typed.clear()

    def rest(self):
        """Nobody comes any more, and whoever came has their answer."""
        self.going = False
        eventually("all requests are answered", lambda: not self.waiting, 40)

    def answered_until(self):
        """The moment up to which all requests that began have their answers."""
        return min(list(self.waiting.values()), default=time.time())

    async def _come(self):
        due = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            # What was missed because the machine was too busy for this thread is not made up for all at once, but told.
            if now > due + 1 and self.going:
                self.stood_still.append((time.time(), now - due))
            if now > due + 1 or not self.going:
                due = now
            while due < now and len(self.waiting) < 9_000:
                due += 1 / self.rate
                self.loop.create_task(self._one(random.choice(self.users), next(self.turn)))

    async def _one(self, user, replica):
        begun = self.waiting[asyncio.current_task()] = time.time()
        try:
            page = not user.is_loading and (user.loads_page or random.random() < 0.1)
            outcome = await asyncio.wait_for(self._page(user, replica) if page else self._script(user, replica), PATIENCE)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            outcome = f"no answer ({type(error).__name__})"
        # Noted before it is no longer waited for, so that nobody looks between the two.
        self.samples.append(Sample(begun, time.time(), outcome, replica))
        del self.waiting[asyncio.current_task()]

    async def _script(self, user, replica):
        answer = await self._ask(user, self.ports[replica], self.host, "GET", "/", SCRIPT)
        user.loads_page |= answer.status == 401
        return self._outcome(user, answer)

    @staticmethod
    def _outcome(user, answer):
        if "x-user" not in answer.headers:
            return f"{answer.status} {answer.headers.get('evergate-response', '')}"
        if answer.headers["x-user"] != user.name:
            return f"somebody else's identity ({answer.headers['x-user']!r})"
        return "stale" if answer.headers["x-stale"] == "1" else "fresh"

    async def _page(self, user, replica):
        user.is_loading, user.loads_page = True, False
        try:
            return await self._navigate(user, replica)
        finally:
            user.is_loading = False

    async def _navigate(self, user, replica):
        url, method, form, typed, silent = f"http://{self.host}/", "GET", "", False, False
        for _ in range(15):
            parts = urllib.parse.urlsplit(url)
            ours = parts.netloc == self.host
            headers = PAGE
            if method == "POST":
                headers += f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(form)}\r\n"
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            port = self.ports[replica] if ours else self.provider_port
            answer = await self._ask(user, port, parts.netloc, method, target, headers, form)
            silent |= not ours
            method, form = "GET", ""
            if answer.status in (302, 303, 307):
                url = urllib.parse.urljoin(url, answer.headers["location"])
            elif not ours and parts.path.startswith("/interaction/") and answer.status == 200:
                typed, method, form = True, "POST", f"login={user.name}"
            else:
                break
        outcome = self._outcome(user, answer)
        # A page that offers nothing but a button asks somebody to do something, too.
        if typed or answer.status in (400, 401, 403, 404, 502):
            page = f"{answer.status} {answer.headers.get('evergate-response')} at {url.split('?')[0]}"
            where = "the provider's form" if typed else page
            self.typed.append(Entry(time.time(), user.name, where))
            user.loads_page = not typed
        elif silent and outcome in ("fresh", "stale"):
            self.silent.append(Entry(time.time(), user.name, url))
        return outcome

    async def _ask(self, user, port, netloc, method, target, headers, form=""):
        jar = user.jars.setdefault(netloc, {})
        cookie = f"cookie: {'; '.join(f'{name}={value}' for name, value in jar.items())}\r\n" if jar else ""
        asked = f"{method} {target} HTTP/1.1\r\nhost: {netloc}\r\n{cookie}{headers}\r\n{form}".encode()
        answer = await self._exchange(port, asked)
        for line in answer.cookies:
            name, value = line.split(";")[0].split("=", 1)
            jar[name] = value
            if "max-age=0" in line.lower() or "1970" in line:
                del jar[name]
        return answer

    async def _exchange(self, port, asked):
        while self.idle[port]:
            # A connection that was closed while it rested is no answer; browsers ask again on another.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self._once(port, *self.idle[port].pop(), asked)
        return await self._once(port, *await asyncio.open_connection("127.0.0.1", port), asked)

    async def _once(self, port, reader, writer, asked):
        keeps = False
        try:
            writer.write(asked)
            head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = [line.split(": ", 1) for line in lines if line]
            headers = {name.lower(): value for name, value in fields}
            if "chunked" in headers.get("transfer-encoding", ""):
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            else:
                await reader.readexactly(int(headers.get("content-length", 0)))
            keeps = headers.get("connection") != "close"
            return Answer(int(head.split()[1]), headers, [value for name, value in fields if name.lower() == "set-cookie"])
        finally:
            if keeps:
                self.idle[port].append((reader, writer))
            else:
                writer.close()
