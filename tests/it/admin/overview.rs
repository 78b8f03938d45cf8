//! What the page is told: counts of the span, answers that differed, events; and the pages that are read.

use crate::support::{
    Client, TableFolder as Folder,
    browser::Browser,
    overview::overview,
    program::Program,
    server::board,
    start_with,
    surfaces::{Surfaces, differing_server},
    wait::until,
};
use jobshim::{
    config::{
        Options,
        settings::{LEGACY, UPSTREAM},
    },
    demo::Rules,
};
use serde_json::{Value, json};
use std::fs;

fn events<'a>(told: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = told["events"].as_array().into_iter().flatten();
    all.filter(|event| event["kind"] == kind).collect()
}

#[tokio::test]
async fn the_last_answers_that_differed_are_told_field_by_field_without_their_texts() {
    let server = differing_server().await;
    let options = Options::default().with(&UPSTREAM.url.key, server.url());
    let mut jobshim = start_with(options.with(&LEGACY.mode.key, "shadow")).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for number in 0..25 {
        let id = format!("request-{number}");
        client
            .get_with(jobshim.address, "/history", &[("x-request-id", &id)])
            .await;
        overview(admin, "day", "the comparison has ended", |told| {
            told["differing"][0]["request_id"] == id.as_str()
        })
        .await;
    }
    let told = overview(admin, "day", "an answer", |_| true).await;
    let all = told["differing"].as_array().expect("a list");
    assert_eq!(all.len(), 20, "the last twenty");
    let last = &all[0];
    assert_eq!((&last["route"], &last["more"]), (&json!("history"), &json!(0)));
    assert!(last["at_ms"].as_u64() <= told["now_ms"].as_u64());
    assert_eq!(
        last["fields"],
        json!([
            {"path": "prompt[0]", "forwarded": "8", "translated": "7"},
            {"path": "prompt[3].secret", "forwarded": "a text of 14 bytes", "translated": "a text of 6 bytes"},
        ])
    );
    assert!(!told.to_string().contains("another secret"));
}

#[tokio::test]
async fn routes_and_clients_are_counted_within_the_span_and_a_failure_is_no_answer_of_the_jobs_api() {
    let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
    let mut jobshim = start_with(Options::default().with(&UPSTREAM.url.key, server.url())).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for _ in 0..3 {
        assert_eq!(client.get(jobshim.address, "/queue").await.status, 200);
    }
    drop(server);
    until("a failure", async || {
        client.get(jobshim.address, "/queue").await.status == 502
    })
    .await;
    let told = overview(admin, "day", "a failure is counted", |told| {
        told["series"]["totals"]["queue"]["failed"].as_u64() > Some(0)
    })
    .await;
    let counts = &told["series"]["totals"]["queue"];
    assert_eq!(counts["translated"], 3, "{counts}");
    let one = &told["usage"]["clients"][0];
    assert_eq!(&one["within"]["queue"], counts, "{one:#}");
    assert_eq!(one["routes"]["queue"]["translated"], 3, "{one:#}");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_two_events_and_calls_that_are_gone_are_one() {
    let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
    let options = Options::default().with(&UPSTREAM.url.key, server.url());
    let mut jobshim = start_with(options.with(&LEGACY.routes.key, "queue=gone")).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for _ in 0..7 {
        assert_eq!(client.get(jobshim.address, "/queue").await.status, 410);
    }
    let health = jobshim.observer();
    for _ in 0..3 {
        health.health().answered();
    }
    for _ in 0..3 {
        health.health().failed("connection refused".to_owned());
    }
    health.health().answered();
    let told = overview(admin, "day", "the calls are counted", |told| {
        events(told, "gone").first().is_some_and(|gone| gone["count"] == 7)
    })
    .await;
    let gone = events(&told, "gone");
    assert_eq!(gone.len(), 1, "{gone:#?}");
    assert_eq!((&gone[0]["route"], &gone[0]["count"]), (&json!("queue"), &json!(7)));
    let (down, up) = (events(&told, "down"), events(&told, "up"));
    assert_eq!((down.len(), up.len()), (1, 1), "{told:#}");
    assert_eq!(down[0]["words"], "connection refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_are_events_and_the_configuration_in_force_and_the_guide_are_pages() {
    let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
    let folder = Folder::with(
        "overview-reload",
        &[
            ("jobshim.toml", "[legacy]\nmode = \"forward\"\n"),
            ("token", "0123456789-very-secret\n"),
        ],
    );
    let file = folder.path.join("jobshim.toml");
    let (path, token) = (
        file.display().to_string(),
        folder.path.join("token").display().to_string(),
    );
    let url = server.url();
    let arguments = ["--config", &path, "--listen", "127.0.0.1:0", "--upstream", &url];
    let secret = format!("file:{token}");
    let environment = [("JOBSHIM_ADMIN", "127.0.0.1:0"), ("JOBSHIM_ACCESS_TOKEN", &secret)];
    let mut program = Program::start(&arguments, &environment);
    let (admin, client) = (program.admin(), Client::new());
    fs::write(&file, "[legacy]\nmode = \"translate\"\n").expect("a file");
    let told = overview(admin, "day", "it is taken over", |told| {
        !events(told, "reloaded").is_empty()
    })
    .await;
    assert_eq!(events(&told, "reloaded")[0]["words"], "legacy.mode");
    fs::write(&file, "[legacy]\nmode = \"nonsense\"\n").expect("a file");
    let told = overview(admin, "day", "it is refused", |told| {
        !events(told, "reload_refused").is_empty()
    })
    .await;
    let words = events(&told, "reload_refused")[0]["words"].to_string();
    assert!(words.contains("legacy.mode") && words.contains("nonsense"), "{words}");
    // What is in force is what was taken over, not what the file says.
    let config = client.get(admin, "/config").await;
    assert_eq!(config.header("content-type"), "text/html; charset=utf-8");
    assert!(!config.header("content-security-policy").contains("script"));
    let text = config.text();
    for shown in [
        "legacy.mode",
        ">translate<",
        "jobshim.toml:2",
        "flag --upstream",
        "environment JOBSHIM_ADMIN",
        "answered from the Jobs API",
    ] {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
    assert!(!text.contains("nonsense") && !text.contains("very-secret"), "{text}");
    let guide = client.get(admin, "/guide").await.text();
    for shown in [
        "<h2>Before and after</h2>",
        "<td><code>GET /history</code></td>",
        "without <code>api_key_comfy_org</code>",
    ] {
        assert!(guide.contains(shown), "{shown} is not in {guide}");
    }
    assert!(!guide.contains("{endpoints}") && !guide.contains("{states}"));
    let Some(browser) = Browser::open().await else { return };
    for (name, width, scheme) in [("desktop-light", 1280, "light"), ("phone-dark", 390, "dark")] {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", features).await;
        for page in ["config", "guide"] {
            browser.go(&format!("http://{admin}/{page}")).await;
            browser.picture(&format!("page-{page}-{name}.png")).await;
            let widths = browser
                .run("return [document.documentElement.scrollWidth, innerWidth]")
                .await;
            assert!(widths[0].as_u64() <= widths[1].as_u64(), "{page} {name}: {widths}");
        }
    }
}
