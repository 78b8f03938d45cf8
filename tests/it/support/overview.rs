//! What the page is told.

use super::{Client, wait::PATIENCE};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// What the page of the admin listener is told of `span`, "hour" or "day", once `holds` of it. It fails, and shows what was told
/// last, where that takes too long.
pub async fn overview(admin: SocketAddr, span: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let (client, began) = (Client::new(), Instant::now());
    let target = format!("/overview?span={span}");
    loop {
        let told = client.get(admin, &target).await.body;
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        if holds(&told) {
            return told;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}; what is told is\n{told}");
        sleep(Duration::from_millis(5)).await;
    }
}
