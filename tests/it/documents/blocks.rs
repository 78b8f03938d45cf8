//! Every block of code in every document is run, or parsed where it cannot be run here.

#![cfg(unix)]

use super::powershell::in_sh;
use crate::support::{
    StateFolder, TableFolder,
    documents::{Block, all, root},
    needs::is_left_out,
    program::{program, run},
    start_with,
};
use jobshim::{
    config::{Options as Settings, keys, settings::UPSTREAM},
    demo::{Options, Simulator, jobs, now},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

fn blocks(language: &str) -> Vec<Block> {
    let blocks = all().into_iter().flat_map(|document| document.blocks());
    blocks.filter(|block| block.language == language).collect()
}

#[test]
fn every_block_is_of_a_kind_that_is_tested() {
    for block in all().iter().flat_map(|document| document.blocks()) {
        // Text is what nobody types: a shape, or what is printed.
        let known = ["sh", "powershell", "toml", "json", "python", "text"].contains(&block.language.as_str());
        assert!(known, "{}: nothing tests {:?}", block.place, block.language);
    }
}

#[test]
fn every_configuration_is_good_as_it_stands() {
    let blocks = blocks("toml");
    assert!(blocks.len() > 6, "{} blocks", blocks.len());
    for block in blocks {
        let folder = StateFolder::new("documents-configuration");
        fs::create_dir_all(&folder.path).expect("a folder");
        let place = |name: &str| folder.path.join(name).display().to_string();
        fs::write(place("key"), "a-key").expect("a file");
        // Rows belong to a table, all else is a configuration.
        let arguments = match block.text.contains("[[field]]") {
            true => {
                let table = run(&["mapping", "history"], &[]).stdout;
                let table = String::from_utf8(table).expect("a table") + "\n" + &block.text;
                fs::write(place("history.toml"), table).expect("a file");
                ["check".to_owned(), "--mappings-dir".to_owned(), place("")]
            }
            false => {
                let text = block.text.replace("/run/secrets/comfy-cloud-key", &place("key"));
                fs::write(place("jobshim.toml"), text).expect("a file");
                ["check".to_owned(), "--config".to_owned(), place("jobshim.toml")]
            }
        };
        let output = run(&arguments.each_ref().map(String::as_str), &[]);
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {complaints}", block.place);
    }
}

#[test]
fn every_json_and_every_python_can_be_read() {
    for block in blocks("json") {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
        assert!(parsed.is_ok(), "{}: {parsed:?}", block.place);
    }
    for block in blocks("python") {
        let read = "import ast, sys; ast.parse(sys.stdin.read())";
        let child = Command::new("python3").args(["-c", read]).stdin(Stdio::piped()).spawn();
        let mut child = child.expect("python3");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(block.text.as_bytes()).expect("it reads");
        drop(stdin);
        assert!(child.wait().expect("it ends").success(), "{}", block.place);
    }
}

/// Stands for jobshim: what would serve is checked instead, with the same words. In the background it may serve, as a block
/// that starts it must stop it, too.
const JOBSHIM: &str = r#"#!/bin/sh
case "$1" in
    report) [ "$2" = --admin ] || set -- "$@" --admin "http://$JOBSHIM_ADMIN" ;;
    check | doctor | explain | mapping | health) ;;
    start | stop | status) export JOBSHIM_STATE_DIR="$BIN/state" JOBSHIM_LISTEN=127.0.0.1:0 JOBSHIM_ADMIN=off ;;
    *) set -- check "$@" ;;
