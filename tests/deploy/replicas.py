#!/usr/bin/env python3
"""The files for several jobshims: the manifests are valid by Kubernetes' own schemas and fit together, and so does the compose
file. Three jobshims run with what they set, over a Valkey that is started by their very words, behind an nginx with the very
configuration: they behave as one, and go on as they should when Valkey is killed and comes back.

The schemas come from PyPI; nginx, and Redis where there is no Valkey, from Debian's packages, unless they are there already.
Needs a built jobshim (JOBSHIM_TEST_PROGRAM, otherwise target/debug/jobshim)."""

import base64
import hashlib
import http.server
import json
import re
import signal
import subprocess
import tempfile
import threading
import zipfile
from pathlib import Path

from support import PROGRAM, REPOSITORY, TOOLS, VERSIONS, ask, check, debian, done, in_tools, pip, run

# support says where it is.
from checks import JsonHandler, free_port, until

in_tools()
import jsonschema  # noqa: E402
import yaml  # noqa: E402
from manifests import container, environment, fits_together, is_valid, one, starts_valkey  # noqa: E402
from valkey import PASSWORD, Valkey  # noqa: E402

# Its wheel holds the schema of compose files.
COMPOSE_PACKAGE = "docker-compose==1.29.2"
KEY = "fedcba9876543210fedcba9876543210"
MANIFESTS = REPOSITORY / "deploy/kubernetes/replicas.yaml"
COMPOSE = REPOSITORY / "deploy/compose.replicas.yaml"


def manifests():
    read = [manifest for manifest in yaml.safe_load_all(MANIFESTS.read_text()) if manifest]
    for version in VERSIONS:
        for manifest in read:
            is_valid(MANIFESTS.name, manifest, version)
    fits_together(MANIFESTS.name, read, services=1)
    deployment = one([each for each in read if each["metadata"]["name"] == "jobshim"], "Deployment")["spec"]
    check(deployment["replicas"] == 3, f"{deployment['replicas']} replicas")
    pod = deployment["template"]["spec"]
    version = re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.M)[1]
    check(container(pod)["image"] == f"YOUR-REGISTRY/jobshim:{version}", container(pod)["image"])
    check(pod["enableServiceLinks"] is False, "Services are taken for settings")
    # What the pods read is what the command at its head makes.
    head = MANIFESTS.read_text().split("apiVersion")[0]
    made = re.search(r"kubectl create secret generic (\S+)", head)[1]
    keys = set(re.findall(r"--from-literal=(\w+)=", head))
    valkey = one(read, "StatefulSet")["spec"]["template"]["spec"]
    for who in (pod, valkey):
        secret = next(volume["secret"] for volume in who["volumes"] if "secret" in volume)
        check(secret["secretName"] == made, f"{secret} is not made")
        check(secret["defaultMode"] == 0o440, "who reads the Secret")
    asked = {value.removeprefix("file:/run/secrets/jobshim/") for value in environment(container(pod)).values() if value.startswith("file:")}
    check(asked == keys == {"password", "key"}, f"{asked} are asked for, {keys} are made")
    done(f"{MANIFESTS.name}: valid for Kubernetes {', '.join(VERSIONS)}, and its parts fit")
    return container(pod), container(valkey, "valkey")


def compose_schema():
    """What compose files are made of, out of the docker-compose that was written in Python."""
    kept = TOOLS / "compose_spec.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            pip("download", "--quiet", "--no-deps", "--dest", folder, COMPOSE_PACKAGE)
            kept.write_bytes(zipfile.ZipFile(next(Path(folder).glob("*.whl"))).read("compose/config/compose_spec.json"))
    return jsonschema.Draft7Validator(json.loads(kept.read_text()))


