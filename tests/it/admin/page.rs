//! The page, in a real browser: what it shows, wide and narrow, light and dark, and that it asks no other host.

use crate::support::{Client, Running, browser::Browser, start, start_with, wait::until};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::{
        Options as Settings,
        settings::{LEGACY, UPSTREAM},
    },
    demo::{Board, Job, Options, Rules, Simulator},
    routes::RouteName,
    telemetry::{Compared, EventKind, Finding, Kind, Sample, now_ms},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

async fn lived_in() -> (Simulator, Running, SocketAddr) {
    let mut board = Board::new(Rules::Comfyui);
    let text = r#"{"id": "done", "status": "completed", "create_time": 1700000000000, "priority": 7}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    let simulator = Simulator::start(board, Options::default()).await.expect("a simulator");
    let canary = Settings::default().with(&LEGACY.routes.key, "history_v2=canary:30,rollback.failures=1%");
    let mut jobshim = start_with(canary.with(&UPSTREAM.url.key, simulator.url())).await;
    let admin = jobshim.admin(&[]).await;
    for _ in 0..20 {
        jobshim.pipeline().modes().translated(RouteName::HistoryV2, true);
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
    };
    observer
        .findings()
        .note(Endpoint::History, Compared::Same, &[finding(Kind::Loss)]);
    observer
        .findings()
        .note(Endpoint::History, Compared::Different, &[finding(Kind::Difference)]);
    let sample = finding(Kind::Difference).sample;
    observer
        .differing()
        .note(Endpoint::History, now_ms(), "0123-request", [&sample, &sample]);
    observer.cache_holds(3, 4096);
    (simulator, jobshim, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_calls_clients_differences_and_the_upstream_and_asks_nobody_else() {
    let Some(browser) = Browser::open().await else { return };
    let (simulator, jobshim, admin) = lived_in().await;
    let url = format!("http://{admin}/");
    for (name, width, scheme) in [
        ("desktop-light", 1280, "light"),
        ("desktop-dark", 1280, "dark"),
        ("phone-light", 390, "light"),
        ("phone-dark", 390, "dark"),
    ] {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", features).await;
        browser.go(&url).await;
        browser.until("document.body.dataset.shown && document.querySelector('#plot-routes canvas') && document.querySelector('#plot-routes').dataset.series.includes('POST') && document.querySelector('#tile-legacy').textContent === '37'").await;
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
            "1 different, 1 same",
            "1 of 2",
            "outputs.9.images[0].type",
            "The canary of GET /api/history_v2 rolled back",
            "2 fields request 0123-request",
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

/// The page of a jobshim that nobody has called, with what it would be told put in its place.
async fn told(browser: &Browser, admin: SocketAddr, change: &str) {
    browser.go(&format!("http://{admin}/")).await;
    browser.until("document.body.dataset.shown").await;
    let fake = format!(
        "const real = fetch; window.fetch = async (...asked) => {{ const seen = await (await real(...asked)).json(); {change}; \
         return new Response(JSON.stringify(seen)); }}; delete document.body.dataset.shown; refresh();"
    );
    browser.run(&fake).await;
    browser.until("document.body.dataset.shown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_of_many_are_not_0_percent_and_a_gap_is_a_gap_and_a_day_has_a_name() {
    let Some(browser) = Browser::open().await else { return };
    let mut jobshim = start("http://127.0.0.1:9", |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    told(&browser, admin, "").await;
    let shares = "return [[4, 1000], [0, 5], [5, 5], [0, 0], [1, 10000], [9999, 10000], [996, 1000], [1, 3], [96, 100]].map(([part, all]) => percent(part, all))";
    assert_eq!(
        browser.run(shares).await,
        json!([
            "0.4 %", "0 %", "100 %", "–", "< 0.1 %", "> 99.9 %", "99.6 %", "33 %", "96 %"
        ])
    );
    let gaps = browser
        .run("return withGaps([0, 5, 20, 25], [{ values: [1, 2, 3, 4] }], 5)")
        .await;
    assert_eq!(gaps, json!([[0, 5, 10, 20, 25], [1, 2, null, 3, 4]]));
    let days = "const noon = new Date().setHours(12, 0, 0, 0) / 1000; return times([noon - 86400, noon - 80000, noon], 3600).map(one => one.includes('\\n'))";
    assert_eq!(browser.run(days).await, json!([true, false, true]));
    assert_eq!(
        browser
            .run("return document.querySelector('#no-differing').textContent")
            .await,
        "Nothing has been compared: mode shadow compares, and so does a canary with compare."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colour_stays_with_its_route_and_a_route_whose_calls_all_fail_is_red() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    told(&browser, admin, "").await;
    browser
        .until("document.querySelector('#plot-routes').dataset.series.includes('queue')")
        .await;
    let colors = async || {
        let colors = "const { series, colors } = document.querySelector('#plot-routes').dataset, all = colors.split('|'); return Object.fromEntries(series.split('|').map((name, n) => [name, all[n]]))";
        browser.run(colors).await
    };
    let all = colors().await;
    let failing = "delete seen.series.routes.history; delete seen.series.routes.history_entry; seen.series.totals.queue = { count: 300, translated: 0, failed: 300 }";
    told(&browser, admin, failing).await;
    let some = colors().await;
    assert_eq!(some.as_object().map(|some| some.len()), Some(2), "{some}");
    assert_eq!(some["GET /queue"], all["GET /queue"]);
    assert_eq!(some["POST /queue"], all["POST /queue"]);
    let row = "return [...document.querySelectorAll('#routes tbody tr')].find(row => row.innerText.includes('GET /queue')).innerText";
    let row = browser.run(row).await;
    assert!(
        row.as_str().is_some_and(|row| row.contains("0 % · all failed")),
        "{row}"
    );
    let red = "return document.querySelectorAll('#routes td[data-label=Route] .warn').length";
    assert_eq!(browser.run(red).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_and_what_is_lost_are_shown_where_they_are_told() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    let heads = "return [...document.querySelectorAll('#routes th')].map(one => one.textContent)";
    told(&browser, admin, "").await;
    let without = json!(["Route", "Mode", "Calls", "From the Jobs API", "Clients", "Last call"]);
    assert_eq!(browser.run(heads).await, without);
    assert_eq!(browser.run("return byId('tile-lost').offsetHeight").await, 0);
    let verdicts = "seen.modes.forEach(one => delete one.back); \
        seen.verdicts = [{ route: 'history', verdict: 'differs', words: '3 of 40 jobs differ: outputs, status', next_step: 'See the differences below, and mend the table.', bad: true }, \
            { route: 'queue', verdict: 'watching', words: 'watching: 12 of 20 jobs so far', next_step: 'Wait.', bad: false }]; \
        seen.findings.history.compared = { different: 3, same: 30, lost: 7, empty: 900 }";
    told(&browser, admin, verdicts).await;
    let with = json!([
        "Route",
        "Mode",
        "Verdict",
        "Calls",
        "From the Jobs API",
        "Clients",
        "Last call",
        "Next step"
    ]);
    assert_eq!(browser.run(heads).await, with);
    let red =
        "return [...document.querySelectorAll('#routes td[data-label=Verdict] .warn')].map(one => one.textContent)";
    assert_eq!(browser.run(red).await, json!(["3 of 40 jobs differ: outputs, status"]));
    let queue = "return [...document.querySelectorAll('#routes td[data-label=Verdict]')].filter(one => one.textContent.startsWith('watching')).length";
    assert_eq!(browser.run(queue).await, 1, "a write has no verdict of its read's");
    let tiles = "return [byId('tile-differing').textContent, byId('tile-lost').textContent]";
    assert_eq!(
        browser.run(tiles).await,
        json!(["3 of 40", "7 of 40"]),
        "what said nothing does not count"
    );
    assert_eq!(browser.run("return document.title").await, "! 1 bad verdict · jobshim");
    for (width, name) in [(1280, "desktop"), (390, "phone")] {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        browser.picture(&format!("page-verdicts-{name}.png")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_to_do_when_the_server_is_down_and_lists_what_happened() {
    let Some(browser) = Browser::open().await else { return };
    let (simulator, jobshim, admin) = lived_in().await;
    let observer = jobshim.observer();
    observer.events().tell(EventKind::Reloaded, "legacy.mode, tables");
    observer
        .events()
        .tell(EventKind::ReloadRefused, "jobshim.toml:3: unknown key legacy.modes <b>");
    drop(simulator);
    let client = Client::new();
    until("a call finds that the server is down", async || {
        client.get(jobshim.address, "/api/jobs").await;
        observer.health().seen().up == Some(false)
    })
    .await;
    told(&browser, admin, "seen.modes.forEach(one => delete one.back)").await;
    assert_eq!(browser.run("return document.title").await, "! server down · jobshim");
    let text = browser.run("return document.body.innerText").await;
    let text = text.as_str().expect("text");
    for shown in [
        "The server does not answer: ",
        "jobshim doctor names the cause",
        "Server stopped answering, and has not come back",
        "Configuration read again",
        "legacy.mode, tables",
        "New configuration refused, the old one stays",
        "jobshim.toml:3: unknown key legacy.modes <b>",
    ] {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
    browser.picture("page-down.png").await;
    let complaints = browser.complaints().await;
    assert_eq!(complaints, json!([]), "{complaints:#}");
    browser
        .run("window.fetch = () => Promise.reject(new Error('gone')); refresh()")
        .await;
    browser.until("document.title === '! jobshim does not answer'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_can_be_filtered_and_sorted() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    told(&browser, admin, "").await;
    let names =
        "return [...document.querySelectorAll('#clients tbody tr')].map(row => row.cells[0].textContent.slice(0, 6))";
    let choose = async |id: &str, value: &str| {
        let script = format!("byId('{id}').value = '{value}'; byId('{id}').dispatchEvent(new Event('input'))");
        browser.run(&script).await;
        browser.run(names).await
    };
    assert_eq!(choose("client-order", "name").await, json!(["<img s", "python"]));
    assert_eq!(choose("client-order", "calls").await, json!(["python", "<img s"]));
    assert_eq!(choose("client-filter", "GET /history").await, json!(["python"]));
    assert_eq!(choose("client-filter", "nobody").await, json!([]));
    let none = browser.run("return byId('no-clients').innerText").await;
    assert_eq!(none, "None of 2 clients has \"nobody\".");
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
