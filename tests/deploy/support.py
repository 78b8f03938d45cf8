"""What the tests of deploy/ share."""

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# Where the tests install what they need.
TOOLS = REPOSITORY / "target/tools"
PROGRAM = os.environ.get("JOBSHIM_TEST_PROGRAM", str(REPOSITORY / "target/debug/jobshim"))


def check(good, what):
    if not good:
        sys.exit(f"FAILED: {what}")


def done(what):
    print(f"ok: {what}", flush=True)


def skip(why):
    print(f"skipped: {why}", flush=True)
    sys.exit(0)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=300, **options)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, body=None, **headers):
    """The status and the text of an answer, or none and why. Nobody asks whose certificate it is."""
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, str(error)


def until(what, holds):
    end = time.monotonic() + 60
    while not holds():
        check(time.monotonic() < end, f"never: {what}")
        time.sleep(0.05)


check(Path(PROGRAM).exists(), f"build jobshim first; there is no {PROGRAM}")
