//! What the page is told.

use super::{Client, wait::until};
use serde_json::Value;
use std::{cell::RefCell, net::SocketAddr};

/// What the page of the admin listener is told of `span`, "hour" or "day", once `holds` of it.
pub async fn overview(admin: SocketAddr, span: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let (client, told) = (Client::new(), RefCell::new(Value::Null));
    let target = format!("/overview?span={span}");
    until(what, async || {
        let body = client.get(admin, &target).await.body;
        let now: Value = serde_json::from_slice(&body).expect("JSON");
        let holds = holds(&now);
        *told.borrow_mut() = now;
        holds
    })
    .await;
    told.into_inner()
}
