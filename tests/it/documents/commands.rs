//! The commands for the cloud run as they stand, and the four steps of a migration do what they say.

use crate::support::{
    Client, Reply, TableFolder,
    documents::{document, marked},
    program::{Program, run},
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::demo::Rules;
use std::net::SocketAddr;

/// What a block exports, and the arguments of its jobshim.
fn command(text: &str) -> (Vec<(&str, &str)>, Vec<&str>) {
    let (mut exports, mut arguments) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(export) = line.strip_prefix("export ") {
            let (variable, value) = export.split_once('=').unwrap_or_else(|| panic!("{line}"));
            exports.push((variable, value.trim_matches('"')));
        } else {
            let words = line.strip_prefix("jobshim ").unwrap_or_else(|| panic!("{line}"));
            arguments = words.split_whitespace().collect();
        }
    }
    (exports, arguments)
}

/// Runs a command of the documents, with a simulated cloud in the place of the real one and a port of the system's choice.
fn start(name: &str, cloud: &Server) -> Program {
    let text = marked(name).text;
    let (exports, arguments) = command(&text);
    let url = cloud.url();
    let replaced = |word: &&str| match *word {
        "https://cloud.comfy.org" => url.clone(),
        "0.0.0.0:8187" => "0.0.0.0:0".to_owned(),
        other => other.to_owned(),
    };
    let mut words: Vec<String> = arguments.iter().map(replaced).collect();
    assert!(words.contains(&url), "{arguments:?}");
    if !arguments.contains(&"--listen") {
        words.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Program::start(&words, &exports)
}

async fn cloud() -> Server {
    let setup = Setup {
        keys: &["comfyui-your-key"],
        ..Setup::default()
    };
    Server::start(board(Rules::Cloud), setup).await
}

async fn submit(at: SocketAddr, headers: &[(&str, &str)]) -> Reply {
    let body = r#"{"prompt": {"9": {"class_type": "SaveImage", "inputs": {}}}}"#;
    let reply = Client::new().send(Method::POST, at, "/prompt", headers, body).await;
    reply.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_the_cloud_run_a_local_script() {
    let server = cloud().await;
    let mut program = start("cloud", &server);
    let at = program.address();
    assert_eq!(submit(at, &[]).await.status, 200);
    let queue = Client::new().get(at, "/queue").await;
    assert!(queue.text().contains("SaveImage"), "{}", queue.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_a_shared_cloud_let_in_who_has_the_token() {
    let server = cloud().await;
    let mut program = start("cloud-shared", &server);
    let at = SocketAddr::from(([127, 0, 0, 1], program.address().port()));
    assert_eq!(submit(at, &[]).await.status, 401);
    let page = document("docs/cloud.md").text;
    let line = page
        .lines()
        .find(|line| line.starts_with("curl -H \"Authorization"))
        .expect("a curl line");
    let value = line.split('"').nth(1).and_then(|header| header.split_once(": "));
    let token = [("authorization", value.expect("a header").1)];
    assert_eq!(submit(at, &token).await.status, 200);
    let queue = Client::new().get_with(at, "/queue", &token).await;
    assert!(queue.text().contains("SaveImage"), "{}", queue.text());
}

#[test]
fn each_of_the_four_steps_has_a_configuration_that_is_good_as_it_stands() {
    let page = document("docs/migrating.md").text;
    let steps: Vec<&str> = page
        .split("\n## ")
        .filter(|part| part.starts_with(char::is_numeric))
        .collect();
    let wanted = [
        ("1. Watch\n", &["history forward", "interrupt forward"][..]),
        ("2. Shadow\n", &["history shadow", "job_status shadow"]),
        ("3. Canary\n", &["history canary 30%", "queue shadow"]),
        ("4. Switch off\n", &["history gone 5%", "interrupt gone 5%"]),
    ];
    assert_eq!(steps.len(), wanted.len(), "{steps:#?}");
    for (step, (title, modes)) in steps.iter().zip(wanted) {
        assert!(step.starts_with(title) && step.contains("\nLook at: "), "{step}");
        let block = step.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let text = block.unwrap_or_else(|| panic!("no configuration: {step}"));
        let folder = TableFolder::with("readme-step", &[("jobshim.toml", text)]);
        let path = folder.path.join("jobshim.toml").display().to_string();
        let output = run(&["check", "--config", &path], &[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for mode in modes {
            assert!(
                lines.iter().any(|line| line.starts_with(mode)),
                "{title} {mode}: {said}"
            );
        }
    }
}
