//! What `deploy/` holds is good: parsed, its parts fit each other, and jobshim accepts the settings in it.

#![cfg(target_os = "linux")]

mod monitoring;

use crate::support::{
    needs::{is_left_out, missing},
    program::{Program, program, run},
    raw::{exchange, statuses},
    upstream::Scripted,
    wait::PATIENCE,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Value> {
    let text = file(path);
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(Value::deserialize);
    documents
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `jobshim check` with these variables, which must all be known.
fn assert_accepted(place: &str, variables: &[(String, String)]) {
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let output = run(&["check"], &variables);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{place}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (name, _) in variables.iter().filter(|(name, _)| name.starts_with("JOBSHIM_")) {
        assert!(
            said.contains(&format!("environment {name}")),
            "{place}: {name} is no setting of jobshim"
        );
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

#[test]
fn the_compose_file_shuts_jobshim_in_and_sets_what_it_knows() {
    let compose = documents("deploy/compose.yaml");
    let jobshim = &compose[0]["services"]["jobshim"];
    let environment = jobshim["environment"].as_object().expect("settings");
    let variables: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    assert_accepted("compose.yaml", &variables);
    let upstream = environment["JOBSHIM_UPSTREAM"].as_str().expect("an upstream");
    let host = upstream
        .trim_start_matches("http://")
        .split(':')
        .next()
        .expect("a host");
    assert!(
        compose[0]["services"][host].is_object(),
        "{host} is no service beside it"
    );
    assert_eq!(jobshim["read_only"], true);
    assert_eq!(jobshim["cap_drop"][0], "ALL");
    assert!(
        text(&jobshim["ports"][0]).starts_with("127.0.0.1:"),
        "the port is this machine's alone"
    );
    let health = &jobshim["healthcheck"]["test"];
    assert_eq!(*health, serde_json::json!(["CMD", "/jobshim", "health", "--ready"]));
    let volume = text(&jobshim["volumes"][0]);
    let (volume, folder) = volume.split_once(':').expect("a volume");
    assert!(compose[0]["volumes"].get(volume).is_some());
    assert_eq!(folder, environment["JOBSHIM_STATE_DIR"]);
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|manifest| manifest["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("no {kind}"))
}

/// Whether a pod with `labels` is one that `selector` selects.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// The container of this name; a sidecar is an init container.
fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let mut all = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| pod[kind].as_array().into_iter().flatten());
    all.find(|container| container["name"] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn variables(container: &Value) -> Vec<(String, String)> {
    let settings = container["env"].as_array().expect("settings").iter();
    settings.map(|one| (text(&one["name"]), text(&one["value"]))).collect()
}

fn setting<'a>(variables: &'a [(String, String)], name: &str) -> &'a str {
    let setting = variables.iter().find(|(known, _)| known == name);
    &setting.unwrap_or_else(|| panic!("no {name}")).1
}

fn default(key: &str) -> &'static str {
    let mut known = jobshim::config::keys().filter(|known| known.name == key);
    known.next().expect("a key").default
}

/// Whole seconds.
fn time(text: &str) -> u64 {
    text.trim_end_matches('s').parse().expect("seconds")
}

#[test]
fn the_kubernetes_manifests_fit_together_and_set_what_jobshim_knows() {
    let versions = BTreeMap::from([
        ("Deployment", "apps/v1"),
        ("Service", "v1"),
        ("PodDisruptionBudget", "policy/v1"),
        ("NetworkPolicy", "networking.k8s.io/v1"),
    ]);
    for path in ["deploy/kubernetes/sidecar.yaml", "deploy/kubernetes/deployment.yaml"] {
        let manifests = documents(path);
        for manifest in &manifests {
            let kind = text(&manifest["kind"]);
            assert_eq!(manifest["apiVersion"], versions[kind.as_str()], "{path}: {kind}");
            assert!(manifest["metadata"]["name"].is_string(), "{path}: {kind} has no name");
        }
        let deployment = &of_kind(&manifests, "Deployment")["spec"];
        let (labels, pod) = (
            &deployment["template"]["metadata"]["labels"],
            &deployment["template"]["spec"],
        );
        assert!(selects(&deployment["selector"]["matchLabels"], labels), "{path}");
        let jobshim = container(pod, "jobshim");
        let image = concat!("YOUR-REGISTRY/jobshim:", env!("CARGO_PKG_VERSION"));
        assert_eq!(jobshim["image"], image, "{path}");
        let variables = variables(jobshim);
        assert_accepted(path, &variables);

        let service = &of_kind(&manifests, "Service")["spec"];
        assert!(
            selects(&service["selector"], labels),
            "{path}: the Service selects no pod"
        );
        assert_eq!(service["ports"][0]["targetPort"], "http", "{path}");
        for (place, name, variable) in [(0, "http", "JOBSHIM_LISTEN"), (1, "admin", "JOBSHIM_ADMIN")] {
            let port = &jobshim["ports"][place];
            assert_eq!(port["name"], name, "{path}");
            let everywhere = format!("0.0.0.0:{}", port["containerPort"]);
            assert_eq!(setting(&variables, variable), everywhere, "{path}");
        }

        for (probe, path) in [
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ] {
            let asked = &jobshim[probe]["httpGet"];
            assert_eq!(
                (&asked["path"], &asked["port"]),
                (&path.into(), &"admin".into()),
                "{probe}"
            );
        }
        // By itself it takes connections for a while after it is told to stop; beside ComfyUI, which goes first, ComfyUI does.
        let delay = match jobshim["restartPolicy"].as_str() {
            None => time(setting(&variables, "JOBSHIM_DRAIN_DELAY")),
            Some(_) => pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1]
                .as_str()
                .map(time)
                .expect("a time"),
        };
        let drain = time(default("server.drain_timeout"));
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a time");
        assert!(delay > 0 && grace > delay + drain, "{grace} s for {delay} + {drain}");
        let policy = &of_kind(&manifests, "NetworkPolicy")["spec"];
        assert!(selects(&policy["podSelector"]["matchLabels"], labels), "{path}");
        let rules = policy["ingress"].as_array().expect("rules");
        let admin: Vec<_> = rules
            .iter()
            .filter(|rule| rule["ports"][0]["port"] == "admin")
            .collect();
        assert!(
            admin.len() == 1 && admin[0]["from"].is_array(),
            "{path}: not everybody may look: {rules:?}"
        );
        assert!(jobshim["resources"]["limits"]["memory"].is_string(), "{path}");
        let security = &jobshim["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{path}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{path}");
        assert_eq!(security["capabilities"]["drop"][0], "ALL", "{path}");
        for setting in ["runAsNonRoot", "runAsUser"] {
            assert!(
                !security[setting].is_null() || !pod["securityContext"][setting].is_null(),
                "{path}: {setting}"
            );
        }
        for mount in jobshim["volumeMounts"].as_array().into_iter().flatten() {
            let volumes = pod["volumes"].as_array().expect("volumes");
            assert!(
                volumes.iter().any(|volume| volume["name"] == mount["name"]),
                "{path}: {mount}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_gets_the_answers_that_it_needs_from_the_manifests_settings() {
    let upstream = Scripted::always(200, &[], "{}").await;
    let url = upstream.url();
    for path in ["deploy/kubernetes/sidecar.yaml", "deploy/kubernetes/deployment.yaml"] {
        let manifests = documents(path);
        let jobshim = container(
            &of_kind(&manifests, "Deployment")["spec"]["template"]["spec"],
            "jobshim",
        );
        let set = variables(jobshim);
        let mut environment: Vec<(&str, &str)> = set.iter().map(|(name, value)| (&**name, &**value)).collect();
        environment.retain(|(name, _)| *name != "JOBSHIM_STATE_DIR");
        environment.extend([
            ("JOBSHIM_LISTEN", "0.0.0.0:0"),
            ("JOBSHIM_ADMIN", "0.0.0.0:0"),
            ("JOBSHIM_LOG_FORMAT", "text"),
            ("JOBSHIM_UPSTREAM", &url),
        ]);
        let mut program = Program::start(&[], &environment);
        let admin = ([127, 0, 0, 1], program.admin().port()).into();
        let probe = async |name: &str| {
            let target = text(&jobshim[name]["httpGet"]["path"]);
            // A kubelet asks for the pod by its address.
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: 10.244.1.7:8186\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\n\
                 Connection: close\r\n\r\n"
            );
            statuses(&exchange(admin, request.as_bytes()).await.expect("an end"))
        };
        for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(probe(name).await, [200], "{path}: {name}");
        }
        program.signal("TERM");
        program.line_with("stopping");
        assert_eq!(probe("readinessProbe").await, [503], "{path}");
        assert_eq!(probe("livenessProbe").await, [200], "{path}: it is not killed");
    }
}

#[test]
fn the_sidecar_starts_before_comfyui_and_stops_after_it() {
    let manifests = documents("deploy/kubernetes/sidecar.yaml");
    let pod = &of_kind(&manifests, "Deployment")["spec"]["template"]["spec"];
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["name"], "jobshim");
    assert_eq!(
        sidecar["restartPolicy"], "Always",
        "without it, ComfyUI would wait for jobshim to end"
    );
    let containers = pod["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1, "{containers:?}");
    let comfyui = container(pod, "comfyui");
    let arguments: Vec<&str> = comfyui["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let after = |name: &str| {
        arguments
            .iter()
            .skip_while(|argument| **argument != name)
            .nth(1)
            .expect("a value")
    };
    let upstream = format!("http://{}:{}", after("--listen"), after("--port"));
    assert_eq!(setting(&variables(sidecar), "JOBSHIM_UPSTREAM"), upstream);
}

#[test]
fn the_deployment_survives_a_drained_node_and_talks_to_comfyui_alone() {
    let manifests = documents("deploy/kubernetes/deployment.yaml");
    let deployment = &of_kind(&manifests, "Deployment")["spec"];
    let labels = &deployment["template"]["metadata"]["labels"];
    let budget = &of_kind(&manifests, "PodDisruptionBudget")["spec"];
    assert!(selects(&budget["selector"]["matchLabels"], labels));
    assert!(
        budget["minAvailable"].as_u64() < deployment["replicas"].as_u64(),
        "no node could ever be drained"
    );
    let policy = &of_kind(&manifests, "NetworkPolicy")["spec"];
    assert!(selects(&policy["podSelector"]["matchLabels"], labels));
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    // The sidecar's pods are the ones that it may ask, and their Service has the upstream's name and port.
    let others = documents("deploy/kubernetes/sidecar.yaml");
    let comfyui = &of_kind(&others, "Deployment")["spec"]["template"]["metadata"]["labels"];
    assert!(selects(
        &policy["egress"][0]["to"][0]["podSelector"]["matchLabels"],
        comfyui
    ));
}

/// The values of `key` in a unit file.
fn values(unit: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}=");
    unit.lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_units_fit_together_and_set_what_jobshim_knows() {
    let (service, socket) = (
        file("deploy/systemd/jobshim.service"),
        file("deploy/systemd/jobshim.socket"),
    );
    let variables: Vec<(String, String)> = values(&service, "Environment")
        .iter()
        .map(|setting| setting.split_once('=').expect("a variable"))
        .map(|(name, value)| (name.to_owned(), value.replace("%S", "/var/lib")))
        .collect();
    assert_accepted("jobshim.service", &variables);
    let (_, listen) = variables
        .iter()
        .find(|(name, _)| name == "JOBSHIM_LISTEN")
        .expect("an address");
    assert_eq!(
        values(&socket, "ListenStream"),
        [listen.as_str()],
        "health asks where the socket unit listens"
    );
    assert_eq!(values(&service, "ExecStart"), ["/usr/local/bin/jobshim"]);
}

#[test]
fn systemd_finds_the_units_good_and_well_shut_in() {
    const ANALYZE: &str = "systemd-analyze";
    if is_left_out(ANALYZE) {
        return;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("units");
    fs::create_dir_all(&folder).expect("a folder");
    for unit in ["jobshim.service", "jobshim.socket"] {
        let text = file(&format!("deploy/systemd/{unit}"));
        let text = text.replace("/usr/local/bin/jobshim", env!("CARGO_BIN_EXE_jobshim"));
        fs::write(folder.join(unit), text).expect("a file");
    }
    for arguments in [
        &["verify", "--man=no", "jobshim.service", "jobshim.socket"][..],
        // In tenths.
        &["security", "--offline=yes", "--threshold=20", "jobshim.service"],
    ] {
        let units = arguments.iter().map(|argument| match argument.starts_with("jobshim") {
            true => folder.join(argument).into_os_string(),
            false => argument.into(),
        });
        let output = Command::new(ANALYZE)
            .args(units)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", missing(ANALYZE, "systemd")));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}:\n{said}");
        // It complains of other units of this machine too.
        assert!(arguments[0] != "verify" || !said.contains("jobshim."), "{said}");
    }
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn the_image_sets_what_jobshim_knows() {
    let dockerfile = file("Dockerfile");
    let variables: Vec<(String, String)> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ENV ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(!variables.is_empty());
    assert_accepted("Dockerfile", &variables);
}

#[test]
fn clients_and_the_page_are_reached_out_of_a_container_as_it_is_written() {
    let image = file("Dockerfile");
    for (variable, port) in [("JOBSHIM_LISTEN", "8187"), ("JOBSHIM_ADMIN", "8186")] {
        assert!(image.contains(&format!("ENV {variable}=0.0.0.0:{port}")), "{variable}");
        let exposed = image
            .lines()
            .find_map(|line| line.strip_prefix("EXPOSE "))
            .expect("ports");
        assert!(exposed.split(' ').any(|exposed| exposed == port), "{port}");
        let published = format!("127.0.0.1:{port}:{port}");
        let compose: Value = serde_yaml_ng::from_str(&file("deploy/compose.yaml")).expect("YAML");
        let jobshim = &compose["services"]["jobshim"];
        assert_eq!(jobshim["environment"][variable], format!("0.0.0.0:{port}"));
        let ports = jobshim["ports"].as_array().expect("ports");
        assert!(ports.contains(&published.as_str().into()), "{ports:?}");
        for document in [&image, &file("docs/deploying.md")] {
            for (at, _) in document.match_indices("docker run") {
                let command: String = document[at..]
                    .lines()
                    .take_while(|line| !line.starts_with("```"))
                    .take(3)
                    .collect();
                assert!(command.contains(&format!("-p {published}")), "{command}");
            }
        }
    }
}

#[test]
fn the_launchd_agent_begins_jobshim_with_what_it_knows() {
    let read = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let path = "deploy/launchd/jobshim.plist";
    let output = Command::new("python3")
        .args(["-c", read, path])
        .output()
        .expect("python3");
    let agent: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let environment = agent["EnvironmentVariables"].as_object().expect("settings");
    let variables: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    assert_accepted(path, &variables);
    assert_eq!(agent["KeepAlive"]["SuccessfulExit"], false, "a stop is one");
    assert!(agent["ExitTimeOut"].as_u64() > Some(time(default("server.drain_timeout"))));
    // Its own command, with a home of the test's.
    let home = crate::support::StateFolder::new("launchd");
    let logs = home.path.join("Library/Logs");
    fs::create_dir_all(&logs).expect("a folder");
    let command = text(&agent["ProgramArguments"][2]).replace("/usr/local/bin/jobshim", "\"$PROGRAM\"");
    let mut child = Command::new(text(&agent["ProgramArguments"][0]))
        .args([&text(&agent["ProgramArguments"][1]), &command])
        .env_clear()
        .envs(variables)
        .env("HOME", &home.path)
        .env("PROGRAM", program())
        .env("JOBSHIM_LISTEN", "127.0.0.1:0")
        .env("JOBSHIM_ADMIN", "off")
        .spawn()
        .expect("a shell");
    let log = || fs::read_to_string(logs.join("jobshim.log")).unwrap_or_default();
    let begun = Instant::now();
    while !log().contains("listening") {
        let ended = child.try_wait().expect("a status");
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?} {}", log());
        thread::sleep(Duration::from_millis(5));
    }
    let ended = Command::new("kill").arg(child.id().to_string()).status();
    assert!(ended.expect("kill").success());
    assert!(child.wait().expect("its end").success(), "{}", log());
    assert!(
        home.path
            .join("Library/Application Support/jobshim/jobshim.redb")
            .is_file()
    );
}
