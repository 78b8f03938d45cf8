"""jobshim as a process of its own, for as long as this ComfyUI runs."""

import atexit
import importlib.metadata
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

LOG = logging.getLogger("jobshim")
WATCHER = Path(__file__).with_name("watch_parent.py")
# What a server listens on, and where it is reached from the same machine.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
# How long ComfyUI's own end waits for jobshim's. The watcher goes on alone.
LAST_WAIT = 5


def start():
    """Starts jobshim once ComfyUI answers. Whatever is wrong is a line in the log: ComfyUI loads all the same."""
    try:
        if disabled(os.environ):
            say("off, as JOBSHIM_DISABLE is set")
            return
        program = find_program()
        if program is None:
            say(f"not started: there is no jobshim in this Python. Install it: {sys.executable} -m pip install jobshim", logging.WARNING)
            return
        server = Server.of_this_comfyui()
        threading.Thread(target=run, args=(program, server), name="jobshim", daemon=True).start()
    except Exception as error:
        say(f"not started: {error!r}", logging.WARNING)


def say(text, level=logging.INFO):
    LOG.log(level, "[jobshim] %s", text)


def disabled(environment):
    return environment.get("JOBSHIM_DISABLE", "").strip().lower() not in ("", "0", "false", "no", "off")


def find_program():
    """The program of the wheel in this Python, else the one on the PATH."""
    name = "jobshim.exe" if os.name == "nt" else "jobshim"
    try:
        files = importlib.metadata.files("jobshim") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    paths = [str(Path(file.locate()).resolve()) for file in files if file.name == name]
    return next((path for path in paths if os.access(path, os.X_OK)), None) or shutil.which("jobshim")


class Server:
    """Where the ComfyUI that loads this answers."""

    def __init__(self, listen="127.0.0.1", port=8188, certificate=None):
        address = listen.split(",")[0].strip().strip("[]")
        self.host = EVERYWHERE.get(address, address)
        self.port = port
        self.certificate = certificate

    @classmethod
    def of_this_comfyui(cls):
        try:
            from comfy.cli_args import args
        except ImportError:
            return cls()
        # ComfyUI speaks TLS when it has both.
        tls = getattr(args, "tls_keyfile", None) and getattr(args, "tls_certfile", None)
        certificate = os.path.abspath(tls) if tls else None
        return cls(getattr(args, "listen", None) or "127.0.0.1", getattr(args, "port", None) or 8188, certificate)

    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    def wait(self):
        """Until it takes connections. Nodes are loaded long before."""
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=5).close()
                return
            except OSError:
                time.sleep(0.5)


def settings(environment, server):
    """What jobshim is told. What the user says by JOBSHIM_... comes first."""
    told = {name: value for name, value in environment.items() if name != "JOBSHIM_DISABLE"}
    ours = {"JOBSHIM_UPSTREAM": server.url(), "JOBSHIM_LOG_ACCESS": "false"}
    # A file says itself which mode it means.
    if not told.get("JOBSHIM_CONFIG"):
        ours["JOBSHIM_MODE"] = "auto"
    # It may be signed by nobody else.
    if server.certificate:
        ours["JOBSHIM_CA_FILE"] = server.certificate
    # An empty variable counts as unset, here as there.
    return {**told, **{name: value for name, value in ours.items() if not told.get(name)}}


def run(program, server):
    """Waits for ComfyUI, starts jobshim, and passes its log on until it ends."""
    try:
        server.wait()
        told = settings(os.environ, server)
        process = spawn(program, told)
        atexit.register(stop, process)
        tell(process, told)
    except Exception as error:
        say(f"not started: {error!r}", logging.WARNING)


def spawn(program, told):
    # Apart from ComfyUI's terminal: Ctrl-C there means ComfyUI, and jobshim ends after it.
    apart = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(WATCHER), program],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=told, **apart,
    )
    if hasattr(os, "register_at_fork"):
        # A copy of ComfyUI that lives longer than ComfyUI must not hold the pipe open.
        os.register_at_fork(after_in_child=process.stdin.close)
    return process


def stop(process):
    process.stdin.close()
    try:
        process.wait(LAST_WAIT)
    except subprocess.TimeoutExpired:
        pass


def tell(process, told):
    for line in process.stderr:
        line = line.decode("utf-8", "replace").rstrip()
        say(announced(line, told) or line)
    code = process.wait()
    # Its stop at ComfyUI's end is no news.
    if not process.stdin.closed:
        say(
            f"ended with code {code}; ComfyUI goes on without it. If an address is taken, set JOBSHIM_LISTEN and "
            "JOBSHIM_ADMIN to others, such as 127.0.0.1:8287 and 127.0.0.1:8286",
            logging.WARNING,
        )


def announced(line, told):
    """What a line of jobshim's log says, text or JSON, as a link; None for most."""
    scheme = "https" if told.get("JOBSHIM_TLS_CERTIFICATE") else "http"
    address = re.search(r'\blistening\b.*?\baddress"?[=:]"?([^\s",]+)', line)
    if address:
        return f"old ComfyUI clients use {link(scheme, address.group(1))}; this ComfyUI is {told['JOBSHIM_UPSTREAM']}"
    admin = re.search(r'\bhealth\b.*?\badmin"?[=:]"?([^\s",]+)', line)
    return f"who still uses the old endpoints is shown on {link('http', admin.group(1))}" if admin else None


def link(scheme, address):
    return address if address.startswith("unix:") else f"{scheme}://{address}/"
