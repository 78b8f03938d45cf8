//! What a legacy request may be, and what of it reaches the upstream: parameters, methods, HEAD, origins, credentials.

use super::failures::{assert_own_error, routes};
use crate::support::{Client, server::board, start, surfaces::Surfaces, upstream::reply};
use http::Method;
use jobshim::demo::{Board, Options, Rules, Simulator};

#[tokio::test]
async fn a_parameter_that_is_no_number_is_a_400() {
    let simulator = Simulator::start(Board::new(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    let client = Client::new();
    for target in [
        "/history?max_items=abc",
        "/history?offset=1.5",
        "/api/history?max_items=",
        "/api/history_v2?max_items=x",
        "/api/history_v2?offset=--1",
    ] {
        let reply = client.get(jobshim.address, target).await;
        assert_own_error(&reply, 400, "invalid_query", target);
    }
}

#[tokio::test]
async fn another_method_is_a_405_that_names_the_right_ones() {
    let simulator = Simulator::start(Board::new(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    let client = Client::new();
    for (method, path, allow) in [
        (Method::DELETE, "/history", "GET, HEAD, OPTIONS, POST"),
        (Method::PUT, "/api/queue", "GET, HEAD, OPTIONS, POST"),
        (Method::POST, "/history/x", "GET, HEAD, OPTIONS"),
        (Method::POST, "/api/history_v2", "GET, HEAD, OPTIONS"),
        (Method::PUT, "/interrupt", "OPTIONS, POST"),
    ] {
        let reply = client
            .send(method, jobshim.address, path, &[], "")
            .await
            .expect("an answer");
        assert_own_error(&reply, 405, "method_not_allowed", path);
        assert_eq!(reply.header("allow"), allow, "{path}");
    }
    assert_eq!(
        simulator
            .targets("/")
            .iter()
            .filter(|target| !target.contains("limit=1"))
            .count(),
        0
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let simulator = Simulator::start(Board::new(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    let client = Client::new();
    let bad = ["/history?max_items=x".to_owned()];
    for route in routes().into_iter().chain(bad) {
        let get = client.get(jobshim.address, &route).await;
        let head = client
            .send(Method::HEAD, jobshim.address, &route, &[], "")
            .await
            .expect("an answer");
        assert_eq!(head.status, get.status, "{route}");
        assert!(head.body.is_empty());
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{route} {name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string(), "{route}");
    }
}

#[tokio::test]
async fn cors_headers_of_the_upstream_are_carried_on() {
    let cors = [
        ("access-control-allow-origin", "https://editor.example"),
        ("access-control-allow-credentials", "true"),
        ("vary", "Origin"),
    ];
    let headers = cors
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect();
    let options = Options {
        headers,
        ..Options::default()
    };
    let simulator = Simulator::start(Board::new(Rules::Comfyui), options)
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    for route in routes() {
        let reply = Client::new().get(jobshim.address, &route).await;
        for (name, value) in cors {
            assert_eq!(reply.header(name), value, "{route}");
        }
    }
}

#[tokio::test]
async fn who_asks_reaches_the_upstream_as_sent_and_its_refusal_comes_back() {
    let options = Options {
        origin_rule: true,
        ..Options::default()
    };
    let simulator = Simulator::start(Board::new(Rules::Comfyui), options)
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    let client = Client::new();
    let sent = [
        ("host", "comfy.example:8188"),
        ("origin", "http://comfy.example:8188"),
        ("sec-fetch-site", "same-origin"),
        ("cookie", "session=1"),
        ("comfy-user", "ada"),
        ("authorization", "Bearer x"),
        ("x-api-key", "k"),
    ];
    for route in routes() {
        let before = simulator.seen().len();
        let target = format!("{route}?token=t%20t");
        let reply = client.get_with(jobshim.address, &target, &sent).await;
        assert!(matches!(reply.status.as_u16(), 200 | 404), "{route}: {}", reply.text());
        let seen = simulator.seen();
        assert!(seen.len() > before, "{route}");
        for call in &seen[before..] {
            for (name, value) in sent {
                assert_eq!(call.headers[name], value, "{route} {name}");
            }
            assert!(call.target.ends_with("token=t%20t"), "{}", call.target);
            assert_eq!(call.headers["x-forwarded-for"], "127.0.0.1");
        }
        let foreign = [("sec-fetch-site", "cross-site")];
        let reply = client.get_with(jobshim.address, &route, &foreign).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text().as_str()),
            (403, r#"{"error": "cross-site"}"#),
            "{route}"
        );
    }
}

#[tokio::test]
async fn credentials_decide_and_a_wrong_key_is_the_servers_401() {
    let options = Options {
        key: Some("right".to_owned()),
        ..Options::default()
    };
    let simulator = Simulator::start(Board::new(Rules::Cloud), options)
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    let client = Client::new();
    for (headers, status) in [
        (vec![], 401),
        (vec![("x-api-key", "wrong")], 401),
        (vec![("x-api-key", "right")], 200),
        (vec![], 401),
    ] {
        let reply = client.get_with(jobshim.address, "/history", &headers).await;
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
    }
    let seen = simulator.seen();
    let last = seen.last().expect("a call");
    assert_eq!(
        last.headers["host"],
        simulator.address().to_string(),
        "the cloud is asked by its own name"
    );
}

#[tokio::test]
async fn an_id_that_the_servers_router_does_not_take_is_404_as_there_and_no_empty_history() {
    // aiohttp 3.10 and later take no id with a brace, and say so in words; earlier ones take it, and know no such job.
    for takes_braces in [false, true] {
        let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
        server.intercept(move |_, arrived| {
            let is_odd = arrived.of_job().is_some_and(|id| id.contains("%7"));
            (is_odd && !takes_braces).then(|| reply(404, &[("content-type", "text/plain")], "404: Not Found"))
        });
        let jobshim = start(&server.url(), |_| {}).await;
        let client = Client::new();
        for prefix in ["", "/api"] {
            for id in ["a%7Bb", "a%7db", "a{b}", "%7B"] {
                let target = format!("{prefix}/history/{id}");
                let reply = client.get(jobshim.address, &target).await;
                let wanted = if takes_braces {
                    (200, "{}")
                } else {
                    (404, "404: Not Found")
                };
                assert_eq!((reply.status.as_u16(), reply.text().as_str()), wanted, "{target}");
            }
            let plain = client.get(jobshim.address, &format!("{prefix}/history/ab")).await;
            assert_eq!((plain.status.as_u16(), plain.text().as_str()), (200, "{}"));
        }
        // These are the cloud's, which has another router.
        for target in ["/api/history_v2/a%7Bb", "/api/job/a%7Bb/status"] {
            let reply = client.get(jobshim.address, target).await;
            assert_eq!(reply.status, 404, "{target}");
            assert!(reply.header("content-type").starts_with("application/json"), "{target}");
        }
    }
}
