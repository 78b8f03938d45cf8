//! The page, in a real browser: what it shows, wide and narrow, light and dark, and that it asks no other host.

use crate::support::{Client, Running, browser::Browser, start, start_with};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::{
        Options as Settings,
        settings::{LEGACY, UPSTREAM},
    },
    demo::{Board, Job, Options, Rules, Simulator},
    routes::RouteName,
    telemetry::{Comparison, Finding, Kind, Sample, now_ms},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Wide and narrow, light and dark.
pub(super) const SIZES: [(&str, u32, &str); 4] = [
    ("desktop-light", 1280, "light"),
    ("desktop-dark", 1280, "dark"),
    ("phone-light", 390, "light"),
    ("phone-dark", 390, "dark"),
];

pub(super) async fn look_as(browser: &Browser, width: u32, scheme: &str) {
    let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", features).await;
}

pub(super) async fn lived_in() -> (Simulator, Running, SocketAddr) {
    let mut board = Board::new(Rules::Comfyui);
    let text = r#"{"id": "done", "status": "completed", "create_time": 1700000000000, "priority": 7}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    let simulator = Simulator::start(board, Options::default()).await.expect("a simulator");
    let canary = Settings::default().with(&LEGACY.routes.key, "history_v2=canary:30,rollback.failures=1%");
    let mut jobshim = start_with(canary.with(&UPSTREAM.url.key, simulator.url())).await;
    let admin = jobshim.admin(&[]).await;
    for nth in 0..20 {
        jobshim.pipeline().modes().failed(RouteName::HistoryV2, nth);
    }
    let client = Client::new();
    let python = [("user-agent", "python-requests/2.31.0"), ("x-api-key", "one")];
    // Whatever clients send must be shown as text.
    let curl = [("user-agent", "<img src=x onerror=document.body.dataset.broken=1>")];
    for _ in 0..12 {
        client.get_with(jobshim.address, "/history", &python).await;
        client.get_with(jobshim.address, "/history/done", &python).await;
        client.get_with(jobshim.address, "/queue", &curl).await;
        client.get_with(jobshim.address, "/api/jobs", &curl).await;
    }
    let order = client.send(Method::POST, jobshim.address, "/queue", &python, r#"{"clear": true}"#);
    assert_eq!(order.await.expect("an answer").status, 200);
    let observer = jobshim.observer();
    let finding = |kind| Finding {
        field: "outputs.*.images[].type".to_owned(),
        kind,
        sample: Sample {
            path: "outputs.9.images[0].type".to_owned(),
            forwarded: "\"temp\"".to_owned(),
            translated: "\"output\" <b>bold</b>".to_owned(),
        },
        job: Some(1),
    };
    let comparison = |kind| Comparison {
        jobs: vec![1],
        findings: vec![finding(kind)],
    };
    observer
        .findings()
        .note(Endpoint::History, &comparison(Kind::Loss), "n8n");
    observer
        .findings()
        .note(Endpoint::History, &comparison(Kind::Difference), "n8n");
    let sample = finding(Kind::Difference).sample;
    observer
        .differing()
        .note(Endpoint::History, now_ms(), "0123-request", [&sample, &sample]);
    (simulator, jobshim, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_calls_clients_differences_and_the_upstream_and_asks_nobody_else() {
    let Some(browser) = Browser::open().await else { return };
    let (simulator, jobshim, admin) = lived_in().await;
    let url = format!("http://{admin}/");
    for (name, width, scheme) in SIZES {
        look_as(&browser, width, scheme).await;
        browser.go(&url).await;
        browser.until("document.body.dataset.shown && document.querySelector('#plot-routes canvas') && document.querySelector('#plot-routes').dataset.series.includes('POST') && document.querySelector('#events tbody tr') && document.querySelector('#tile-legacy').textContent === '37'").await;
        browser.picture(&format!("page-{name}.png")).await;
        let text = browser.run("return document.body.innerText").await;
        let text = text.as_str().expect("text");
        for shown in [
            simulator.url().as_str(),
            "answers since",
            "Self-hosted ComfyUI",
            "python-requests/2.31.0",
            "<img src=x onerror=document.body.dataset.broken=1>",
            "127.0.0.0/24",
            "GET /history/{id}",
            "outputs.*.images[].type",
            "\"output\" <b>bold</b>",
            "1 different, 1 lost",
            "1 of 2",
            "outputs.9.images[0].type",
            "The canary of GET /api/history_v2 rolled back",
            "2 fields request 0123-request",
            "Canary rolled back",
            "20 failures in 20 answers, more than 1%",
            "canary 30%, back over 1% failures: rolled back, forwarded",
            "GET /api/job/{id}/status",
        ] {
            assert!(text.contains(shown), "{name}: {shown} is not in {text}");
        }
        assert_eq!(
            browser.run("return document.body.dataset.broken ?? null").await,
            Value::Null
        );
        let links = "return [...document.querySelectorAll('.tiles a')].filter(one => document.querySelector(one.hash)).map(one => one.hash)";
        assert_eq!(
            browser.run(links).await,
            json!(["#failures", "#comparisons", "#comparisons"]),
            "{name}"
        );
        let lines = browser
            .run("return document.querySelector('#plot-routes').dataset.series")
            .await;
        assert_eq!(lines, "GET /history|GET /history/{id}|GET /queue|POST /queue", "{name}");
        assert_eq!(
            browser.run("return document.title").await,
            "! 1 canary rolled back · jobshim"
        );
        if width == 390 {
            let smallest = "return Math.min(...[...document.querySelectorAll('button, select, input')].map(one => one.getBoundingClientRect().height))";
            let smallest = browser.run(smallest).await;
            assert!(smallest.as_f64() >= Some(44.0), "{name}: {smallest} px are hard to hit");
            let lines = "return [...document.querySelectorAll('#clients tbody tr')].map(row => new Set([...row.cells].filter(cell => cell.offsetHeight).map(cell => Math.round(cell.getBoundingClientRect().top / 12))).size)";
            assert_eq!(browser.run(lines).await, json!([2, 2]), "{name}: a client is two lines");
        }
        // Nothing sticks out sideways.
        let widths = browser
            .run("return [document.documentElement.scrollWidth, innerWidth]")
            .await;
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{name}: {widths}");
        let background = browser
            .run("return getComputedStyle(document.body).backgroundColor")
            .await;
        let dark = background == "rgb(15, 19, 26)";
        assert_eq!(dark, scheme == "dark", "{name}: {background}");
        let asked = browser
            .run("return performance.getEntriesByType('resource').map(one => one.name)")
            .await;
        for one in asked.as_array().expect("requests") {
            assert!(one.as_str().is_some_and(|one| one.starts_with(&url)), "{name}: {asked}");
        }
    }
    // Live by itself: what happens now is shown without a reload.
    Client::new().get(jobshim.address, "/history").await;
    browser
        .until("document.querySelector('#tile-legacy').textContent === '38'")
        .await;
    browser.run("document.querySelector('[data-span=day]').click()").await;
    browser
        .until("document.querySelector('[data-span=day]').getAttribute('aria-pressed') === 'true'")
        .await;
    let complaints = browser.complaints().await;
    assert_eq!(complaints, json!([]), "{complaints:#}");
}

#[tokio::test]
async fn the_page_forbids_itself_every_other_host() {
    let mut jobshim = start("http://127.0.0.1:9", |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let page = Client::new().get(admin, "/").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    for rule in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    let text = page.text();
    for left in [
        "/*UPLOT_CSS*/",
        "/*PAGE_CSS*/",
        "/*UPLOT_JS*/",
        "/*PAGE_JS*/",
        "src=\"http",
        "href=\"http",
    ] {
        assert!(!text.contains(left), "{left}");
    }
}
