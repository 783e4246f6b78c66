"""Requests over many connections by one thread, and how long each answer took."""

import asyncio
import time


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection with one request at a time."""

    def connection_made(self, transport):
        self.transport, self.answer = transport, None

    def connection_lost(self, error):
        if self.answer and not self.answer.done():
            self.answer.set_exception(error or ConnectionError("closed without an answer"))

    def data_received(self, data):
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        if len(body) >= int(fields.get(b"content-length", 0)) and not self.answer.done():
            self.answer.set_result((head, body))

    async def ask(self, request):
        """Head and body of the answer, and the seconds that it took."""
        self.data, self.answer = b"", asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        self.transport.write(request)
        head, body = await asyncio.wait_for(self.answer, 30)
        return head, body, time.perf_counter() - begun


async def connect(port):
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def check(request, head, body, expected):
    if not head.startswith(b"HTTP/1.1 200") or body.strip() != expected:
        raise AssertionError(f"not what was asked for: {expected} got {head[:300]} {body[:300]}")


async def paced(port, requests, rate):
    """Sends requests, each with the body that it expects, at a fixed rate, however long answers take. Returns what they took."""
    idle, took = [await connect(port) for _ in range(16)], []

    async def one(request, expected):
        connection = idle.pop() if idle else await connect(port)
        head, body, seconds = await connection.ask(request)
        check(request, head, body, expected)
        took.append(seconds)
        idle.append(connection)

    begun, tasks = time.perf_counter(), []
    for number, pair in enumerate(requests):
        await asyncio.sleep(max(0, begun + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(*pair)))
    await asyncio.gather(*tasks)
    return took


async def saturating(ports, requests, each, seconds):
    """Sends requests over `each` connections to every port, as fast as answers come. Returns how many, and the seconds."""
    requests, begun, answered = iter(requests), time.perf_counter(), 0

    async def some(port):
        nonlocal answered
        connection = await connect(port)
        for request, expected in requests:
            head, body, _ = await connection.ask(request)
            check(request, head, body, expected)
            answered += 1
            if time.perf_counter() - begun > seconds:
                return

    await asyncio.gather(*(some(port) for port in ports for _ in range(each)))
    return answered, time.perf_counter() - begun