def compose(valkey):
    read = yaml.safe_load(COMPOSE.read_text())
    for path in (COMPOSE, COMPOSE.with_name("compose.yaml")):
        wrong = [f"{list(error.path)}: {error.message}" for error in compose_schema().iter_errors(yaml.safe_load(path.read_text()))]
        check(not wrong, f"{path.name}: {wrong}")
    services, networks = read["services"], read["networks"]
    jobshim, front, store = services["jobshim"], services["front"], services["valkey"]
    check(jobshim["deploy"]["replicas"] == 3, f"{jobshim['deploy']}")
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    check(published == {"front": ["127.0.0.1:8187:8187", "127.0.0.1:8186:8186"]}, f"{published} are published")
    check(store["networks"] == ["store"] and networks["store"]["internal"] is True, "Valkey reaches somebody")
    in_store = [name for name, service in services.items() if "store" in service["networks"]]
    check(sorted(in_store) == ["jobshim", "valkey"], f"{in_store} reach Valkey")
    check(front["networks"] == ["front"] and set(jobshim["networks"]) == {"front", "servers", "store"}, "who reaches whom")
    trusted = jobshim["environment"]["JOBSHIM_TRUSTED_PROXIES"]
    check(networks["front"]["ipam"]["config"] == [{"subnet": trusted}], f"{trusted} is not where the front is")
    for name in ("jobshim", "front", "valkey"):
        service = services[name]
        check(service["read_only"] and service["cap_drop"] == ["ALL"] and "mem_limit" in service, f"{name} may do more")
        check(service["security_opt"] == ["no-new-privileges:true"], f"{name} may become more")
    check(store["volumes"] == ["valkey-data:/data"] and "valkey-data" in read["volumes"], "Valkey keeps nothing")
    delay = int(jobshim["environment"]["JOBSHIM_DRAIN_DELAY"].removesuffix("s"))
    check(0 < delay and delay + 10 < int(jobshim["stop_grace_period"].removesuffix("s")), "it is killed before it has drained")
    words = store["command"][2].replace("$$VALKEY_PASSWORD", "$(cat /run/secrets/valkey/password)")
    check(starts_valkey({"command": [*store["command"][:2], words]}) == starts_valkey(valkey), "Valkey is started in two ways")
    # docker compose has a say of its own: a lone $ is a variable of whoever starts it.
    lone = set(re.findall(r"(?<!\$)\$(?:\$\$)*(?!\$)\{?(\w+)", COMPOSE.read_text()))
    check(lone == {"VALKEY_PASSWORD", "COMFYUI_IMAGE"}, f"{lone} are asked of who starts it")
    done(f"{COMPOSE.name}: valid, its parts fit, and Valkey is shut in")
    settings = {name: value for name, value in jobshim["environment"].items()}
    settings["JOBSHIM_STATE_PASSWORD"] = PASSWORD
    file, place = front["volumes"][0].removesuffix(":ro").split(":")
    check(place == "/etc/nginx/conf.d/default.conf", f"nginx reads no {place}")
    return settings, (COMPOSE.parent / file).read_text()


class JobsApi(JsonHandler):
    """A server that has the Jobs API alone: what is deleted is for jobshim to hide. Its jobs are another's."""

    protocol_version = "HTTP/1.1"
    jobs = None

    def do_GET(self):
        if self.path.startswith("/ws"):
            key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
            self.end_headers()
            self.close_connection = True
        elif self.path.startswith("/api/jobs"):
            status, text = ask(self.jobs + self.path)
            self.answer(status, json.loads(text))
        else:
            self.answer(404, {})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(404, {})


class Jobshims:
    """As many as wanted, with these settings on this machine."""

    def __init__(self, folder, settings, server, valkey):
        self.folder, self.running = folder, []
        at = f"127.0.0.1:{valkey.port}"
        self.settings = settings | {
            "JOBSHIM_UPSTREAM": server,
            "JOBSHIM_STATE": re.sub(r"(?<=//)[^/]*", at, settings["JOBSHIM_STATE"]),
            "JOBSHIM_DRAIN_DELAY": "0s",
            "JOBSHIM_LOG_FORMAT": "text",
        }

    def start(self):
        http, admin = free_port(), free_port()
        places = {"JOBSHIM_LISTEN": f"127.0.0.1:{http}", "JOBSHIM_ADMIN": f"127.0.0.1:{admin}"}
        log = self.folder / f"jobshim-{len(self.running)}.log"
        with open(log, "w") as out:
            process = subprocess.Popen([PROGRAM], env=self.settings | places, stdout=out, stderr=out)
        self.running.append((process, http, admin))
        until("jobshim is ready", lambda: ask(f"http://127.0.0.1:{admin}/readyz")[0] == 200, why=log.read_text)
        return http

    def ports(self):
        return [http for _, http, _ in self.running]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _, _ in self.running:
            process.terminate()
        ended = [process.wait(timeout=30) for process, _, _ in self.running]
        check(not any(ended), f"they ended with {ended}")


def are_known(place, settings):
    checked = run(PROGRAM, "check", env=settings)
    check(checked.returncode == 0, f"{place}: {checked.stdout}{checked.stderr}")
    for variable in settings:
        check(f"environment {variable}" in checked.stdout, f"{place}: {variable} is no setting of jobshim")
    for secret in (PASSWORD, KEY):
        check(secret not in checked.stdout + checked.stderr, f"{place}: a secret is shown")


def history(port):
    status, text = ask(f"http://127.0.0.1:{port}/history")
    return set(json.loads(text)) if status == 200 else status


def delete(port, job):
    return ask(f"http://127.0.0.1:{port}/history", json.dumps({"delete": [job]}).encode(), **{"Content-Type": "application/json"})[0]