esac
exec "$PROGRAM" "$@"
"#;
/// Stands for a program that must not do anything here: what it was asked for is looked at.
const STUB: &str = "#!/bin/sh\necho \"${0#\"$BIN/\"} $*\" >>\"$BIN/asked\"\n";
const STUBS: [&str; 15] = [
    "brew",
    "cargo",
    "comfy-api-proxy",
    "docker",
    "gh",
    "helm",
    "install",
    "just",
    "kubectl",
    "launchctl",
    "pip",
    "pipx",
    "sha256sum",
    "systemctl",
    "uvx",
];
/// What programs are called on Windows. Nothing is installed by one.
const ON_WINDOWS: [(&str, &str); 2] = [
    ("curl.exe", "#!/bin/sh\nexec curl \"$@\"\n"),
    (
        "python",
        "#!/bin/sh\n[ \"$1 $2\" = '-m pip' ] || exec python3 \"$@\"\necho \"python $*\" >>\"$BIN/asked\"\n",
    ),
];
/// The scripts of `examples/`, and the programs without which they are left out.
const EXAMPLES: [(&str, &[&str]); 4] = [
    ("python/after.py", &[]),
    ("javascript/after.mjs", &["node"]),
    ("go/after.go", &["go"]),
    ("curl/after.sh", &["curl", "jq"]),
];
/// The repository's own, where they are called.
const SCRIPTS: [&str; 5] = [
    ".ci/run",
    "benches/first_answer.py",
    "benches/server_cpu.py",
    "fuzz/run",
    "tests/windows.sh",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_runs() {
    let simulator = Simulator::start(jobs::board(now()), Options::default());
    let simulator = simulator.await.expect("a simulator");
    let mut jobshim = start_with(Settings::default().with(&UPSTREAM.url.key, simulator.url())).await;
    let admin = jobshim.admin(&[]).await;
    let own = format!("http://{}", jobshim.address);
    let seen = [
        ("http://127.0.0.1:8188", simulator.url()),
        ("http://127.0.0.1:8187", own.clone()),
        ("http://THIS-MACHINE:8187", own),
        ("http://127.0.0.1:8186", format!("http://{admin}")),
    ];
    let there = |text: &str| {
        seen.iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let examples = EXAMPLES.map(|(path, _)| {
        let script = fs::read_to_string(root().join("examples").join(path)).expect("a script");
        (format!("examples/{path}"), there(&script))
    });
    let in_sh = |block: Block| {
        let text = in_sh(&block.text).unwrap_or_else(|line| panic!("{}: not for both shells: {line}", block.place));
        Block { text, ..block }
    };
    let mut commands = blocks("sh");
    assert!(commands.len() > 25, "{} blocks", commands.len());
    commands.extend(blocks("powershell").into_iter().map(in_sh));
    for Block { place, text, .. } in commands {
        let mut needed = EXAMPLES
            .iter()
            .filter(|(path, _)| text.contains(path))
            .flat_map(|(_, needs)| *needs);
        if needed.any(|program| is_left_out(program)) {
            continue;
        }
        let (script, admin, examples) = (there(&text), admin.to_string(), examples.clone());
        let work = tokio::task::spawn_blocking(move || run_block(&place, &script, &admin, &examples));
        work.await.expect("the block runs");
    }
}

fn run_block(place: &str, script: &str, admin: &str, examples: &[(String, String)]) {
    let scratch = TableFolder::with("documents-commands", &[("jobshim.toml", "")]);
    let bin = scratch.path.join("bin");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(scratch.path.join("tls.crt"), cert.pem()).expect("a file");
    fs::write(scratch.path.join("tls.key"), signing_key.serialize_pem()).expect("a file");
    executable(&bin.join("jobshim"), JOBSHIM);
    STUBS.iter().for_each(|name| executable(&bin.join(name), STUB));
    for (name, script) in ON_WINDOWS {
        executable(&bin.join(name), script);
    }
    for (path, text) in examples {
        executable(&scratch.path.join(path), text);
    }
    for name in SCRIPTS {
        assert!(root().join(name).is_file(), "{name}");
        executable(&scratch.path.join(name), "#!/bin/sh\n");
    }
    assert_eq!(
        script.matches("jobshim start").count(),
        script.matches("jobshim stop").count(),
        "{place}: what is started runs on"
    );
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(&scratch.path)
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
        .env("BIN", &bin)
        .env("PROGRAM", program())
        .env("JOBSHIM_ADMIN", admin)
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"))
        .env("GOPATH", &scratch.path)
        .env("GO111MODULE", "off")
        .output()
        .expect("a shell");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{place}: {script}{}", said.concat());
    let asked = fs::read_to_string(bin.join("asked")).unwrap_or_default();
    for line in asked.lines() {
        assert_meant(place, &line.split_whitespace().collect::<Vec<_>>());
    }
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// What a command names is in the repository.
fn assert_meant(place: &str, words: &[&str]) {
    let file = |path: &str| fs::read_to_string(root().join(path)).expect("a file of the repository");
    let after = |option: &str| words.iter().skip_while(|word| **word != option).nth(1).copied();
    let said = words.join(" ");
    match words[0] {
        "cargo" => {
            let known = ["run", "test", "build", "install", "binstall", "bench", "fmt", "clippy"];
            assert!(known.contains(&words[1]), "{place}: {said}");
            if words[1] == "binstall" {
                assert!(words[2] == env!("CARGO_PKG_NAME"), "{place}: {said}");
            }
            let manifest = file("Cargo.toml");
            for name in [after("--bench"), after("--test")].into_iter().flatten() {
                let there = name == "it" || manifest.contains(&format!("name = \"{name}\""));
                assert!(there, "{place}: {said}");
            }
            if let Some(feature) = after("--features") {
                assert!(manifest.contains(&format!("\n{feature} = [")), "{place}: {said}");
            }
            for module in words
                .iter()
                .filter_map(|word| word.strip_suffix("::")?.split("::").next())
            {
                let it = root().join("tests/it").join(module);
                assert!(it.is_dir() || it.with_extension("rs").is_file(), "{place}: {said}");
            }
        }
        "comfy-api-proxy" => assert_eq!(words[1], "--comfyui", "{place}: {said}"),
        "docker" => {
            assert!(["build", "run", "compose"].contains(&words[1]), "{place}: {said}");
            if words[1] == "compose" {
                assert!(root().join(after("-f").expect("a file")).is_file(), "{place}: {said}");
            }
            for setting in words.iter().filter(|word| word.starts_with("JOBSHIM_")) {
                let (variable, _) = setting.split_once('=').expect("a value");
                assert!(keys().any(|key| key.variable == variable), "{place}: {said}");
            }
        }
        "helm" => {
            let chart = words.iter().find(|word| word.starts_with("deploy/")).expect("a chart");
            let values: serde_json::Value =
                serde_yaml_ng::from_str(&file(&format!("{chart}/values.yaml"))).expect("YAML");
            for set in words.windows(2).filter(|pair| pair[0] == "--set").map(|pair| pair[1]) {
                let (key, _) = set.split_once('=').expect("a value");
                let there = values.pointer(&format!("/{}", key.replace('.', "/"))).is_some();
                assert!(there, "{place}: the chart has no value {key}");
            }
        }
        "kubectl" => match words[1] {
            "apply" => assert!(root().join(after("-f").expect("a file")).is_file(), "{place}: {said}"),
            "create" => {
                assert_eq!(words[2..4], ["secret", "generic"], "{place}: {said}");
                let named = format!("secretName: {}", words[4]);
                assert!(
                    file("deploy/kubernetes/replicas.yaml").contains(&named),
                    "{place}: {said}"
                );
            }
            other => panic!("{place}: nothing tests kubectl {other}"),
        },
        "install" => {
            for source in words.iter().filter(|word| word.starts_with("deploy/")) {
                let (folder, pattern) = source.rsplit_once('/').expect("a folder");
                let start = pattern.trim_end_matches('*');
                let mut files = fs::read_dir(root().join(folder)).expect("a folder");
                let there = files.any(|entry| {
                    let name = entry.expect("an entry").file_name();
                    name.to_str().is_some_and(|name| name.starts_with(start))
                });
                assert!(there, "{place}: {said}");
            }
        }
        "systemctl" => {
            let unit = words.last().expect("a unit");
            assert!(root().join("deploy/systemd").join(unit).is_file(), "{place}: {said}");
        }
        "launchctl" => {
            let file = words.last().and_then(|path| path.rsplit('/').next());
            assert!(
                root().join("deploy/launchd").join(file.expect("a file")).is_file(),
                "{place}: {said}"
            );
        }
        "just" => {
            let recipe = words.get(1).unwrap_or(&"default");
            let recipes = file("justfile");
            let there = recipes.lines().any(|line| {
                let head = line.split([':', ' ']).next();
                line.contains(':') && head == Some(*recipe)
            });
            assert!(there, "{place}: {said}");
        }
        "brew" | "pip" | "pipx" => {
            let package = words[2].rsplit('/').next();
            let meant = ["install", "run"].contains(&words[1]) && package == Some(env!("CARGO_PKG_NAME"));
            assert!(meant, "{place}: {said}");
        }
        "uvx" => assert!(words[1] == env!("CARGO_PKG_NAME"), "{place}: {said}"),
        // The node's requirements, where ComfyUI keeps the node.
        "python" => {
            let path = said
                .strip_prefix("python -m pip install -r custom_nodes/")
                .and_then(|path| path.split_once('/'));
            let (node, list) = path.unwrap_or_else(|| panic!("{place}: {said}"));
            assert!(
                file("integrations/comfyui/pyproject.toml").contains(&format!("\nname = \"{node}\"\n")),
                "{place}: {said}"
            );
            assert!(
                root().join("integrations/comfyui").join(list).is_file(),
                "{place}: {said}"
            );
        }
        // What a release brings; tests/wheel.py makes it.
        "sha256sum" => assert!(
            said.starts_with("sha256sum --check --ignore-missing jobshim-"),
            "{place}: {said}"
        ),
        "gh" => assert!(said.starts_with("gh attestation verify jobshim-"), "{place}: {said}"),
        other => panic!("{place}: nothing tests {other}"),
    }
}
