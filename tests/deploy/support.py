"""What the tests of deploy/ share."""

import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from checks import REPOSITORY

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


check(Path(PROGRAM).exists(), f"build jobshim first; there is no {PROGRAM}")