def behave_as_one(folder, settings, server, valkey):
    """Whichever is asked."""
    with Jobshims(folder, settings, server, valkey) as jobshims:
        ports = [jobshims.start() for _ in range(3)]
        jobs = history(ports[0])
        check(len(jobs) > 3, f"the server has {jobs}")
        for port, job in zip(ports, sorted(jobs)):
            check(delete(port, job) == 200, "a job cannot be deleted")
            jobs.remove(job)
            for other in ports:
                check(history(other) == jobs, "a job that was deleted through one is shown by another")
        done("what is deleted through one is hidden by all")

        last = sorted(jobs)[0]

        def none_is_taken(how):
            taken = [delete(port, last) for port in ports]
            check(taken == [503, 503, 503], f"{how}: a delete that cannot be kept is answered with {taken}")
            shown = [history(port) for port in ports]
            check(shown == [jobs] * 3, f"{how}: reads do not go on: {shown}")

        valkey.ask("config", "set", "maxmemory", "1")
        none_is_taken("full")
        valkey.ask("config", "set", "maxmemory", "512mb")
        valkey.process.send_signal(signal.SIGSTOP)
        none_is_taken("does not answer")
        valkey.process.send_signal(signal.SIGCONT)
        until("Valkey is used again", lambda: delete(ports[0], "no such job") == 200)
        valkey.kill()
        none_is_taken("killed")
        valkey.start()
        until("Valkey is used again", lambda: delete(ports[1], last) == 200)
        jobs.remove(last)
        check(history(jobshims.start()) == jobs, "Valkey has lost what it held")
        check([history(port) for port in ports] == [jobs] * 3, "Valkey came back, and they are not one")
        done("Valkey is full, stopped and killed, and comes back with all that it held; no delete is taken meanwhile, and reads go on")


def the_front_passes_on(folder, settings, configuration, server, valkey):
    """Compose's nginx, with the ports of this machine in place of Docker's names."""
    nginx = debian("nginx", "usr/sbin/nginx")
    with Jobshims(folder, settings | {"JOBSHIM_TRUSTED_PROXIES": "127.0.0.1"}, server, valkey) as jobshims:
        for _ in range(3):
            jobshims.start()
        at = {"8187": free_port(), "8186": free_port()}
        text = configuration
        for port, which in (("8187", 1), ("8186", 2)):
            name = f"set $jobshim http://jobshim:{port};"
            check(name in text and f"listen {port};" in text, f"the front has no port {port}")
            text = text.replace(name, f"set $jobshim http://all{port};").replace(f"listen {port};", f"listen 127.0.0.1:{at[port]};")
            servers = "".join(f"server 127.0.0.1:{running[which]};" for running in jobshims.running)
            text = f"upstream all{port} {{ {servers} }}\n" + text
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid; daemon off; master_process off; error_log {folder}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}{text}\n}}\n")
        tested = run(nginx, "-p", folder, "-c", folder / "nginx.conf", "-t")
        check(tested.returncode == 0, tested.stderr)
        front = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
        try:
            until("the front answers", lambda: ask(f"http://127.0.0.1:{at['8187']}/queue")[0] == 200)
            shown = lambda: history(at["8187"])
            jobs = shown()
            job = sorted(jobs)[0]
            check(delete(at["8187"], job) == 200, "a job cannot be deleted through the front")
            check(all(shown() == jobs - {job} for _ in range(9)), "it depends on who answers")
            counted = lambda admin: sum(map(int, re.findall(r'^jobshim_requests_total\{.*route="history".* (\d+)$', ask(f"http://127.0.0.1:{admin}/metrics")[1], re.M)))
            asked = [counted(admin) for _, _, admin in jobshims.running]
            check(all(asked), f"the front asks {asked}")
            check(ask(f"http://127.0.0.1:{at['8186']}/")[0] == 200, "the front does not show the page")
            opened = run("curl", "-sSi", "--http1.1", "--max-time", "2", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
                         "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                         f"http://127.0.0.1:{at['8187']}/ws?clientId=a")
            check(opened.stdout.startswith("HTTP/1.1 101"), f"no WebSocket: {opened.stdout}{opened.stderr}")
        finally:
            front.terminate()
            front.wait(timeout=30)
    done("compose's front passes requests and WebSockets on to all of them")


jobshim, valkey = manifests()
from_compose, configuration = compose(valkey)
with tempfile.TemporaryDirectory() as scratch:
    scratch = Path(scratch)
    (scratch / "password").write_text(PASSWORD + "\n")
    (scratch / "key").write_text(KEY + "\n")
    from_manifest = {name: value.replace("/run/secrets/jobshim", str(scratch)) for name, value in environment(jobshim).items()}
    are_known(MANIFESTS.name, from_manifest)
    are_known(COMPOSE.name, from_compose)
    done("jobshim knows what they set")
    port = free_port()
    with open(scratch / "demo.log", "w") as log:
        demo = subprocess.Popen([PROGRAM, "demo", "--listen", f"127.0.0.1:{port}", "--admin", "off"], stdout=log, stderr=log)
    JobsApi.jobs = f"http://127.0.0.1:{port}"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), JobsApi)
    # A connection that is cut says nothing about jobshim.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"http://127.0.0.1:{server.server_port}"
    try:
        until("there are jobs", lambda: ask(f"{JobsApi.jobs}/api/jobs")[0] == 200)
        with Valkey(valkey, scratch / "manifest") as store:
            store.is_as_written()
            done("Valkey runs as the manifest says, and its probes are answered")
            behave_as_one(scratch / "manifest", from_manifest, at, store)
        with Valkey(valkey, scratch / "compose") as store:
            the_front_passes_on(scratch / "compose", from_compose, configuration, at, store)
    finally:
        demo.terminate()
        demo.wait(timeout=30)
        server.shutdown()
