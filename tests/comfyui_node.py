#!/usr/bin/env python3
"""The custom node package for ComfyUI, against a stand-in for ComfyUI's loader: jobshim starts beside the server and answers, ends
however the server ends, and whatever is wrong is a line in the log of a server that loads all the same.

Runs with the jobshim that is installed in the Python that runs it, else with the one on the PATH. Needs openssl."""

import ast
import importlib.util
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import types
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

from checks import REPOSITORY, JsonHandler, check, free_port, until

NODE = REPOSITORY / "integrations/comfyui"
# The oldest Python that ComfyUI runs on.
OLDEST_PYTHON = (3, 9)
ID = "00000001-0000-4000-8000-000000000000"
LIMIT = 30


# The stand-in for ComfyUI: `comfyui_node.py comfyui NODE [its options]`.

JOB = {
    "id": ID, "status": "completed", "create_time": 1000, "execution_start_time": 2000, "execution_end_time": 3000,
    "priority": 1, "outputs_count": 1,
}
DETAIL = {
    **JOB, "outputs": {"9": {"images": [{"filename": "made.png", "subfolder": "", "type": "output"}]}},
    "execution_status": {"status_str": "success", "completed": True, "messages": []},
    "workflow": {"prompt": {"9": {"class_type": "SaveImage", "inputs": {}}}, "extra_data": {}},
}


class ComfyUi(JsonHandler):
    """A server of the Jobs API with one job and no legacy endpoint."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/restart":
            # As ComfyUI-Manager does it.
            os.execv(sys.executable, [sys.executable, *sys.argv])
        if path == "/fork":
            forked = os.fork()
            if not forked:
                time.sleep(2 * LIMIT)
                os._exit(0)
        answers = {
            "/api/jobs": {"jobs": [JOB], "pagination": {"offset": 0, "limit": 100, "total": 1, "has_more": False}},
            f"/api/jobs/{ID}": DETAIL, "/system_stats": {"system": {"comfyui_version": "0.20.0"}},
            "/fork": {"pid": path == "/fork" and forked},
        }
        status, body = (200, answers[path]) if path in answers else (404, {"error": "not found"})
        if path == "/api/jobs" and "sort_by=" in query and "sort_by=created_at" not in query:
            status, body = 400, {"error": "sort_by must be one of: created_at, execution_duration"}
        self.answer(status, body)


def load_custom_node(folder):
    """What ComfyUI's loader does with a folder: its module's name is its path, and it must have NODE_CLASS_MAPPINGS."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        logging.warning("Cannot import %s module for custom nodes: %s", folder, error)
        return False
    return isinstance(getattr(module, "NODE_CLASS_MAPPINGS", None), dict)


def be_comfyui(node, listen, port, certificate=None, key=None):
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    arguments = types.ModuleType("comfy.cli_args")
    arguments.args = types.SimpleNamespace(listen=listen, port=int(port), tls_certfile=certificate, tls_keyfile=key)
    sys.modules["comfy"] = types.ModuleType("comfy")
    sys.modules["comfy.cli_args"] = arguments
    began = time.monotonic()
    good = load_custom_node(Path(node))
    logging.info("Import times for custom nodes: %.1f seconds%s", time.monotonic() - began, "" if good else " (IMPORT FAILED)")
    server = ThreadingHTTPServer((listen.split(",")[0], int(port)), ComfyUi)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    logging.info("To see the GUI go to: http://%s:%s", listen, port)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        logging.info("Stopped server")


# What the tests ask of it.


def get(url, read=json.load):
    """Status and JSON of an answer; None where there is none."""
    # A proxy that the environment names is for others.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status, read(answer)
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, ValueError):
        return None


