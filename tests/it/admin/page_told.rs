//! The page, told what it would be told in another hour: what it makes of it.

use super::page::{SIZES, lived_in, look_as};
use crate::support::{Client, browser::Browser, start, wait::until};
use jobshim::telemetry::EventKind;
use serde_json::{Value, json};
use std::net::SocketAddr;

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
    let days = "const noon = new Date().setHours(12, 0, 0, 0) / 1000, day = 86400; \
        const named = (ticks, start) => times(ticks, 3600, start).map(one => one.includes('\\n')); \
        return [named([noon - day, noon - 80000, noon], noon - day - 60), named([noon - 3600, noon], noon - day), named([noon, noon + 60], noon - 60)]";
    assert_eq!(
        browser.run(days).await,
        json!([[true, false, true], [true, false], [false, false]])
    );
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
    let tile = "return byId('tile-translated').className";
    assert_eq!(browser.run(tile).await, "warn", "others are answered");
    let failing = "seen.series.totals = {}; Object.assign(seen.verdicts.find(one => one.route === 'queue'), { verdict: 'failing', bad: true })";
    told(&browser, admin, failing).await;
    assert_eq!(browser.run(tile).await, "warn", "by its verdict");
    told(
        &browser,
        admin,
        "seen.series.totals = {}; seen.verdicts.forEach(one => Object.assign(one, { verdict: 'translated' }))",
    )
    .await;
    assert_eq!(browser.run(tile).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_noise_it_is_not_said_that_nothing_differs() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    let said = "return [byId('no-differing').textContent, byId('tile-differing').textContent]";
    let noise = "seen.findings = { queue: { compared: { noise: 30 }, jobs: {}, clients: {}, fields: {} } }";
    told(&browser, admin, noise).await;
    let words =
        "In all 30 compared answers the legacy endpoint differs from itself: nobody knows whether translations do.";
    assert_eq!(browser.run(said).await, json!([words, "–"]));
    told(&browser, admin, &noise.replace("30", "30, same: 4")).await;
    assert_eq!(
        browser.run(said).await,
        json!(["None found in 4 compared answers.", "0 of 4"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_stands_above_what_is_only_lost_and_one_call_is_one_call() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    let fields = "const field = (differences, losses, ago) => ({ differences, losses, noise: 0, sample: { path: 'p', forwarded: 'f', translated: 't' }, last_ms: seen.now_ms - ago }); \
        seen.findings = { queue: { compared: { different: 3, lost: 9 }, jobs: {}, clients: {}, fields: { lost_now: field(0, 9, 0), older: field(2, 0, 9000), newer: field(1, 5, 5000), lost_before: field(0, 1, 7000) } } }; \
        seen.series.totals = { queue: { count: 1, translated: 1, failed: 0 }, history: { count: 2, translated: 2, failed: 0 } }";
    told(&browser, admin, fields).await;
    let names = "return [...document.querySelectorAll('#differences tbody tr')].map(row => row.cells[1].textContent)";
    assert_eq!(
        browser.run(names).await,
        json!(["newer", "older", "lost_now", "lost_before"])
    );
    look_as(&browser, 390, "light").await;
    let words = "return [...document.querySelectorAll('#routes tbody td[data-label=Calls]')].map(cell => [cell.textContent, getComputedStyle(cell, '::after').content]).filter(([count]) => count === '1' || count === '2').sort()";
    assert_eq!(
        browser.run(words).await,
        json!([["1", "\" call\""], ["2", "\" calls\""]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_and_what_is_lost_are_shown_where_they_are_told() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    let heads = "return [...document.querySelectorAll('#routes th')].map(one => one.textContent)";
    told(&browser, admin, "delete seen.findings.history.compared.lost").await;
    assert_eq!(browser.run("return byId('tile-lost').offsetHeight").await, 0);
    let verdicts = "seen.modes.forEach(one => delete one.back); \
        seen.verdicts.forEach(one => Object.assign(one, { bad: false, words: 'forwarded' })); \
        Object.assign(seen.verdicts.find(one => one.route === 'history'), { words: '3 of 40 jobs differ: outputs, status', bad: true }); \
        Object.assign(seen.verdicts.find(one => one.route === 'queue'), { words: 'watching: 12 of 20 jobs so far' }); \
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
        look_as(&browser, width, "light").await;
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

/// A day as it may be: nobody calls at night, jobshim itself was away for two hours, the server for twenty minutes.
const DAY: &str = "const end = seen.now_ms / 1000, steps = [...Array(288).keys()].filter(n => n < 100 || n > 124); \
    const at = steps.map(n => Math.floor(end - (288 - n) * 300)), night = n => n % 288 < 60; \
    const wave = (most, every) => steps.map(n => night(n) ? 0 : Math.round(most * (1.2 + Math.sin(n / every)))); \
    const times = most => steps.map(n => night(n) && n % 7 ? null : most * (1.5 + Math.sin(n / 9))); \
    seen.series = { ...seen.series, at, step_s: 300, \
        routes: { history: wave(15000, 20), history_entry: wave(9000, 31), queue: wave(4000, 11), queue_write: wave(300, 5) }, \
        modes: { translate: wave(15000, 20), shadow: wave(9000, 31), gone: wave(40, 5) }, errors: { legacy: wave(12, 3) }, \
        hits: wave(9000, 12), misses: wave(300, 5), \
        latency: { jobs_api: { p50: times(1.2), p95: times(6.5) }, upstream: { p50: times(0.7), p95: times(1.9) } } }; \
    seen.series.totals.history = { count: 4200000, translated: 16900, failed: 12 }; \
    const event = (kind, hours, words, lasts = 0, route = null, count = 1) => ({ kind, at_ms: (end - hours * 3600) * 1000, until_ms: (end - (hours - lasts) * 3600) * 1000, words, route, count }); \
    seen.events = [event('gone', 2, '', 0.5, 'queue', 412), event('up', 4.7, ''), event('down', 5, 'connection refused'), event('rolled_back', 9, '20 failures in 20 answers', 0, 'history_v2'), \
        event('reload_refused', 19.9, 'jobshim.toml:3: unknown key legacy.modes'), event('reloaded', 20, 'legacy.mode')]";

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_gaps_and_events_fits_on_the_page() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, _jobshim, admin) = lived_in().await;
    for (name, width, scheme) in SIZES {
        look_as(&browser, width, scheme).await;
        told(&browser, admin, DAY).await;
        browser.run("document.querySelector('[data-span=day]').click()").await;
        browser.until("document.body.dataset.shownSpan === 'day'").await;
        browser.run("document.querySelector('details').open = true").await;
        browser.picture(&format!("page-day-{name}.png")).await;
        let share = browser
            .run("return document.querySelector('#routes .share').innerText")
            .await;
        assert_eq!(share, "0.4 % · 12 failed", "{name}");
        let events = browser
            .run("return [...document.querySelectorAll('#events tbody tr')].map(row => row.cells[1].textContent)")
            .await;
        let wanted = json!([
            "412 calls answered 410 for 30 min",
            "Server answers again",
            "Server stopped answering for 18 min",
            "Canary rolled back",
            "New configuration refused, the old one stays",
            "Configuration read again",
        ]);
        assert_eq!(events, wanted, "{name}");
        let marks = browser
            .run("return Object.keys(plots).map(id => byId(id).dataset.marks)")
            .await;
        let wanted = "reloaded|reload_refused|rolled_back|down|up|gone";
        let has_all = |marks: &Value| marks == wanted;
        assert!(
            marks
                .as_array()
                .is_some_and(|all| !all.is_empty() && all.iter().all(has_all)),
            "{name}: {marks}"
        );
        // Every label of an axis has room.
        let rooms = browser
            .run("return Object.values(plots).map(one => one.plot.axes[1]._size - 16 - 7.5 * Math.max(...one.plot.axes[1]._values.map(value => value.length)))")
            .await;
        let is_wide = |room: &Value| room.as_f64() >= Some(0.0);
        assert!(
            rooms.as_array().is_some_and(|all| all.iter().all(is_wide)),
            "{name}: {rooms}"
        );
        let widths = browser
            .run("return [document.documentElement.scrollWidth, innerWidth]")
            .await;
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{name}: {widths}");
    }
    let complaints = browser.complaints().await;
    assert_eq!(complaints, json!([]), "{complaints:#}");
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
