"""What the tests of deploy/ share."""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from checks import REPOSITORY

# Where the tests install what they need.
TOOLS = REPOSITORY / "target/tools"
# Of Kubernetes.
VERSIONS = ["1.29", "1.37"]
SCHEMAS_PACKAGE = "kubernetes-validate==1.37.0"
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


def pip(*arguments):
    environment = TOOLS / "python"
    python = environment / "bin/python"
    if not python.exists():
        made = run(sys.executable, "-m", "venv", environment)
        if made.returncode:
            shutil.rmtree(environment, ignore_errors=True)
            skip(f"there is no venv: {made.stdout}{made.stderr}")
    got = run(python, "-m", "pip", *arguments)
    if got.returncode:
        skip(f"pip {' '.join(map(str, arguments))} failed: {got.stderr}")
    return python


def in_tools():
    """Goes on in the environment that has the schemas."""
    if os.environ.get("JOBSHIM_DEPLOY_TOOLS") == "1":
        return
    python = pip("install", "--quiet", SCHEMAS_PACKAGE)
    os.environ["JOBSHIM_DEPLOY_TOOLS"] = "1"
    os.execv(python, [str(python), *sys.argv])


def debian(package, program):
    """A program of a Debian package. It is only unpacked, so that none of its services starts."""
    name = Path(program).name
    found = shutil.which(name)
    unpacked = TOOLS / package
    if found or (unpacked / program).exists():
        return found or str(unpacked / program)
    if not shutil.which("apt-get"):
        skip(f"there is no {name}, and no apt-get to get it by")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        got = run("apt-get", "download", "-qq", package, cwd=folder)
        if got.returncode:
            run("apt-get", "update", "-qq")
            got = run("apt-get", "download", "-qq", package, cwd=folder)
        packages = list(Path(folder).glob("*.deb"))
        if got.returncode or not packages:
            skip(f"Debian's {package} cannot be had: {got.stderr}")
        unpacked.mkdir(parents=True, exist_ok=True)
        put = run("dpkg", "-x", packages[0], unpacked)
        check(put.returncode == 0, put.stderr)
    return str(unpacked / program)


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