def taken(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


class Started:
    """One stand-in, with a port each for it, its jobshim, and its jobshim's admin listener."""

    def __init__(self, scratch, listen="127.0.0.1", certificate=(), python=sys.executable, node=NODE, **environment):
        self.port, self.shim, self.admin = free_port(), free_port(), free_port()
        self.log_file = Path(tempfile.mkstemp(dir=scratch, suffix=".log")[1])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSHIM_")}
        told = {"JOBSHIM_LISTEN": f"127.0.0.1:{self.shim}", "JOBSHIM_ADMIN": f"127.0.0.1:{self.admin}"}
        command = [python, __file__, "comfyui", node, listen, str(self.port), *certificate]
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env={**kept, **told, **environment})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        until("jobshim ends", lambda: not taken(self.shim), LIMIT, self.log)

    def log(self):
        return self.log_file.read_text()

    def has_logged(self, text):
        until(f"the log has {text!r}", lambda: text in self.log(), LIMIT, self.log)
        return self

    def at_shim(self, path):
        return get(f"http://127.0.0.1:{self.shim}{path}")

    def answers(self):
        """It answers old clients through jobshim."""
        until("jobshim answers", lambda: self.at_shim("/history") is not None, LIMIT, self.log)
        status, history = self.at_shim("/history")
        check(status == 200 and list(history) == [ID] and history[ID]["status"]["status_str"] == "success",
              "/history through jobshim has the job")
        return self

    def stays_up(self, why):
        """It has loaded, and serves without jobshim."""
        until("the server answers", lambda: get(f"http://127.0.0.1:{self.port}/system_stats") is not None, LIMIT, self.log)
        check("IMPORT FAILED" not in self.log() and self.process.poll() is None, f"ComfyUI loads and serves {why}")

    def watcher(self):
        """The process between the two."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = [int(pid) for path in children for pid in path.read_text().split()]
        return next(pid for pid in found if b"watch_parent" in Path(f"/proc/{pid}/cmdline").read_bytes())


def starts_and_stops(scratch):
    # It takes its time to end, so that who does not wait for it is seen.
    with Started(scratch, JOBSHIM_DRAIN_DELAY="1s") as comfyui:
        comfyui.answers()
        for text in [
            f"[jobshim] old ComfyUI clients use http://127.0.0.1:{comfyui.shim}/; this ComfyUI is http://127.0.0.1:{comfyui.port}",
            f"[jobshim] who still uses the old endpoints is shown on http://127.0.0.1:{comfyui.admin}/",
        ]:
            comfyui.has_logged(text)
            check(True, f"the log has a link: {text}")
        log = comfyui.log()
        check(log.index("To see the GUI") < log.index("[jobshim]"), "jobshim is started once the server answers")
        check("WARN" not in log, "nothing warns")
        check(comfyui.at_shim("/system_stats") == (200, {"system": {"comfyui_version": "0.20.0"}}), "other paths pass through")
        _, page = get(f"http://127.0.0.1:{comfyui.admin}/config", read=lambda answer: answer.read().decode())
        check(re.search(r"<code>legacy\.mode</code></td><td[^>]*><code>auto</code>", page), "its mode is auto")
        check("status=" not in comfyui.log(), "requests are not logged")
        comfyui.process.send_signal(signal.SIGINT)
        check(comfyui.process.wait(LIMIT) == 0, "Ctrl-C ends ComfyUI")
        check(not taken(comfyui.shim), "jobshim has ended before it")
        check("ended with" not in comfyui.log() and "Traceback" not in comfyui.log(), "an end that is meant is no warning")


def ends_with_a_killed_server(scratch):
    for name in ["SIGTERM", "SIGKILL"]:
        with Started(scratch) as comfyui:
            comfyui.answers()
            comfyui.process.send_signal(signal.Signals[name])
            comfyui.process.wait(LIMIT)
            until(f"jobshim ends after {name}", lambda: not taken(comfyui.shim), LIMIT)
            check(True, f"jobshim ends when ComfyUI gets {name}")
    with Started(scratch) as comfyui:
        comfyui.answers()
        _, child = get(f"http://127.0.0.1:{comfyui.port}/fork")
        comfyui.process.kill()
        try:
            until("jobshim ends although a child of ComfyUI lives on", lambda: not taken(comfyui.shim), LIMIT)
            check(Path(f"/proc/{child['pid']}").exists(), "jobshim ends although a child of ComfyUI lives on")
        finally:
            os.kill(child["pid"], signal.SIGKILL)
    with Started(scratch) as comfyui:
        comfyui.answers()
        watcher = comfyui.watcher()
        # The watcher must not see the server's end first.
        os.kill(watcher, signal.SIGSTOP)
        comfyui.process.kill()
        os.kill(watcher, signal.SIGKILL)
        until("jobshim ends when all Pythons are killed", lambda: not taken(comfyui.shim), LIMIT)
        check(True, "jobshim ends when all Pythons are killed at once")


def starts_again_with_a_restarted_server(scratch):
    with Started(scratch) as comfyui:
        comfyui.answers()
        before = comfyui.watcher()
        get(f"http://127.0.0.1:{comfyui.port}/restart")
        until("ComfyUI starts anew", lambda: comfyui.log().count("To see the GUI") == 2, LIMIT, comfyui.log)
        until("jobshim starts anew", lambda: comfyui.log().count("old ComfyUI clients use") == 2, LIMIT, comfyui.log)
        check(comfyui.watcher() != before, "a restart of ComfyUI in place restarts jobshim")
        comfyui.answers()


def is_switched_off(scratch):
    with Started(scratch, JOBSHIM_DISABLE="1") as comfyui:
        comfyui.has_logged("[jobshim] off, as JOBSHIM_DISABLE is set").stays_up("with JOBSHIM_DISABLE")
        check(not taken(comfyui.shim) and comfyui.log().count("[jobshim]") == 1, "JOBSHIM_DISABLE=1 starts nothing")
    with Started(scratch, JOBSHIM_DISABLE="0") as comfyui:
        comfyui.answers()
        check("JOBSHIM_DISABLE" not in comfyui.log(), "JOBSHIM_DISABLE=0 is no reason to warn")


def says_what_is_wrong(scratch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with Started(scratch, JOBSHIM_LISTEN=address) as comfyui:
            comfyui.has_logged(f"cannot listen on {address}: the address is in use").has_logged("set JOBSHIM_LISTEN")
            comfyui.stays_up("where the port is taken")
    with Started(scratch, JOBSHIM_MODE="nonsense") as comfyui:
        comfyui.has_logged("[jobshim] ended with code 2").stays_up("where a setting is wrong")
    # A Python without the wheel, and no jobshim on the PATH.
    python = getattr(sys, "_base_executable", sys.executable)
    with Started(scratch, python=python, PATH=str(scratch)) as comfyui:
        comfyui.has_logged("[jobshim] not started: there is no jobshim in this Python").has_logged("-m pip install jobshim")
        comfyui.stays_up("without the program")
    folder = scratch / "not-a-program"
    folder.mkdir()
    (folder / "jobshim").write_text("\0")
    (folder / "jobshim").chmod(0o755)
    with Started(scratch, python=python, PATH=str(folder)) as comfyui:
        comfyui.has_logged("[jobshim] ended with code 1").stays_up("where the program cannot be run")


def finds_its_server(scratch):
    with Started(scratch, listen="0.0.0.0,::") as comfyui:
        comfyui.answers().has_logged(f"this ComfyUI is http://127.0.0.1:{comfyui.port}")
        check(True, "a server that listens everywhere is asked on loopback")
    certificate, key = str(scratch / "certificate.pem"), str(scratch / "key.pem")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
         certificate, "-days", "2", "-subj", "/CN=comfyui", "-addext", "subjectAltName=IP:127.0.0.1",
         "-addext", "basicConstraints=critical,CA:FALSE"],
        capture_output=True, text=True)
    check(made.returncode == 0, f"a certificate is made {made.stderr if made.returncode else ''}")
    with Started(scratch, certificate=(certificate, key)) as comfyui:
        comfyui.answers().has_logged(f"this ComfyUI is https://127.0.0.1:{comfyui.port}")
        check(True, "a server with a certificate of its own making is asked by https")
    with Started(scratch, JOBSHIM_DISABLE="1") as other, Started(scratch, JOBSHIM_UPSTREAM=f"http://127.0.0.1:{other.port}") as comfyui:
        comfyui.answers().has_logged(f"this ComfyUI is http://127.0.0.1:{other.port}")
        check(True, "JOBSHIM_UPSTREAM names another server")
    # The loader of a test may have no comfy.cli_args.
    sys.path.insert(0, str(NODE.parent))
    from comfyui.beside import Server, settings

    check(Server.of_this_comfyui().url() == "http://127.0.0.1:8188", "without ComfyUI's options, it is where it is by default")
    for listen, url in [("::", "http://[::1]:8188"), ("::1", "http://[::1]:8188"), ("192.168.1.5", "http://192.168.1.5:8188")]:
        check(Server(listen).url() == url, f"{listen} is {url}")
    told = settings({"JOBSHIM_CONFIG": "jobshim.toml", "JOBSHIM_MODE": ""}, Server())
    check(told["JOBSHIM_MODE"] == "", "a file decides on the mode")


def is_a_package_for_the_registry():
    import tomllib

    about = tomllib.loads((NODE / "pyproject.toml").read_text())
    project, cargo = about["project"], tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]
    check(project["version"] == cargo["version"] and project["license"]["text"] == cargo["license"], "version and licence are jobshim's")
    needed = (NODE / "requirements.txt").read_text().split()
    check(project["dependencies"] == needed == [cargo["name"]], "it needs the wheel and nothing else")
    name = project["name"]
    check(re.fullmatch(r"[a-z]([a-z0-9]|[-_.](?=[a-z0-9]))*", name) and "comfyui" not in name, f"the registry takes its name: {name}")
    check(project["urls"]["Repository"] == cargo["repository"], "it names the repository")
    check({"PublisherId", "DisplayName", "Icon"} <= about["tool"]["comfy"].keys(), "it has what the registry asks for")
    for path in NODE.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=OLDEST_PYTHON)
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
        others = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
        check(others <= {"comfy"}, f"{path.name} imports nothing that has to be installed")


def main():
    is_a_package_for_the_registry()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        starts_and_stops(scratch)
        ends_with_a_killed_server(scratch)
        starts_again_with_a_restarted_server(scratch)
        is_switched_off(scratch)
        says_what_is_wrong(scratch)
        finds_its_server(scratch)
    print("the node for ComfyUI is good")


if __name__ == "__main__":
    if sys.argv[1:2] == ["comfyui"]:
        be_comfyui(*sys.argv[2:])
    else:
        main()
