#!/usr/bin/env python3
"""An OpenID Connect provider that answers at once: it signs ID tokens with the client's secret, and takes every code and every
refresh token for good. A code is `NONCE~SUBJECT`, a refresh token begins with `SUBJECT.`.

One connection after another, because Evergate makes a new one for each call. GET /counted says how many refresh tokens it was given.

usage: provider.py PORT CLIENT SECRET
"""

import base64
import hashlib
import hmac
import json
import socket
import sys
import time
import urllib.parse

from rows import HOUR, padded

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(claims, secret):
    body = encoded(b'{"alg":"HS256"}') + b"." + encoded(json.dumps(claims).encode())
    return (body + b"." + encoded(hmac.digest(secret.encode(), body, hashlib.sha256))).decode()


def logout_token(issuer, client, secret, subject):
    now = int(time.time())
    claims = {"iss": issuer, "aud": client, "iat": now, "exp": now + 60, "jti": subject, "sub": subject, "events": {LOGOUT: {}}}
    return signed(claims, secret)


class Provider:
    def __init__(self, port, client, secret):
        self.issuer, self.client, self.secret, self.refreshed, self.issued = f"http://127.0.0.1:{port}", client, secret, 0, 0

    def answer(self, path, form):
        at = lambda name: f"{self.issuer}/{name}"
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
                "jwks_uri": at("jwks"), "revocation_endpoint": at("revoke"), "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["HS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"], "code_challenge_methods_supported": ["S256"],
            }  # fmt: skip
        if path == "/jwks":
            return {"keys": []}
        if path == "/counted":
            return {"refreshed": self.refreshed}
        if path != "/token":
            return {}
        if form["grant_type"] == "refresh_token":
            self.refreshed += 1
            return self.tokens(form["refresh_token"].split(".")[0], {})
        nonce, _, subject = form["code"].partition("~")
        return self.tokens(subject, {"nonce": nonce})

    def tokens(self, subject, more):
        self.issued += 1
        now, number = int(time.time()), subject.rpartition("-")[2]
        claims = {
            "iss": self.issuer, "aud": self.client, "sub": subject, "iat": now, "exp": now + 300, **more,
            "preferred_username": f"name-{number}", "email": f"{subject}@example.com", "email_verified": True,
            "groups": ["administrators"] if subject.startswith("admin") else ["staff", "engineering"], "more": padded(subject, 400),
        }  # fmt: skip
        return {
            "access_token": padded(f"access.{self.issued}", 1200), "refresh_token": padded(f"{subject}.new.{self.issued}", 300),
            "id_token": signed(claims, self.secret), "token_type": "Bearer", "expires_in": HOUR // 1000,
            "scope": "openid profile email offline_access", "refresh_expires_in": 30 * 86_400,
        }  # fmt: skip


def receive(connection):
    """The path and the form of a request."""
    data = b""
    while True:
        some = connection.recv(65536)
        if not some:
            raise ConnectionError("closed")
        data += some
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            continue
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(fields.get(b"content-length", 0)):
            return head.split(b" ")[1].decode(), dict(urllib.parse.parse_qsl(body.decode()))


def main():
    port, client, secret = int(sys.argv[1]), *sys.argv[2:]
    provider = Provider(port, client, secret)
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    while True:
        connection, _ = listener.accept()
        connection.settimeout(5)
        with connection:
            try:
                body = json.dumps(provider.answer(*receive(connection))).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)
            except OSError:
                # Whoever asked does not wait any more.
                pass


if __name__ == "__main__":
    main()
