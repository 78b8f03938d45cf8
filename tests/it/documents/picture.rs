//! The picture of the page in the documents: it is there and small, and can be taken anew.

use crate::support::{Client, Running, browser::Browser, documents::root, pin::writes, start_with};
use jobshim::{
    config::{
        Options as Settings,
        settings::{LEGACY, UPSTREAM},
    },
    demo::{Options, Simulator, jobs, now},
};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const PICTURE: &str = "docs/page.png";
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 800;
/// Long enough for lines on the plots, which have a point every five seconds.
const TRAFFIC: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_of_the_page_is_there_and_small() {
    let path = root().join(PICTURE);
    if writes()
        && let Some(browser) = Browser::open().await
    {
        fs::write(&path, take(&browser).await).expect("the picture is written");
    }
    let picture = fs::read(&path).expect("docs/page.png");
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| {
        picture[at..at + 4]
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte))
    };
    assert_eq!((number(16), number(20)), (WIDTH, HEIGHT));
    assert!(picture.len() < 200 * 1024, "{} bytes", picture.len());
}

async fn take(browser: &Browser) -> Vec<u8> {
    let simulator = Simulator::start(jobs::board(now()), Options::default());
    let simulator = simulator.await.expect("a simulator");
    // In the place of a server that still has its legacy endpoints.
    let old = start_with(Settings::default().with(&UPSTREAM.url.key, simulator.url())).await;
    let settings = Settings::default()
        .with(&UPSTREAM.url.key, simulator.url())
        .with(&LEGACY.upstream.key, format!("http://{}", old.address))
        .with(
            &LEGACY.routes.key,
            "history_entry=translate\nhistory=canary:60,compare,rollback.failures=1%",
        )
        .with(&LEGACY.mode.key, "shadow");
    let mut jobshim = start_with(settings).await;
    let admin = jobshim.admin(&[]).await;
    traffic(&jobshim, &simulator).await;
    let size = json!({"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": false});
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
    let light = json!({"features": [{"name": "prefers-color-scheme", "value": "light"}]});
    browser.devtools("Emulation.setEmulatedMedia", light).await;
    browser.go(&format!("http://{admin}/")).await;
    browser
        .until("document.body.dataset.shown && document.querySelector('#plot-routes canvas')")
        .await;
    browser.png(json!({})).await
}

/// Old clients as they are: some poll, one looks at the queue, one reads the whole history now and then.
async fn traffic(jobshim: &Running, simulator: &Simulator) {
    let client = Client::new();
    let begun = Instant::now();
    let mut turn = 0_u32;
    while begun.elapsed() < TRAFFIC {
        let all = simulator.with_board(|board| {
            if turn.is_multiple_of(20) {
                jobs::advance(board, now());
            }
            board.in_state("completed")
        });
        let newest = all.first().cloned().unwrap_or_default();
        let get = async |path: &str, agent: &str, key: &str| ask(&client, jobshim.address, path, agent, key).await;
        get(&format!("/history/{newest}"), "python-requests/2.32.3", "render-farm").await;
        // Busier at times.
        if turn % 60 > 25 {
            get(
                &format!("/history/{newest}"),
                "Python/3.12 aiohttp/3.9.5",
                "discord-bot",
            )
            .await;
            get("/queue", "Python/3.12 aiohttp/3.9.5", "discord-bot").await;
        }
        if turn.is_multiple_of(4) {
            get("/queue", "krita-ai-diffusion/1.24", "artist").await;
        }
        if turn.is_multiple_of(7) {
            get("/history?max_items=20", "Mozilla/5.0 (gallery)", "gallery").await;
        }
        if turn.is_multiple_of(9) {
            get("/history", "n8n", "workflows").await;
        }
        turn += 1;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn ask(client: &Client, address: SocketAddr, path: &str, agent: &str, key: &str) {
    let headers = [("user-agent", agent), ("x-api-key", key)];
    assert_eq!(client.get_with(address, path, &headers).await.status, 200, "{path}");
}
