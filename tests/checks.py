"""What the tests in Python share."""

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def check(good, what):
    if not good:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


def until(what, look, limit=60, why=lambda: ""):
    """The first answer of `look` that is true; after `limit` seconds, `why` says what is known."""
    deadline = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: never: {what}\n{why()}")
        time.sleep(0.05)
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class JsonHandler(BaseHTTPRequestHandler):
    """Answers in JSON, and says nothing."""

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class EmptyServer(JsonHandler):
    """Just enough of a server: the probe of a self-hosted one is a 400, a list is empty."""

    def do_GET(self):
        if "sort_by" in self.path:
            self.answer(400, {"error": "no such sort"})
        else:
            self.answer(200, {"jobs": [], "pagination": {"has_more": False}})

    do_POST = do_GET
