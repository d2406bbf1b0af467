#!/usr/bin/env python3
"""Receives Khata's webhooks. Needs Python 3.9 or later, and no package.

    KHATA_WEBHOOK_SECRET=whsec_… PORT=3000 python3 receiver.py

docs/webhooks.md explains the rules.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Seconds between the sender's clock and ours; an older request may be a recorded one that somebody sends again.
TOLERANCE = 5 * 60
MAX_BODY = 1024 * 1024
# Bytes of the key, by the Standard Webhooks specification.
SHORTEST_KEY = 24
DATABASE = os.environ.get("DATABASE", "webhooks.db")


class Refused(Exception):
    """The request is not from Khata, or is not fresh."""


def key_of(secret):
    """Returns the key of the HMAC; None if the text is no secret, but `whsec_…` as a page shows it, for instance."""
    key = decode(secret.removeprefix("whsec_"))
    return key if len(key) >= SHORTEST_KEY else None


def verify(key, headers, body, now):
    """Checks the signature of the bytes that were received. Returns the event's id."""
    event_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdecimal()) or abs(now - int(timestamp)) > TOLERANCE:
        raise Refused("webhook-timestamp is missing, or differs from our clock by more than five minutes")
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    # While Khata replaces a secret, the header has a signature of each.
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(decode(value), expected):
            return event_id
    raise Refused("no signature matches: see \"My signature does not match\" in docs/webhooks.md")


def decode(text):
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def record(database, event_id, body):
    """Stores what the event says, once. Returns a line for the log."""
    event = json.loads(body)
    account = event["content"].get("customer_account")
    # One transaction: after a crash, both rows exist or neither, and Khata sends the event again.
    with database:
        cursor = database.execute("insert or ignore into events (id, body) values (?, ?)", (event_id, body.decode()))
        if cursor.rowcount == 0:
            return f"{event_id} received before"
        if account is None:
            return f"{event_id} {event['event_name']}"
        values = (account["id"], account["version"], account["status"])
        cursor = database.execute(
            "insert into accounts (id, version, status) values (?, ?, ?)"
            " on conflict (id) do update set version = excluded.version, status = excluded.status"
            " where excluded.version > accounts.version",
            values,
        )
        if cursor.rowcount == 0:
            return f"{event_id} older than the version that we have"
        return f"{event_id} {event['event_name']} {values[0]} version {values[1]}"


def connect():
    database = sqlite3.connect(DATABASE, timeout=5)
    database.execute("create table if not exists events (id text primary key, body text not null)")
    database.execute(
        "create table if not exists accounts (id text primary key, version integer not null, status text not null)"
    )
    return database


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if not 0 <= length <= MAX_BODY:
            return self.reply(413, "too long")
        body = self.rfile.read(length)
        try:
            event_id = verify(self.server.key, self.headers, body, time.time())
        except Refused as refused:
            return self.reply(401, str(refused))
        # Only now the bytes are parsed.
        database = connect()
        try:
            line = record(database, event_id, body)
        finally:
            database.close()
        # Khata waits ten seconds: reply now. Slow work reads the table `events` later.
        self.reply(204, "")
        print(line, flush=True)

    def reply(self, status, text):
        self.send_response(status)
        if text:
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    key = key_of(os.environ.get("KHATA_WEBHOOK_SECRET", ""))
    if key is None:
        raise SystemExit("set KHATA_WEBHOOK_SECRET to the endpoint's secret: whsec_ and base64 of at least 24 bytes")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Receiver)
    server.key = key
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
