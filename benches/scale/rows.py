#!/usr/bin/env python3
"""Fills a migrated database with grants as logins leave them: one session each, a history, and tokens that are encrypted as
`src/seal.rs` does it, so that Evergate opens every one of them. Two grants are one user's.

Each row goes in by COPY, and what a name, a cookie or a token is follows from the grant's number alone: `cookie(7)`.

usage: rows.py URL --grants 50000 --key BASE64 --now MILLISECONDS --issuer https://idp --client c --fingerprint f
       [--scopes openid] [--span MILLISECONDS] [--events 3] [--access 1200] [--refresh 300] [--id-token 1000]
       [--refresh-life MILLISECONDS]

Needs psql, and the libcrypto that Python's own `ssl` has.
"""

import argparse
import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import struct
import subprocess
import sys

DAY = 86_400_000
HOUR = 3_600_000
GRANTS = (
    "id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, refresh_token, id_token, expires_at, lifetime, "
    "created_at, renewed_at, rotation, refresh_until, refresh_life, provider_session"
)
SESSIONS = "hash, grant_id, created_at, last_seen, provider_session, follows"
EVENTS = "at, kind, grant_id, session, subject, who, outcome, reason, duration, rotated, replica"


def digest(text):
    return hashlib.sha256(text.encode()).digest()


def grant(number):
    return digest(f"grant {number}")[:16]


def cookie(number):
    """The value of the session's cookie."""
    return base64.urlsafe_b64encode(digest(f"session {number}")).rstrip(b"=").decode()


def user(number):
    return f"user-{number // 2}"


def is_fresh(number):
    """Whether the access token lives; that of every other grant expired when nobody used it."""
    return number % 2 == 0


def padded(text, size):
    """A token of this size that begins with a text."""
    return (text + "." + base64.urlsafe_b64encode(digest(text) * (size // 32 + 1)).decode())[:size]


class Seal:
    """AES-256-GCM under one key, in the format of `src/seal.rs`: version, name of the key, nonce, text, tag."""

    SET_IV_LENGTH_IS_DEFAULT, GET_TAG, TAG = 12, 0x10, 16

    def __init__(self, key):
        self.key = base64.b64decode(key)
        self.head = b"\x01" + hashlib.sha256(b"evergate key id" + self.key).digest()[:4]
        self.crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
        for name in ["EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"]:
            getattr(self.crypto, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.crypto.EVP_CIPHER_CTX_new())
        self.length, self.tag = ctypes.c_int(), ctypes.create_string_buffer(self.TAG)
        self.text = ctypes.create_string_buffer(1 << 16)
        cipher = ctypes.c_void_p(self.crypto.EVP_aes_256_gcm())
        self._do("EVP_EncryptInit_ex", cipher, None, self.key, None)

    def _do(self, name, *arguments):
        if getattr(self.crypto, name)(self.context, *arguments) != 1:
            sys.exit(f"libcrypto: {name} failed")

    def __call__(self, context, plain):
        nonce, length = os.urandom(self.SET_IV_LENGTH_IS_DEFAULT), ctypes.byref(self.length)
        self._do("EVP_EncryptInit_ex", None, None, None, nonce)
        self._do("EVP_EncryptUpdate", None, length, context, len(context))
        self._do("EVP_EncryptUpdate", self.text, length, plain, len(plain))
        self._do("EVP_EncryptFinal_ex", self.tag, length)
        self._do("EVP_CIPHER_CTX_ctrl", self.GET_TAG, self.TAG, self.tag)
        return self.head + nonce + ctypes.string_at(self.text, len(plain)) + self.tag.raw


class Rows:
    """The rows of all tables, in the binary format of COPY. Tokens may be left out by a size of zero."""

    def __init__(self, options):
        self.options, self.seal = options, Seal(options.key)
        self.access, self.id_token = padded("access", options.access).encode(), padded("id", options.id_token).encode()

    def created(self, number):
        return self.options.now - self.options.span + self.options.span * number // self.options.grants

    def grants(self):
        options = self.options
        for number in range(1, options.grants + 1):
            id_, created = grant(number), self.created(number)
            renewed = options.now if is_fresh(number) else created
            sealed = lambda column, plain: self.seal(f"grants.{column}/{id_.hex()}".encode(), plain) if plain else None
            name, subject = f"name-{number // 2}", user(number)
            identity = {"subject": subject, "username": name, "email": f"{subject}@example.com", "groups": ["staff", "engineering"]}
            yield (
                id_, options.issuer, options.client, subject, json.dumps(identity, separators=(",", ":")), options.scopes,
                options.fingerprint, sealed("access_token", self.access),
                sealed("refresh_token", padded(f"{subject}.{number}", options.refresh).encode()),
                sealed("id_token", self.id_token), renewed + HOUR, HOUR, created, renewed, "rotating",
                renewed + options.refresh_life, options.refresh_life, f"sid-{number}",
            )  # fmt: skip

    def sessions(self):
        for number in range(1, self.options.grants + 1):
            created = self.created(number)
            follows = digest(f"before {number}") if number % 5 == 0 else None
            seen = created + number * 7919 % HOUR
            yield digest(cookie(number)), grant(number), created, seen, f"sid-{number}", follows

    def events(self):
        """A login, and renewals after it."""
        for number in range(1, self.options.grants + 1):
            created, id_, subject, session = self.created(number), grant(number), user(number), digest(cookie(number))[:4].hex()
            who = f"{subject}@example.com"
            yield created, "login", id_, session, subject, who, "ok", "", None, None, "replica"
            for later in range(1, self.options.events):
                yield created + later * HOUR, "renewal", id_, None, subject, who, "ok", "rotated", 20, True, "replica"


def field(value):
    """A field of COPY's binary format."""
    if value is None:
        return b"\xff\xff\xff\xff"
    if value is True or value is False:
        return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0"
    if isinstance(value, int):
        return struct.pack(">iq", 8, value)
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(data)) + data


def copy(url, table, columns, rows):
    head = struct.pack(">h", len(columns.split(",")))
    psql = subprocess.Popen(
        ["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)", url],
        stdin=subprocess.PIPE,
    )
    with psql.stdin as pipe:
        pipe.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for row in rows:
            pipe.write(head + b"".join(map(field, row)))
        pipe.write(b"\xff\xff")
    if psql.wait() != 0:
        sys.exit(f"COPY {table} failed")


def add_sizes(parser):
    """Adds the options that say how large the rows are."""
    parser.add_argument("--events", type=int, default=3, help="events of each grant: a login, and renewals")
    parser.add_argument("--access", type=int, default=1200, help="bytes of an access token")
    parser.add_argument("--refresh", type=int, default=300)
    parser.add_argument("--id-token", type=int, default=1000)
    parser.add_argument("--span", type=int, default=20 * DAY, help="milliseconds over which the logins are spread")
    parser.add_argument("--refresh-life", type=int, default=30 * DAY, help="milliseconds that a refresh token lives unless used")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--grants", type=int, required=True)
    parser.add_argument("--key", required=True, help="the key that encrypts, in base64")
    parser.add_argument("--now", type=int, required=True, help="milliseconds since the epoch")
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--fingerprint", required=True, help="what the settings of the login amount to, as a grant has it")
    parser.add_argument("--scopes", default="openid")
    add_sizes(parser)
    return parser.parse_args()


def fill(options):
    rows = Rows(options)
    copy(options.url, "grants", GRANTS, rows.grants())
    copy(options.url, "sessions", SESSIONS, rows.sessions())
    if options.events:
        copy(options.url, "events", EVENTS, rows.events())


if __name__ == "__main__":
    fill(parse())
