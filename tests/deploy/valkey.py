"""A Valkey or Redis of this machine, started by what a manifest says."""

import shutil
import subprocess
from pathlib import Path

from support import check, debian, run

# support says where it is.
from checks import free_port, until

PASSWORD = "0123456789abcdef0123456789abcdef"


def programs():
    """The server and its client: Valkey's, or Redis' from Debian."""
    for name in ("valkey", "redis"):
        found = shutil.which(f"{name}-server"), shutil.which(f"{name}-cli")
        if all(found):
            return found
    client = debian("redis-tools", "usr/bin/redis-cli")
    # In another package it is a link to this program, which goes by the name that it is called by.
    server = Path(client).with_name("redis-server")
    if not server.exists():
        server.symlink_to("redis-check-rdb")
    return server, client


class Valkey:
    """Of a container: its words, with the places of this machine, and more lines that it reads at its start."""

    def __init__(self, runs, folder, more=""):
        self.runs, self.folder, self.more, self.port = runs, folder, more, free_port()
        self.server, self.client = programs()
        (folder / "data").mkdir(parents=True)
        (folder / "secrets").mkdir()
        (folder / "secrets/password").write_text(PASSWORD + "\n")
        self.start()

    def here(self, words):
        script = "\0".join(words).replace("valkey-server", str(self.server)).replace("valkey-cli", f"{self.client}")
        script = script.replace("/run/secrets/valkey", f"{self.folder}/secrets").replace("dir /data", f"dir {self.folder}/data")
        # It is not this machine's only one.
        script = script.replace("<<END\n", f"<<END\nport {self.port}\nbind 127.0.0.1\n{self.more}").replace(f"{self.client}", f"{self.client} -p {self.port}")
        first, *rest = script.split("\0")
        return [*first.split(" "), *rest]

    def start(self):
        words = self.runs.get("command", []) + self.runs.get("args", [])
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(self.here(words), stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "VALKEY_PASSWORD": PASSWORD})
        until("Valkey is ready", lambda: self.probe("readinessProbe"), why=lambda: (self.folder / "log").read_text())

    def probe(self, name):
        return run(*self.here(self.runs[name]["exec"]["command"]), env={"PATH": "/usr/bin:/bin"}).returncode == 0

    def ask(self, *words):
        return run(self.client, "-p", self.port, *words, env={"REDISCLI_AUTH": PASSWORD}).stdout.strip()

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)

    def is_as_written(self):
        """What Valkey itself says of how it runs."""
        for name, value in (("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction"), ("save", "")):
            said = self.ask("config", "get", name).split("\n")
            check(said == [name, value] or said == [name], f"Valkey says {said}, and not {name} {value}")
        check(int(self.ask("config", "get", "maxmemory").split("\n")[1]) > 0, "Valkey may take all memory")
        check("NOAUTH" in run(self.client, "-p", self.port, "get", "a").stdout, "Valkey answers who shows no password")
        shown = (Path("/proc") / str(self.process.pid) / "cmdline").read_bytes().decode()
        check(PASSWORD not in shown and "-server" in shown, f"the list of processes shows {shown!r}")
        check(self.probe("livenessProbe") and self.probe("startupProbe"), "a probe of Valkey's fails")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
