#!/usr/bin/env python3
"""jobshim.exe as its users on Windows use it: demo, check, a legacy read, an upload, a WebSocket, a changed file, the
background, and a clean stop. JOBSHIM_WINDOWS_RUN is the command that runs it; tests/windows.sh sets it."""

import base64
import hashlib
import http.server
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from checks import REPOSITORY, JsonHandler, check, free_port, until

JOBSHIM = shlex.split(os.environ["JOBSHIM_WINDOWS_RUN"].replace("\\", "/"))
ON_WINDOWS = os.name == "nt"
# Files of this run. The program knows them by their paths from the repository, its current folder.
(REPOSITORY / "target").mkdir(exist_ok=True)
SCRATCH = Path(tempfile.mkdtemp(prefix="windows-", dir=REPOSITORY / "target"))
NAME = f"target/{SCRATCH.name}"
# wine takes its time, above all when it starts for the first time.
PATIENCE = 120
JOB = {
    "id": "a1b2c3d4-0000-4000-8000-000000000001",
    "status": "completed",
    "priority": 7,
    "create_time": 1700000000000,
    "outputs": {"9": {"images": [{"filename": "ä b.png", "subfolder": "", "type": "output"}]}},
    "execution_status": {"status_str": "success", "completed": True, "messages": []},
    "workflow": {"prompt": {"9": {"class_type": "SaveImage", "inputs": {}}}, "extra_data": {}},
}


class Program:
    """jobshim.exe while it runs. What it says goes to a file: a pipe would be held open by what it starts."""

    def __init__(self, *arguments):
        out, self.file = tempfile.mkstemp(dir=SCRATCH)
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if ON_WINDOWS else {}
        environment = os.environ | {"JOBSHIM_ADMIN": "off"}
        self.process = subprocess.Popen(
            [*JOBSHIM, *arguments], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **group
        )
        os.close(out)

    def said(self):
        return Path(self.file).read_text(errors="replace")

    def until(self, words):
        def holds():
            if words in self.said():
                return True
            if self.process.poll() is not None:
                sys.exit(f"FAILED: it ended ({self.process.returncode}) without {words!r}:\n{self.said()}")
            return False

        until(words, holds)

    def end(self):
        try:
            return self.process.wait(PATIENCE), self.said()
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit(f"FAILED: it does not end:\n{self.said()}")

    def interrupt(self):
        """Ctrl-C, or on Windows Ctrl-Break, as only that reaches another group."""
        self.process.send_signal(signal.CTRL_BREAK_EVENT if ON_WINDOWS else signal.SIGINT)
        return self.end()


def run(*arguments):
    return Program(*arguments).end()


