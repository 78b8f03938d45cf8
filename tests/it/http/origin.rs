//! The origin rule of docs/contract.md section 6: what jobshim answers by itself is refused where the server would refuse.

use crate::support::{Client, Running, start, upstream::Scripted};
use http::Method;
use jobshim::config::{DialectChoice, Ids};
use std::net::SocketAddr;

const CROSS_SITE: &[(&str, &str)] = &[("sec-fetch-site", "cross-site")];
const OTHER_ORIGIN: &[(&str, &str)] = &[("host", "localhost:8187"), ("origin", "http://evil.example")];
const SAME_ORIGIN: &[(&str, &str)] = &[("host", "localhost:8187"), ("origin", "http://localhost:8187")];

/// Requests that jobshim answers by itself over an upstream that cannot be reached, and how.
const OWN: [(Method, &str, u16); 7] = [
    (Method::DELETE, "/history", 405),
    (Method::GET, "/interrupt", 404),
    (Method::GET, "/history?max_items=abc", 400),
    (Method::GET, "/history/x%2f..%2fy", 200),
    (Method::GET, "/history/%2e%2e", 200),
    (Method::GET, "/queue", 502),
    (Method::GET, "/view", 502),
];

async fn over(upstream: SocketAddr, dialect: DialectChoice) -> Running {
    start(&format!("http://{upstream}"), |config| {
        config.upstream.dialect = dialect;
        // An odd id is nothing that the server would be asked for.
        config.legacy.ids = Ids::Off;
    })
    .await
}

async fn unreachable() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn own_answers_are_403_where_a_self_hosted_server_refuses() {
    let jobshim = over(unreachable().await, DialectChoice::Comfyui).await;
    for (method, target, status) in OWN {
        for (headers, expected) in [
            (CROSS_SITE, 403),
            (OTHER_ORIGIN, 403),
            (SAME_ORIGIN, status),
            (&[], status),
        ] {
            let reply = Client::new()
                .send(method.clone(), jobshim.address, target, headers, "")
                .await
                .expect("an answer");
            assert_eq!(reply.status, expected, "{method} {target} {headers:?}");
            assert_eq!(reply.body.is_empty(), expected == 403, "{method} {target} {headers:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_may_be_self_hosted_has_the_rule_and_the_cloud_has_not() {
    let unreachable = unreachable().await;
    for (dialect, expected) in [(DialectChoice::Auto, 403), (DialectChoice::Cloud, 405)] {
        let jobshim = over(unreachable, dialect).await;
        let reply = Client::new()
            .send(Method::DELETE, jobshim.address, "/history", CROSS_SITE, "")
            .await
            .expect("an answer");
        assert_eq!(reply.status, expected, "{dialect:?}");
    }
}

#[tokio::test]
async fn what_the_server_can_be_asked_it_decides_itself() {
    // A server with --enable-cors-header lets everyone in; one without refuses. Both are believed.
    for (status, body) in [(200, r#"{"jobs": [], "pagination": {"has_more": false}}"#), (403, "")] {
        let recorder = Scripted::always(status, &[("access-control-allow-origin", "*")], body).await;
        let jobshim = over(recorder.address, DialectChoice::Comfyui).await;
        for target in ["/history", "/view"] {
            for headers in [CROSS_SITE, OTHER_ORIGIN] {
                let reply = Client::new().get_with(jobshim.address, target, headers).await;
                assert_eq!(reply.status, status, "{target} {headers:?}");
                let arrived = recorder.arrived().pop().expect("a call");
                for (name, value) in headers {
                    assert_eq!(arrived.headers[*name], *value, "{target}");
                }
            }
        }
    }
}
