//! Methods that a legacy path does not know: the server's to answer where its endpoint is asked, refused as there elsewhere.

use crate::support::{Client, Reply, Running, server::board, start_with, surfaces::Surfaces, upstream::Scripted};
use http::Method;
use jobshim::{
    config::{
        Key, Options,
        settings::{LEGACY, UPSTREAM},
    },
    demo::Rules,
};

/// Each with what a self-hosted server says.
const ASKED: [(Method, &str, u16); 12] = [
    (Method::DELETE, "/history", 405),
    (Method::PUT, "/api/history", 405),
    (Method::PATCH, "/queue", 405),
    (Method::DELETE, "/api/queue", 405),
    (Method::POST, "/history/x", 405),
    (Method::DELETE, "/history/x", 405),
    (Method::POST, "/api/history_v2", 405),
    (Method::PUT, "/api/job/x/status", 405),
    (Method::PUT, "/interrupt", 405),
    (Method::GET, "/api/job/x/cancel", 405),
    (Method::GET, "/interrupt", 404),
    (Method::HEAD, "/api/interrupt", 404),
];

async fn jobshim(server: &Scripted<Surfaces>, options: &[(&Key, &str)]) -> Running {
    let given = options
        .iter()
        .fold(Options::default(), |given, (key, value)| given.with(key, *value));
    start_with(given.with(&UPSTREAM.url.key, server.url())).await
}

async fn ask(jobshim: &Running, method: &Method, target: &str) -> Reply {
    Client::new()
        .send(method.clone(), jobshim.address, target, &[("x-sent", "1")], "a body")
        .await
        .expect("an answer")
}

async fn server() -> Scripted<Surfaces> {
    let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
    server.with(|surfaces| surfaces.headers.push(("x-by", "the server".to_owned())));
    server
}

#[tokio::test]
async fn where_the_servers_endpoint_is_asked_they_are_the_servers() {
    let server = server().await;
    for mode in ["forward", "shadow", "canary:0"] {
        let jobshim = jobshim(&server, &[(&LEGACY.mode.key, mode)]).await;
        for (method, target, _) in &ASKED {
            let reply = ask(&jobshim, method, target).await;
            assert_eq!(reply.header("x-by"), "the server", "{mode} {method} {target}");
            let arrived = server.take().pop().expect("a call");
            assert_eq!((&arrived.method, arrived.target.as_str()), (method, *target), "{mode}");
            assert_eq!(arrived.headers["x-sent"], "1");
            assert_eq!(arrived.body, "a body", "{mode} {method} {target}");
        }
    }
}

#[tokio::test]
async fn elsewhere_they_are_refused_as_on_the_server_and_nobody_is_asked() {
    let server = server().await;
    for mode in ["translate", "gone", "canary:100"] {
        let jobshim = jobshim(&server, &[(&LEGACY.mode.key, mode), (&UPSTREAM.dialect.key, "comfyui")]).await;
        for (method, target, status) in &ASKED {
            let reply = ask(&jobshim, method, target).await;
            assert_eq!(reply.status, *status, "{mode} {method} {target}");
            assert_eq!(
                reply.header("allow").is_empty(),
                *status == 404,
                "{mode} {method} {target}"
            );
        }
    }
    assert_eq!(server.counts(), (0, 0));
}

#[tokio::test]
async fn in_auto_they_are_the_servers_while_it_has_no_jobs_api() {
    for there in [true, false] {
        let server = server().await;
        server.with(|surfaces| surfaces.has_jobs_api = there);
        let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "auto")]).await;
        for (method, target, status) in &ASKED {
            let reply = ask(&jobshim, method, target).await;
            assert_eq!(reply.header("x-by").is_empty(), there, "{method} {target}");
            if there {
                assert_eq!(reply.status, *status, "{method} {target}");
            }
        }
    }
}

#[tokio::test]
async fn each_goes_by_the_mode_of_its_route() {
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.routes.key, "history_entry=forward")]).await;
    let by_server = |reply: Reply| reply.header("x-by") == "the server";
    assert!(by_server(ask(&jobshim, &Method::DELETE, "/history/x").await));
    assert!(!by_server(ask(&jobshim, &Method::DELETE, "/history").await));
}
