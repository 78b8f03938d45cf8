//! `demo`: what it prints can be tried, as it stands.

#![cfg(unix)]

use crate::support::{Client, program::Program, start_with, wait::until};
use http::Method;
use jobshim::{
    config::{Options as Settings, settings::UPSTREAM},
    demo::{Options, Rules, Simulator, jobs, now},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

#[tokio::test(flavor = "multi_thread")]
async fn every_curl_line_of_the_demo_shows_what_it_says() {
    for dialect in ["comfyui", "cloud", "v2"] {
        try_demo(dialect).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_that_the_lines_name_waits_for_as_long_as_it_takes_to_try_them() {
    let mut program = Program::start(&["demo", "--listen", "127.0.0.1:0", "--admin", "off"], &[]);
    let line = program.line_with("The queue moves on every");
    let mut words = line.split_whitespace().skip_while(|word| *word != "every").skip(1);
    let seconds: u64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number of seconds");
    program.line_with("Ctrl-C ends it");
    let named = program
        .log
        .iter()
        .find_map(|line| line.split_once("{\"delete\": [\""))
        .expect("a line");
    let id = named.1.split('"').next().expect("an id").to_owned();
    let mut board = jobs::board(0);
    let mut steps = 0;
    while ["pending", "in_progress"]
        .iter()
        .any(|state| board.in_state(state).contains(&id))
    {
        steps += 1;
        jobs::advance(&mut board, steps);
    }
    let waits = seconds * u64::try_from(steps).expect("a number");
    assert!((100..=300).contains(&waits), "{waits} s");
}

async fn try_demo(dialect: &str) {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--dialect",
        dialect,
    ];
    let mut program = Program::start(&[&["demo"], &arguments[..]].concat(), &[]);
    program.line_with("Ctrl-C ends it");
    let shown: Vec<&String> = program.log.iter().filter(|line| !line.contains("INFO")).collect();
    for line in &shown {
        assert!(
            line.is_empty() || line.starts_with("# ") || *line == "#" || line.starts_with("curl "),
            "{line}"
        );
    }
    let columns: Vec<Option<usize>> = shown[..3].iter().map(|line| line.rfind("  ")).collect();
    assert!(
        columns[0].is_some() && columns.iter().all(|column| *column == columns[0]),
        "{shown:#?}"
    );
    let page = shown[0]
        .trim_start_matches("# http://")
        .split('/')
        .next()
        .expect("an address");
    let page = Client::new().get(page.parse().expect("an address"), "/").await;
    assert!(page.status == 200 && page.text().contains("<title>"), "{}", page.text());
    let lines: Vec<String> = program
        .log
        .iter()
        .filter(|line| line.starts_with("curl"))
        .cloned()
        .collect();
    assert!(lines.len() >= 10, "{:#?}", program.log);
    let client = Client::new();
    for line in lines {
        let url = line
            .split_whitespace()
            .find_map(|word| word.trim_matches('"').strip_prefix("http://"));
        let (authority, path) = url
            .and_then(|url| url.split_once('/'))
            .unwrap_or_else(|| panic!("{line}"));
        let address = authority.parse().expect("an address");
        let target = format!("/{path}");
        let order = line
            .split_once("-d '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(order, _)| order);
        let reply = match order {
            Some(order) => client.send(Method::POST, address, &target, &[], order.to_owned()).await,
            None => client.send(Method::GET, address, &target, &[], "").await,
        };
        let reply = reply.expect("an answer");
        let wanted = match (line.contains("curl -i"), line.contains("/object_info")) {
            (true, true) => 501,
            (true, false) => 404,
            (false, _) => 200,
        };
        assert_eq!(reply.status, wanted, "{line}");
        assert_eq!(reply.body.is_empty(), order.is_some(), "{line}: {}", reply.text());
        if line.ends_with("/history/00000001-0000-4000-8000-000000000000") {
            assert!(reply.text().contains("\"outputs\""), "it has ended: {}", reply.text());
        }
        // What was deleted or cleared is not shown any more.
        let left = client.get(address, &target).await.text();
        match order.unwrap_or_default() {
            order if order.contains("clear") => assert!(!left.contains("00000001-"), "{left}"),
            order if order.contains("delete") => {
                let id = order.split('"').nth(3).expect("an id");
                assert!(!left.contains(id), "{left}");
            }
            _ => {}
        }
    }
    program.signal("INT");
    assert_eq!(program.end().code(), Some(0));
}

const WORKFLOW: &str = r#"{"1": {"class_type": "EmptyImage", "inputs": {}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mine/cat"}}}"#;

async fn ended(client: &Client, at: SocketAddr, id: &str) -> Value {
    let target = format!("/history/{id}");
    until("the job has ended", async || {
        client.get(at, &target).await.text() != "{}"
    })
    .await;
    serde_json::from_str(&client.get(at, &target).await.text()).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_what_is_submitted_and_shows_its_picture() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let simulator = Simulator::start(jobs::board_of(rules, now()), Options::default());
        let simulator = simulator.await.expect("a simulator");
        let jobshim = start_with(Settings::default().with(&UPSTREAM.url.key, simulator.url())).await;
        let (client, at) = (Client::new(), jobshim.address);
        let submit = async |body: String| {
            let sent = client.send(Method::POST, at, "/prompt", &[], body).await;
            let reply = sent.expect("an answer");
            let answer: Value = serde_json::from_str(&reply.text()).expect("JSON");
            (reply.status, answer)
        };
        let (status, taken) = submit(format!(
            r#"{{"prompt": {WORKFLOW}, "extra_data": {{"api_key_comfy_org": "secret", "mark": 5}}}}"#
        ))
        .await;
        assert_eq!(status, 200, "{taken}");
        let id = taken["prompt_id"].as_str().expect("an id");
        let queue = client.get(at, "/queue").await.text();
        assert!(queue.contains(id), "{queue}");
        let history = ended(&client, at, id).await;
        let entry = &history[id];
        assert_eq!(entry["status"]["status_str"], "success", "{history}");
        let wanted = json!([{"filename": "cat_00001_.png", "subfolder": "mine", "type": "output"}]);
        assert_eq!(entry["outputs"]["2"]["images"], wanted);
        let prompt: Value = serde_json::from_str(WORKFLOW).expect("JSON");
        assert_eq!(entry["prompt"][2], prompt);
        let detail = client.get(at, &format!("/api/jobs/{id}")).await.text();
        assert!(!detail.contains("secret") && detail.contains("mark"), "{detail}");
        for (target, status) in [
            ("/view?filename=cat_00001_.png&subfolder=mine&type=output", 200),
            ("/view?type=output&filename=demo_00001_.png", 200),
            ("/view?filename=none.png", 404),
            ("/view", 404),
        ] {
            let reply = client.get(at, target).await;
            assert_eq!(reply.status, status, "{target}");
            assert_eq!(reply.body.starts_with(b"\x89PNG"), status == 200, "{target}");
        }
        // A client may name its job, and stop it.
        let own = "aaaaaaaa-0000-4000-8000-00000000000a";
        let (_, taken) = submit(format!(r#"{{"prompt": {WORKFLOW}, "prompt_id": "{own}"}}"#)).await;
        assert_eq!(taken["prompt_id"], own);
        let stopped = client
            .send(
                Method::POST,
                at,
                "/interrupt",
                &[],
                format!(r#"{{"prompt_id": "{own}"}}"#),
            )
            .await;
        assert_eq!(stopped.expect("an answer").status, 200);
        assert_eq!(ended(&client, at, own).await[own]["status"]["status_str"], "error");
        // Whatever it is called.
        let name = "my job/1";
        let (_, taken) = submit(format!(r#"{{"prompt": {WORKFLOW}, "prompt_id": "{name}"}}"#)).await;
        assert_eq!(taken["prompt_id"], name);
        assert_eq!(ended(&client, at, "my%20job%2F1").await[name]["prompt"][1], name);
        let (_, later) = submit(format!(r#"{{"prompt": {WORKFLOW}}}"#)).await;
        ended(&client, at, later["prompt_id"].as_str().expect("an id")).await;
        assert_eq!(ended(&client, at, own).await[own]["status"]["status_str"], "error");
        for (body, kind) in [
            ("{}", "no_prompt"),
            (r#"{"prompt": {}}"#, "prompt_no_outputs"),
            (
                r#"{"prompt": {"1": {"class_type": "EmptyImage"}}}"#,
                "prompt_no_outputs",
            ),
        ] {
            let (status, refused) = submit(body.to_owned()).await;
            assert_eq!((status.as_u16(), refused["error"]["type"].as_str()), (400, Some(kind)));
        }
    }
}
