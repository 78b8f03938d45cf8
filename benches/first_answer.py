#!/usr/bin/env python3
"""From nothing to a working script: how long it takes to download, install and start jobshim, until a script that asks
/history has its picture. docs/performance.md has the figures.

    benches/first_answer.py [--wheel WHEEL | --binary JOBSHIM] [--mbit 25] [--latency 30]

pip installs the wheel into a fresh venv (which stands for the Python that is there, and is not counted). Its index is on
this machine and answers as slowly as the line that is asked for: so many Mbit/s, and so many ms before each answer. Then
`jobshim demo` is started, /history is asked until it is answered, and examples/python/after.py is run. Without a wheel (by
default the one in target/wheels) one is made of the binary, as maturin would make it. Fails where the goal is missed: 15 MB,
60 s."""

import argparse
import base64
import hashlib
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_BYTES = 15_000_000
MOST_SECONDS = 60
PIECE = 16_384


def wheel_of(binary, folder):
    """A wheel that holds `binary` alone."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    name = f"jobshim-{version}"
    about = f"{name}.dist-info"
    files = {
        f"{name}.data/scripts/jobshim": binary.read_bytes(),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: jobshim\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    }
    digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    rows = [f"{path},sha256={digest(data)},{len(data)}\n" for path, data in files.items()]
    files[f"{about}/RECORD"] = ("".join(rows) + f"{about}/RECORD,,\n").encode()
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            info = zipfile.ZipInfo(member)
            info.external_attr = 0o100755 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def index_of(wheel, mbit, latency):
    """An index of packages that has one wheel, at the far end of a slow line. Its URL, and how many bytes it has sent."""
    sent = [0]

    class Line(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(latency / 1e3)
            if self.path == "/simple/jobshim/":
                self.answer("text/html", f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode())
            elif self.path == f"/files/{wheel.name}":
                self.answer("application/octet-stream", wheel.read_bytes())
            else:
                self.send_error(404)

        def answer(self, kind, body):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            begun = time.monotonic()
            for at in range(0, len(body), PIECE):
                self.wfile.write(body[at : at + PIECE])
                due = begun + min(at + PIECE, len(body)) * 8 / (mbit * 1e6)
                time.sleep(max(0.0, due - time.monotonic()))
            sent[0] += len(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Line)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/simple", sent


def first_answer(jobshim):
    """Starts the demo; gives it, and its URL once /history has been answered."""
    arguments = [jobshim, "demo", "--listen", "127.0.0.1:0", "--admin", "off"]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = next((line.split()[1] for line in demo.stdout if "which old clients talk to" in line), None)
    if url is None:
        sys.exit("FAILED: the demo does not start")
    # Nobody reads on.
    threading.Thread(target=demo.stdout.read, daemon=True).start()
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/history", timeout=5) as answer:
                if answer.status == 200 and b"demo_00001_.png" in answer.read():
                    return demo, url
        except OSError:
            time.sleep(0.005)
    sys.exit("FAILED: no answer")


def timed(work):
    begun = time.monotonic()
    result = work()
    return time.monotonic() - begun, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--mbit", type=float, default=25)
    parser.add_argument("--latency", type=float, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        built = sorted((REPOSITORY / "target/wheels").glob("jobshim-*linux*.whl"))
        if asked.binary:
            wheel = wheel_of(asked.binary, scratch)
        elif asked.wheel or built:
            wheel = asked.wheel or built[-1]
        else:
            sys.exit("FAILED: no wheel in target/wheels, and neither --wheel nor --binary")
        index, sent = index_of(wheel, asked.mbit, asked.latency)
        venv.create(scratch / "venv", with_pip=True)
        tools = scratch / "venv" / ("Scripts" if os.name == "nt" else "bin")
        # The index is on this machine: neither a proxy nor a cache nor another index is to answer.
        environment = {key: value for key, value in os.environ.items() if not re.match(r"(?i)pip_|.*_proxy$", key)}
        environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        pip = [tools / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--index-url", index, "jobshim"]
        installed, _ = timed(lambda: subprocess.run(pip, env=environment, check=True))
        answered, (demo, url) = timed(lambda: first_answer(tools / "jobshim"))
        try:
            text = (REPOSITORY / "examples/python/after.py").read_text()
            script = scratch / "after.py"
            script.write_text(text.replace("http://127.0.0.1:8187", url))
            run = [tools / "python", script]
            worked, output = timed(lambda: subprocess.run(run, cwd=scratch, capture_output=True, text=True))
        finally:
            demo.terminate()
            demo.wait()
        if not output.stdout.startswith("success\n"):
            sys.exit(f"FAILED: the script says: {output.stdout}{output.stderr}")
        unpacked = (tools / "jobshim").stat().st_size
    total = installed + answered + worked
    print(f"| from nothing to a working script, at {asked.mbit:g} Mbit/s and {asked.latency:g} ms | |")
    print("| --- | --- |")
    print(f"| downloaded | {sent[0] / 1e6:.1f} MB |")
    print(f"| jobshim once it is installed | {unpacked / 1e6:.1f} MB |")
    print(f"| `pip install jobshim` | {installed:.1f} s |")
    print(f"| `jobshim demo` until `/history` is answered | {answered:.2f} s |")
    print(f"| the script until it has its picture, of which the job takes 1 s | {worked:.1f} s |")
    print(f"| all of it | {total:.1f} s |")
    if sent[0] > MOST_BYTES or total > MOST_SECONDS:
        sys.exit(f"FAILED: the goal is {MOST_BYTES / 1e6:g} MB and {MOST_SECONDS} s")


if __name__ == "__main__":
    main()
