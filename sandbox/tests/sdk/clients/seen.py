"""What both scripts need: the sandbox's desk, an address for its call-backs, and a way to say what was seen."""

import json
import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests

SANDBOX = os.environ["SANDBOX_URL"]


def behave(gateway, **behaviour):
    answer = requests.put(f"{SANDBOX}/_sandbox/behaviour", json={"gateway": gateway, **behaviour}, timeout=20)
    answer.raise_for_status()


class CallBacks:
    """Where the gateway calls back to. `next` waits for one: its headers and its body, as text."""

    def __init__(self, gateway):
        came = self.came = queue.Queue()

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self.send_response(200)
                self.end_headers()
                came.put((self.headers, body))

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Taking)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        webhook = {"gateway": gateway, "url": f"http://127.0.0.1:{server.server_port}/"}
        requests.put(f"{SANDBOX}/_sandbox/webhooks", json=webhook, timeout=20).raise_for_status()

    def next(self):
        return self.came.get(timeout=20)


def raised(kind, call):
    """What the client says when it raises, which it has to, and by this very class."""
    try:
        answered = call()
    except Exception as error:
        if type(error) is kind:
            return str(error)
        raise
    raise AssertionError(f"{answered!r} instead of {kind.__name__}")


def tell(live):
    """Prints what was seen as one line of JSON."""
    try:
        print(json.dumps(live()))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
