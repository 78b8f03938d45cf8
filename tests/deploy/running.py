"""The program, run by what the chart sets: with its environment, volumes laid out as a kubelet does, and its probes."""

import http.server
import re
import subprocess
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from manifests import container, environment, of_kind, one
from support import PROGRAM, ask, check, done, run
from valkey import PASSWORD, Valkey

# support says where it is.
from checks import EmptyServer, free_port, until


class Comfy(EmptyServer):
    """It notes what it is asked."""

    seen = []

    def do_GET(self):
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        super().do_GET()


def project(folder, files):
    """A volume as a kubelet makes it: names lead through ..data to a folder that is exchanged as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{time.time_ns()}"
    for name, text in files.items():
        (version / name).parent.mkdir(parents=True, exist_ok=True)
        (version / name).write_text(text)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for name in files:
        top = Path(name).parts[0]
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")


SECRETS = {"s": {}, "comfy-cloud": {"api-key": "cloud-key\n"}, "team": {"name": "media"}, "jobshim": {"access-token": "let-me-in"},
           "jobshim-state": {"password": PASSWORD + "\n", "key": "fedcba9876543210fedcba9876543210\n"}, "valkey": {"jobshim": PASSWORD}}


def mounted(pod, manifests, root):
    """The volumes of jobshim's container, below `root`."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(manifests, "ConfigMap")}
    maps["our-ca"] = {"ca.pem": SECRETS["jobshim-tls"]["tls.crt"]}
    for mount in container(pod).get("volumeMounts", []):
        volume, at = volumes[mount["name"]], root / mount["mountPath"].lstrip("/")
        if "emptyDir" in volume or "persistentVolumeClaim" in volume:
            at.mkdir(parents=True)
        elif "configMap" in volume:
            data, items = maps[volume["configMap"]["name"]], volume["configMap"].get("items")
            project(at, {item["path"]: data[item["key"]] for item in items} if items else data)
        else:
            sources = [source["secret"] for source in volume["projected"]["sources"]]
            project(at, {item["path"]: SECRETS[source["name"]][item["key"]] for source in sources for item in source["items"]})


def the_program_runs_as_rendered(folder, charts):
    """`charts` are manifests by name."""
    folder.mkdir()
    made = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
    check(made.returncode == 0, made.stderr)
    SECRETS["jobshim-tls"] = {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")}
    comfy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Comfy)
    threading.Thread(target=comfy.serve_forever, daemon=True).start()
    for name, manifests in charts.items():
        pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
        jobshim, root = container(pod), folder / name
        mounted(pod, manifests, root)
        places = [mount["mountPath"] for mount in jobshim.get("volumeMounts", [])]
        set_to = environment(jobshim)
        mount = re.compile("|".join(f"(?<![^:=])(?={re.escape(place)}(/|$))" for place in places) or "$^", re.M)
        set_to = {key: mount.sub(str(root), value) for key, value in set_to.items()}
        checked = run(PROGRAM, "check", env=set_to)
        check(checked.returncode == 0, f"{name}: {checked.stdout}{checked.stderr}")
        for variable in set_to:
            known = variable in ("JOBSHIM_CONFIG",) or f"environment {variable}" in checked.stdout
            check(known, f"{name}: {variable} is no setting of jobshim")
        for secret in ("cloud-key", "let-me-in", PASSWORD, "fedcba9876543210"):
            check(secret not in checked.stdout + checked.stderr, f"{name}: a secret is shown")

        ports = {port: free_port() for port in ("http", "admin")}
        set_to |= {
            "JOBSHIM_LISTEN": f"0.0.0.0:{ports['http']}",
            "JOBSHIM_ADMIN": f"0.0.0.0:{ports['admin']}",
            "JOBSHIM_UPSTREAM": f"http://127.0.0.1:{comfy.server_port}",
            "JOBSHIM_DRAIN_DELAY": "0s",
        }
        with a_valkey(folder, name, charts, set_to) as store, open(folder / f"{name}.log", "w") as log:
            running = subprocess.Popen([PROGRAM], env=set_to, stdout=log, stderr=log)
            try:
                probes = {each: f"http://127.0.0.1:{ports[jobshim[each]['httpGet']['port']]}{jobshim[each]['httpGet']['path']}"
                          for each in ("startupProbe", "livenessProbe", "readinessProbe")}
                for each, url in probes.items():
                    until(f"{name}: {each} is answered with 200", lambda: ask(url)[0] == 200, why=(folder / f"{name}.log").read_text)
                if store:
                    until(f"{name}: it keeps something in Valkey", lambda: "keys=" in store.ask("info", "keyspace"))
                if name == "cloud":
                    client = f"https://127.0.0.1:{ports['http']}/history"
                    check(ask(client)[0] == 401, f"{name}: who shows no token is let in")
                    Comfy.seen.clear()
                    check(ask(client, Authorization="Bearer let-me-in")[0] == 200, f"{name}: the token is not taken")
                    keys = {(headers.get("x-api-key"), headers.get("x-team")) for _, headers in Comfy.seen}
                    check(keys == {("cloud-key", "media")}, f"{name}: {Comfy.seen}")
                if name == "sidecar":
                    changes_are_taken_over(root / "etc/jobshim", *(f"http://127.0.0.1:{ports[port]}" for port in ("http", "admin")))
            finally:
                running.terminate()
                running.wait(timeout=30)
        check(running.returncode == 0, f"{name}: it ended with {running.returncode}")
    comfy.shutdown()
    done("jobshim takes what each sets, answers the probes, and reads secrets where they are mounted")


def a_valkey(folder, name, charts, set_to):
    """The one that these settings name, if they name one: the chart's own as it starts it, another with TLS and users."""
    url = set_to.get("JOBSHIM_STATE")
    if not url:
        return nullcontext()
    own = container(one(charts["replicas"], "StatefulSet")["spec"]["template"]["spec"], "valkey")
    tls = url.startswith("valkeys://")
    port = free_port()
    users = f"user jobshim on >{PASSWORD} ~* &* +@all\nuser default on >{PASSWORD} ~* &* +ping +info\n"
    others = f"tls-port {port}\ntls-cert-file {folder}/tls.crt\ntls-key-file {folder}/tls.key\ntls-auth-clients no\n{users}"
    started = Valkey(own, folder / f"{name}-valkey", others if tls else "")
    set_to["JOBSHIM_STATE"] = re.sub(r"(?<=[/@])[^/@]+(?=/[0-9]+$)", f"localhost:{port}" if tls else f"127.0.0.1:{started.port}", url)
    return started


def changes_are_taken_over(volume, client, admin):
    """As after `helm upgrade` with another config, once the kubelet has noticed."""

    def is_forwarded():
        Comfy.seen.clear()
        ask(f"{client}/history")
        return any(path == "/history" for path, _ in Comfy.seen)

    def is_taken():
        found = re.search(r"^jobshim_config_last_reload_successful (.*)$", ask(f"{admin}/metrics")[1], re.M)
        return found[1] == "1"

    check(not is_forwarded() and is_taken(), "the first ConfigMap is not in force")
    project(volume, {"jobshim.toml": '[legacy]\nmode = "forward"\n'})
    until("the changed ConfigMap is in force", is_forwarded)
    project(volume, {"jobshim.toml": '[legacy]\nmode = "backward"\n'})
    until("a bad one is told of", lambda: not is_taken())
    check(is_forwarded(), "a bad ConfigMap is in force")
