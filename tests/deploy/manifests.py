"""What no schema sees in manifests: that names lead somewhere, and that jobshim is shut in."""

import json

import yaml

from support import REPOSITORY, check


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
    """Of one rendered chart."""
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
