"""What takes longer than a request, for `upgrade.py`: uploads, downloads, event streams and WebSockets, and their app."""

import asyncio
import collections
import contextlib
import logging
import sys
import threading

from world import HERE, eventually

sys.path.insert(0, str(HERE.parent / "peers" / "python"))
import aiohttp  # noqa: E402, as tests/run installs it
from aiohttp import web  # noqa: E402

# An upload and a download take three seconds.
CHUNKS, PAUSE = 30, 0.1
CHUNK = b"evergate" * 1024


async def _read(request):
    return web.Response(text=str(len(await request.read())))


async def _write(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(CHUNKS):
        await response.write(CHUNK)
        await asyncio.sleep(PAUSE)
    await response.write_eof()
    return response


async def _tell(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    # Until its client, or a drain, has gone.
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"data: news\n\n")
            await asyncio.sleep(PAUSE)
    return response


async def _echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


class Work:
    """An app at `url`, and users who work with it through the balancer from `begin` on, each in all four ways."""

    def __init__(self, world):
        self.done, self.problems, self.going = collections.Counter(), [], False
        self.opened, self.tasks = collections.Counter(), []
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        port = world.port()
        self.url = f"http://127.0.0.1:{port}"
        self._run(self._serve(port))

    def _run(self, coroutine, deadline=60):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(deadline)

    async def _serve(self, port):
        app = web.Application(client_max_size=1 << 30)
        app.add_routes([web.post("/work/read", _read), web.get("/work/write", _write), web.get("/work/tell", _tell), web.get("/work/echo", _echo)])
        # Clients that go away are part of the play.
        logging.getLogger("aiohttp.server").disabled = True
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    def begin(self, url, cookies):
        """Works at this access URL with the cookie header of each user."""
        async def start():
            self.tasks = [
                asyncio.create_task(self._again(way, number, url, cookie))
                for number, cookie in enumerate(cookies) for way in (self.upload, self.download, self.events, self.socket)
            ]

        self.going = True
        self._run(start())
        eventually("all work is under way", lambda: sum(self.opened.values()) >= 4 * len(cookies))

    def rest(self):
        """Ends what has no end of its own, and waits for what has."""
        async def whole():
            await asyncio.gather(*self.tasks)

        self.going = False
        self._run(whole())

    def interruptions(self):
        """How often an event stream or a WebSocket had to be opened once more, at most."""
        return max(count - 1 for (way, _), count in self.opened.items() if way in ("events", "socket"))

    async def _again(self, way, number, url, cookie):
        origin = {"Cookie": cookie, "Origin": url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
        # Each has a connection of its own, as from another browser.
        while self.going:
            self.opened[way.__name__, number] += 1
            try:
                connector = aiohttp.TCPConnector(force_close=True)
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=20)
                async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=origin) as session:
                    problem = await way(session, f"{url}/work")
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                self.problems.append(f"{way.__name__}: {problem}")
                await asyncio.sleep(1)
            else:
                self.done[way.__name__] += 1

    async def upload(self, session, url):
        async def body():
            for _ in range(CHUNKS):
                yield CHUNK
                await asyncio.sleep(PAUSE)

        async with session.post(f"{url}/read", data=body()) as answer:
            text = await answer.text()
            return None if (answer.status, text) == (200, str(CHUNKS * len(CHUNK))) else f"{answer.status} {text[:200]}"

    async def download(self, session, url):
        async with session.get(f"{url}/write") as answer:
            size = len(await answer.read())
            return None if (answer.status, size) == (200, CHUNKS * len(CHUNK)) else f"{answer.status}, {size} bytes"

    async def events(self, session, url):
        """An event stream, which may end at any time: its client opens another."""
        async with session.get(f"{url}/tell") as answer:
            if answer.status != 200:
                return f"{answer.status} {(await answer.text())[:200]}"
            try:
                while self.going and await answer.content.readany():
                    pass
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError):
                pass
        return None

    async def socket(self, session, url):
        """A WebSocket, which ends with 1012 (service restart) and in no other way."""
        async with session.ws_connect(f"{url}/echo".replace("http", "ws", 1)) as socket:
            number = 0
            while self.going:
                await socket.send_str(str(number))
                message = await socket.receive(timeout=20)
                if message.type != aiohttp.WSMsgType.TEXT:
                    return None if socket.close_code == 1012 else f"{message.type.name}, close code {socket.close_code}"
                if message.data != str(number):
                    return f"{message.data!r} in place of {number}"
                number += 1
                await asyncio.sleep(PAUSE)
        return None