def get(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Server(JsonHandler):
    """Just enough of a ComfyUI: its Jobs API with one job, uploads, and a WebSocket that sends back what it gets."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/ws":
            return self.web_socket()
        if "sort_by=" in query and "sort_by=created_at" not in query:
            return self.answer(400, {"error": "no such sort"})
        listed = {name: JOB[name] for name in ("id", "status", "priority", "create_time")}
        answers = {
            "/api/jobs": {"jobs": [listed], "pagination": {"offset": 0, "limit": None, "total": 1, "has_more": False}},
            f"/api/jobs/{JOB['id']}": JOB,
            "/object_info/SaveImage": {"SaveImage": {"output_node": True, "input": {"required": {}}}},
        }
        self.answer(200 if path in answers else 404, answers.get(path, {"error": "Not Found"}))

    def do_POST(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            left -= len(piece)
            digest.update(piece)
        self.answer(200, {"name": "in.png", "sha256": digest.hexdigest(), "type": self.headers["Content-Type"]})

    def web_socket(self):
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept_of(self.headers["Sec-WebSocket-Key"]))
        self.end_headers()
        while True:
            code, payload = read_frame(self.rfile)
            self.wfile.write(frame(code, payload))
            if code == 8:
                self.close_connection = True
                return


def accept_of(key):
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def frame(code, payload, mask=b""):
    bit = 0x80 if mask else 0
    length = len(payload)
    if length < 126:
        size = bytes([bit | length])
    elif length <= 0xFFFF:
        size = bytes([bit | 126]) + struct.pack(">H", length)
    else:
        size = bytes([bit | 127]) + struct.pack(">Q", length)
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 | code]) + size + mask + payload


def read_frame(stream):
    first, second = stream.read(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", stream.read(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", stream.read(8))
    mask = stream.read(4) if second & 0x80 else b""
    payload = stream.read(length)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload


def try_demo():
    port, page = free_port(), free_port()
    demo = Program("demo", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{page}")
    demo.until("Ctrl-C ends it")
    status, body = get(f"http://127.0.0.1:{port}/history")
    check(status == 200 and len(json.loads(body)) > 1, f"demo: {len(json.loads(body))} finished jobs are read")
    status, body = get(f"http://127.0.0.1:{page}/")
    check(status == 200 and b"<title>" in body, "demo: the page is shown")
    code, said = demo.interrupt()
    check(code == 0 and "stopping" in said, "demo: Ctrl-C ends it cleanly")


def try_check():
    (SCRATCH / "good.toml").write_text('[upstream]\nurl = "http://127.0.0.1:8188"\n[legacy.routes]\nhistory = "shadow"\n')
    code, said = run("check", "--config", f"{NAME}/good.toml")
    check(code == 0 and "configuration and tables are good" in said, "check: a configuration is good")
    code, said = run("check", "--listen", "unix:/run/jobshim/socket", "--upstream", "unix:/run/comfyui.sock")
    check(code == 2 and said.count("this system has no Unix sockets") == 2, "check: Unix sockets are refused, in words")
    code, said = run("check", "--upstream", "nowhere")
    check(code == 2 and "a URL is expected" in said, "check: what is wrong is said")


def try_serve(upstream):
    port, config = free_port(), SCRATCH / "jobshim.toml"
    config.write_text(f'[upstream]\nurl = "{upstream}"\n')
    name = f"{NAME}/jobshim.toml"
    program = Program("serve", "--listen", f"127.0.0.1:{port}", "--config", name, "--state-dir", f"{NAME}/state")
    program.until("dialect is known")
    at = f"127.0.0.1:{port}"

    status, body = get(f"http://{at}/history/{JOB['id']}")
    entry = json.loads(body).get(JOB["id"], {})
    check(status == 200 and entry["outputs"] == JOB["outputs"], "a legacy read: an entry of /history")
    check(entry["prompt"][:2] == [7, JOB["id"]] and entry["prompt"][4] == ["9"], "a legacy read: its prompt")
    status, body = get(f"http://{at}/queue")
    check((status, json.loads(body)) == (200, {"queue_running": [], "queue_pending": []}), "a legacy read: /queue")

    picture = os.urandom(5 << 20)
    body = b'--bound\r\nContent-Disposition: form-data; name="image"; filename="in.png"\r\n\r\n' + picture + b"\r\n--bound--\r\n"
    request = urllib.request.Request(f"http://{at}/upload/image", body, {"Content-Type": "multipart/form-data; boundary=bound"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        got = json.load(answer)
    check(got["sha256"] == hashlib.sha256(body).hexdigest(), "an upload of 5 MB comes to the server as it was sent")

    try_web_socket(port)

    config.write_text(f'[upstream]\nurl = "{upstream}"\n[legacy]\nmode = "gone"\n')
    program.until("the configuration was read again")
    check(get(f"http://{at}/history")[0] == 410, "a changed file is taken over")

    with socket.create_connection(("127.0.0.1", port)) as quiet:
        code, said = program.interrupt()
        check(code == 0 and "stopping" in said, "Ctrl-C ends it cleanly, with 0")
        check(quiet.recv(1) == b"", "connections are closed")
    with socket.socket() as after:
        check(after.connect_ex(("127.0.0.1", port)) != 0, "the port is free again")


def try_web_socket(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        stream = connection.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /ws?clientId=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        answer = b"".join(iter(stream.readline, b"\r\n")).decode()
        check(answer.startswith("HTTP/1.1 101") and accept_of(key) in answer, "a WebSocket is opened")
        for code, payload in [(1, b"hello"), (2, os.urandom(100_000))]:
            connection.sendall(frame(code, payload, os.urandom(4)))
            check(read_frame(stream) == (code, payload), f"a WebSocket: {len(payload)} bytes go there and back")
        connection.sendall(frame(8, b"\x03\xe8", os.urandom(4)))
        check(read_frame(stream) == (8, b"\x03\xe8"), "a WebSocket is closed")


def try_background(upstream):
    state = f"{NAME}/background"
    in_folder = ("--state-dir", state)
    port = free_port()
    code, said = run("status", *in_folder)
    check(code == 3 and "does not run" in said, "status: it does not run, with 3")
    start = ("start", *in_folder, "--listen", f"127.0.0.1:{port}", "--upstream", upstream)
    code, said = run(*start)
    check(code == 0 and f"jobshim runs at http://127.0.0.1:{port}" in said, f"start: it runs, and start has ended\n{said}")
    check(get(f"http://127.0.0.1:{port}/history/{JOB['id']}")[0] == 200, "start: it answers")
    code, said = run(*start)
    check(code == 1 and "one is running already" in said, "start: a second one is refused")
    code, said = run("status", *in_folder)
    check(code == 0 and f"127.0.0.1:{port}" in said, "status: it runs, with 0")
    code, said = run("stop", *in_folder)
    check(code == 0 and "jobshim has stopped" in said, "stop: it has stopped")
    check("stopping" in (SCRATCH / "background" / "jobshim.log").read_text(), "stop: it ended by itself")
    check(run("status", *in_folder)[0] == 3, "status: it does not run any more")
    code, said = run(*start[:-1], "nowhere")
    check(code == 2 and "a URL is expected" in said, "start: why it cannot start is said, with 2")
    # %LOCALAPPDATA%
    code, said = run("status")
    check(code == 3, f"status: without a folder, that of this user is looked at\n{said}")
    code, said = run("start", "--listen", f"127.0.0.1:{port}", "--upstream", upstream)
    check(code == 0 and r"\AppData\Local\jobshim\jobshim.log" in said, "start: without a folder, it is kept in %LOCALAPPDATA%")
    check(run("stop")[0] == 0, "stop: there as well")


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream = f"http://127.0.0.1:{server.server_address[1]}"
    code, said = run("--version")
    check(code == 0 and said.startswith("jobshim "), f"it runs: {said.strip()}")
    try_check()
    try_demo()
    try_serve(upstream)
    try_background(upstream)
    print("ok: jobshim.exe")


try:
    main()
finally:
    shutil.rmtree(SCRATCH, ignore_errors=True)
