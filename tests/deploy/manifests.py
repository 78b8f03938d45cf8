"""What no schema sees in manifests: that names lead somewhere, and that jobshim is shut in."""

import json
import sys

import kubernetes_validate
import yaml

from support import REPOSITORY, check

def is_valid(where, manifest, version):
    """By Kubernetes' own schemas."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        sys.exit(f"FAILED: {where}, Kubernetes {version}, {manifest['kind']}: {list(error.path)}: {error.message}")


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


def starts_valkey(container):
    """The lines that Valkey reads at its start."""
    words = container.get("command", []) + container.get("args", [])
    check(words[:2] == ["sh", "-euc"] and len(words) == 3, f"Valkey is started by {words}")
    first, *lines = words[2].strip().splitlines()
    check(first == "exec valkey-server - <<END" and lines.pop() == "END", f"Valkey is started by {words[2]}")
    return [line for line in lines if not line.startswith("#")]


def parts_of_valkey(manifests):
    """What is the chart's or the file's own Valkey, and all else."""
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(manifests, "StatefulSet")]

    def is_of_it(manifest):
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector", {}).get("matchLabels") or (manifest["kind"] == "Service" and spec["selector"])
        return manifest["kind"] == "StatefulSet" or any(selects(selector, each) for each in labels)

    return [each for each in manifests if is_of_it(each)], [each for each in manifests if not is_of_it(each)]


def valkey_fits(where, valkey, others):
    """It keeps what it holds, it is shut in, and jobshim alone reaches it."""
    stateful = one(valkey, "StatefulSet")["spec"]
    labels, pod = stateful["template"]["metadata"]["labels"], stateful["template"]["spec"]
    check(selects(stateful["selector"]["matchLabels"], labels), f"{where}: the StatefulSet does not know its pods")
    check(stateful["replicas"] == 1, f"{where}: {stateful['replicas']} stores")
    runs = container(pod, "valkey")
    lines = starts_valkey(runs)
    for line in ("dir /data", "appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "requirepass $(cat /run/secrets/valkey/password)"):
        check(line in lines, f"{where}: Valkey is started without {line!r}")
    most = next(line.split()[1] for line in lines if line.startswith("maxmemory "))
    limit = {"Mi": 1, "Gi": 1024}[runs["resources"]["limits"]["memory"][-2:]] * int(runs["resources"]["limits"]["memory"][:-2])
    check({"mb": 1, "gb": 1024}[most[-2:]] * int(most[:-2]) * 1.5 < limit, f"{where}: it is killed before it is full")
    security = pod["securityContext"] | runs["securityContext"]
    check(security["runAsNonRoot"] and security["runAsUser"] > 0, f"{where}: Valkey is root")
    check(security["fsGroup"] == security["runAsGroup"], f"{where}: Valkey may not write to its claim")
    check(security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], f"{where}: Valkey may write elsewhere")
    check(security["capabilities"] == {"drop": ["ALL"]} and security["seccompProfile"] == {"type": "RuntimeDefault"}, f"{where}: Valkey may do more")
    check(pod["automountServiceAccountToken"] is False, f"{where}: Valkey has a token of Kubernetes'")
    mounts = {mount["mountPath"]: mount["name"] for mount in runs["volumeMounts"]}
    check(mounts["/data"] in [claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]], f"{where}: it keeps nothing")
    secret = next(volume["secret"] for volume in pod["volumes"] if volume["name"] == mounts["/run/secrets/valkey"])
    check([item["path"] for item in secret["items"]] == ["password"], f"{where}: Valkey reads more than its password")
    service = one(valkey, "Service")
    check(service["metadata"]["name"] == stateful["serviceName"], f"{where}: it has another Service")
    ports = {port["name"]: port["containerPort"] for port in runs["ports"]}
    port = service["spec"]["ports"][0]
    check(ports[port["targetPort"]] == port["port"] == 6379, f"{where}: Valkey's port")
    jobshims = one(others, "Deployment")["spec"]["template"]["metadata"]["labels"]
    check(not selects(one(others, "Deployment")["spec"]["selector"]["matchLabels"], labels), f"{where}: Valkey is taken for a jobshim")
    policy = one(valkey, "NetworkPolicy")["spec"]
    check(policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == [], f"{where}: Valkey may reach somebody")
    who = [peer for rule in policy["ingress"] for peer in rule["from"]]
    check(len(who) == 1 and set(who[0]) == {"podSelector"}, f"{where}: others reach Valkey: {who}")
    check(selects(who[0]["podSelector"]["matchLabels"], jobshims), f"{where}: jobshim does not reach Valkey")
    check([rule["ports"] for rule in policy["ingress"]] == [[{"protocol": "TCP", "port": port["targetPort"]}]], f"{where}: {policy['ingress']}")
    for own in of_kind(others, "NetworkPolicy"):
        out = [rule for rule in own["spec"]["egress"] if rule["ports"][0]["port"] == 6379]
        check(len(out) == 1 and len(out[0]["to"]) == 1, f"{where}: {out}")
        check(selects(out[0]["to"][0]["podSelector"]["matchLabels"], labels), f"{where}: jobshim may not ask Valkey")
    state = environment(container(one(others, "Deployment")["spec"]["template"]["spec"]))["JOBSHIM_STATE"]
    check(state == f"valkey://{service['metadata']['name']}:6379/0", f"{where}: {state}")


def fits_together(name, manifests, services=2):
    """Of one rendered chart, or of one file."""
    where = name
    check(not of_kind(manifests, "Secret"), f"{where}: a Secret is made")
    valkey, manifests = parts_of_valkey(manifests)
    if valkey:
        valkey_fits(where, valkey, manifests)
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
    check(len(of_kind(manifests, "Service")) == services, f"{where}: Services")
    affinity = [service["spec"].get("sessionAffinity", "None") for service in of_kind(manifests, "Service") if service["spec"].get("clusterIP") != "None"]
    check(affinity == ["None" if "JOBSHIM_STATE" in set_to else "ClientIP"], f"{where}: {affinity}")
    check(not {"JOBSHIM_STATE", "JOBSHIM_STATE_DIR"} <= set(set_to), f"{where}: two places of one state")
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
    check(pod.get("serviceAccountName", "default") in accounts + ["default"], f"{where}: its ServiceAccount")

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
