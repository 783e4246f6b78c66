#!/usr/bin/env python3
"""Apps as Python has them, each of which takes every path for `admin` or for `open`, in the way of its framework. Prints the
port of each, and serves until its standard input ends."""

import asyncio
import json
import logging
import os
import posixpath
import re
import socket
import socketserver
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import shift_path_info

import bottle
import django
import flask
import tornado.httpserver
import tornado.web
import uvicorn
import werkzeug.exceptions
import werkzeug.serving
from aiohttp import web
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

ADMIN = re.compile(r"^/admin(/.*)?$")


def said(is_admin):
    return "admin" if is_admin else "open"


# With nothing but the standard library.


class Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def wsgi(reads):
    """An app that `reads` an environment's path."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [said(reads(environ)).encode()]

    return app


def by_wsgiref(app):
    server = Threads(("127.0.0.1", 0), Quiet)
    server.set_app(app)
    return server


def first_segment_is_admin(environ):
    name = shift_path_info(environ)
    while name == "":
        name = shift_path_info(environ)
    return name == "admin"


def utf8_path(environ):
    return environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")


class Handler(SimpleHTTPRequestHandler):
    """Of http.server, which reads a path in its own way where it is to be a file's."""

    protocol_version = "HTTP/1.1"
    # Head and body are written apart.
    disable_nagle_algorithm = True

    def reads(self):
        raise NotImplementedError

    def do_GET(self):
        body = said(self.reads()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Files(Handler):
    def reads(self):
        self.directory = "/files"
        return (self.translate_path(self.path).removeprefix("/files").rstrip("/") + "/").startswith("/admin/")


class Split(Handler):
    def reads(self):
        return ADMIN.match(posixpath.normpath(unquote(urlsplit(self.path).path, errors="ignore")))


def by_http_server(handler):
    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    return Server(("127.0.0.1", 0), handler)


# With frameworks.


def with_bottle():
    app = bottle.Bottle()
    for rule in ("/admin", "/admin/", "/admin/<rest:path>"):
        app.route(rule, callback=lambda rest="": "admin")
    app.default_error_handler = lambda _: opened(bottle.response)
    return by_wsgiref(app)


def opened(response):
    response.status = 200
    return "open"


def with_flask():
    app = flask.Flask(__name__)
    for rule in ("/admin", "/admin/", "/admin/<path:rest>"):
        app.add_url_rule(rule, rule, lambda rest="": "admin")
    app.register_error_handler(werkzeug.exceptions.HTTPException, lambda _: "open")
    logging.getLogger("werkzeug").disabled = True
    return werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)


# Django takes the module of its addresses by name.
urlpatterns = [
    re_path(r"^admin(/.*)?$", lambda _, *__: HttpResponse("admin")),
    re_path(r"", lambda _: HttpResponse("open")),
]


def with_django():
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of no use", LOGGING_CONFIG=None)
    django.setup()
    return by_wsgiref(get_wsgi_application())


def with_starlette():
    async def admin(_):
        return PlainTextResponse("admin")

    async def other(_):
        return PlainTextResponse("open")

    routes = [Route("/admin", admin), Route("/admin/{rest:path}", admin), Route("/{rest:path}", other)]
    return Starlette(routes=routes, exception_handlers={404: lambda *_: PlainTextResponse("open")})


def with_aiohttp():
    async def admin(_):
        return web.Response(text="admin")

    async def other(_):
        return web.Response(text="open")

    app = web.Application()
    app.router.add_get("/admin", admin)
    app.router.add_get("/admin/{rest:.*}", admin)
    app.router.add_get(r"/{rest:[\s\S]*}", other)
    return app


def with_tornado():
    class Admin(tornado.web.RequestHandler):
        def get(self, *_):
            self.write("admin")

    class Other(tornado.web.RequestHandler):
        def get(self, *_):
            self.write("open")

    logging.getLogger("tornado.general").disabled = True
    return tornado.web.Application([(r"(?i)/admin(/.*)?", Admin), (r".*", Other)], log_function=lambda _: None)


def bound():
    # With its protocol named, asyncio has no packet wait for the one before it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    return listener


async def main():
    blocking = {
        "wsgiref": by_wsgiref(wsgi(lambda environ: ADMIN.match(environ["PATH_INFO"]))),
        "wsgiref, stripped": by_wsgiref(wsgi(lambda environ: ADMIN.match(environ["PATH_INFO"].strip()))),
        "wsgiref, whatever the case": by_wsgiref(wsgi(lambda environ: re.match(r"/admin(/|$)", utf8_path(environ).strip(), re.I))),
        "wsgiref, segment by segment": by_wsgiref(wsgi(first_segment_is_admin)),
        "http.server, files": by_http_server(Files),
        "http.server, urlsplit": by_http_server(Split),
        "bottle": with_bottle(),
        "django": with_django(),
        "flask": with_flask(),
    }
    ports = {name: server.server_port for name, server in blocking.items()}
    for server in blocking.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()

    sockets = {name: bound() for name in ("starlette", "aiohttp", "tornado")}
    ports |= {name: listener.getsockname()[1] for name, listener in sockets.items()}
    config = uvicorn.Config(with_starlette(), http="h11", lifespan="off", log_config=None, access_log=False)
    starlette = asyncio.create_task(uvicorn.Server(config).serve([sockets["starlette"]]))
    runner = web.AppRunner(with_aiohttp(), access_log=None)
    await runner.setup()
    await web.SockSite(runner, sockets["aiohttp"]).start()
    tornado.httpserver.HTTPServer(with_tornado()).add_sockets([sockets["tornado"]])

    print(json.dumps(ports), flush=True)
    await starlette


if __name__ == "__main__":
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    asyncio.run(main())
