//! Who is let in: the access token, and the listener that must have one.

use crate::support::{
    Client, Reply, Running,
    program::run,
    server::{Server, Setup, board},
    start,
    upstream::Scripted,
};
use http::{HeaderName, HeaderValue, Method};
use jobshim::{
    config::{self, DialectChoice, Options, settings::LISTEN},
    demo::Rules,
};
use serde_json::Value;
use std::net::SocketAddr;

const KEY: &str = "comfyui-key-7c1d/+=";

/// In front of a cloud, with its key and a door.
async fn in_front_of(url: &str) -> Running {
    start(url, |config| {
        config.upstream.dialect = DialectChoice::Cloud;
        config.upstream.headers = vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY))];
        let token = Options::default().with(&LISTEN.access_token.key, "let-me-in");
        config.listen.access_token = config::load(&token, |_| None)
            .expect("a token")
            .config
            .listen
            .access_token;
    })
    .await
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Reply {
    Client::new().get_with(at, target, headers).await
}

#[tokio::test]
async fn the_access_token_opens_and_stays_here() {
    let setup = Setup {
        keys: &[KEY],
        ..Setup::default()
    };
    let server = Server::start(board(Rules::Cloud), setup).await;
    let jobshim = in_front_of(&server.url()).await;
    let at = jobshim.address;
    for target in ["/history", "/queue", "/object_info", "/ws?clientId=a", "/"] {
        for wrong in [
            &[][..],
            &[("authorization", "Bearer let-me")],
            &[("authorization", "let-me-in")],
            &[("x-api-key", "LET-ME-IN")],
            &[("x-api-key", KEY)],
            &[("cookie", "token=let-me-in")],
        ] {
            let reply = get(at, target, wrong).await;
            assert_eq!(reply.status, 401, "{target} {wrong:?}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{target}");
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "no_access", "{target}");
        }
    }
    assert_eq!(server.arrived(Method::GET, "/").len(), 0, "nothing went on");
    for right in [("authorization", "Bearer let-me-in"), ("x-api-key", "let-me-in")] {
        for target in ["/history", "/queue", "/object_info"] {
            let reply = get(at, target, &[right]).await;
            assert_eq!(reply.status, 200, "{target} {right:?}: {}", reply.text());
        }
    }
    let arrived = server.upstream.all();
    assert!(arrived.len() >= 6);
    for one in arrived {
        assert!(!format!("{one:?}").contains("let-me-in"), "{one:?}");
        assert!(!one.headers.contains_key("authorization"), "{one:?}");
        assert_eq!(one.headers["x-api-key"], KEY);
    }
}

#[tokio::test]
async fn a_socket_comes_in_by_the_access_token_and_goes_on_with_the_key() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = in_front_of(&recorder.url()).await;
    for (target, headers) in [
        ("/ws?clientId=a", &[("authorization", "Bearer let-me-in")][..]),
        ("/ws?clientId=a", &[("x-api-key", "let-me-in")]),
        ("/ws?clientId=a&token=let-me-in", &[]),
        ("/ws?token=let-me-in&clientId=a", &[]),
    ] {
        get(jobshim.address, target, headers).await;
        let arrived = recorder.arrived().pop().expect("a request");
        let wanted = "/ws?clientId=a&token=comfyui%2Dkey%2D7c1d%2F%2B%3D";
        assert_eq!(arrived.target, wanted, "{target} {headers:?}");
    }
}

#[test]
fn a_key_behind_an_open_listener_needs_an_access_token_or_a_word_that_this_is_meant() {
    let header = ["--upstream-header", "X-API-Key=env:KEY"];
    let environment = [("KEY", KEY), ("TOKEN", "t")];
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8187"] {
        for command in ["serve", "check"] {
            let output = run(&[&[command, "--listen", listen], &header[..]].concat(), &environment);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {listen}: {said}");
            assert!(
                said.contains("access_token") && said.contains("--i-know-this-is-open"),
                "{said}"
            );
            assert!(!said.contains("7c1d"), "{said}");
        }
        for enough in [&["--access-token", "env:TOKEN"][..], &["--i-know-this-is-open"]] {
            let output = run(
                &[&["check", "--listen", listen], &header[..], enough].concat(),
                &environment,
            );
            assert_eq!(output.status.code(), Some(0), "{listen} {enough:?}");
        }
        assert_eq!(
            run(&["check", "--listen", listen], &[]).status.code(),
            Some(0),
            "no key, no danger"
        );
    }
    for loopback in ["127.0.0.1:0", "127.8.8.8:0", "[::1]:0"] {
        let output = run(&[&["check", "--listen", loopback], &header[..]].concat(), &environment);
        assert_eq!(output.status.code(), Some(0), "{loopback}");
    }
}
