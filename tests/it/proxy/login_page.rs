//! A login page in front of the server: its redirect is for the client to follow.

use crate::support::{
    Client,
    program::Program,
    upstream::{Scripted, reply},
};
use http::Method;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_page_in_front_is_the_clients_to_follow() {
    for status in [301, 302, 303, 307, 308] {
        let server = Scripted::start(move |_| async move {
            let headers = [
                ("location", "/login?next=%2F"),
                ("set-cookie", "state=1; Path=/"),
                ("content-type", "text/html"),
                ("connection", "x-own"),
                ("x-own", "1"),
            ];
            reply(status, &headers, "<a>log in</a>")
        })
        .await;
        for dialect in ["auto", "comfyui", "cloud"] {
            let mut program = Program::before(&server.url(), &["--dialect", dialect]);
            let at = program.address();
            for target in [
                "/history",
                "/history/x",
                "/queue",
                "/api/history_v2",
                "/api/history_v2/x",
                "/api/job/x/status",
            ] {
                let reply = Client::new().get(at, target).await;
                let what = format!("{status} {dialect} {target}: {}", reply.text());
                assert_eq!(reply.status, status, "{what}");
                assert_eq!(reply.text(), "<a>log in</a>", "{what}");
                assert_eq!(reply.header("location"), "/login?next=%2F", "{what}");
                assert_eq!(reply.header("set-cookie"), "state=1; Path=/", "{what}");
                assert_eq!(reply.header("content-type"), "text/html", "{what}");
                assert_eq!(reply.header("x-own"), "", "{what}");
            }
            program.line_with("a login page?");
            program.signal("TERM");
            program.end();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_meets_it_does_nothing_and_its_client_is_told_where_to_log_in() {
    for (status, dialect, mode) in [
        (302, "comfyui", "translate"),
        (303, "cloud", "translate"),
        (307, "auto", "translate"),
        (302, "comfyui", "auto"),
        (302, "comfyui", "forward"),
    ] {
        let server = Scripted::always(status, &[("location", "/login")], "log in").await;
        let mut program = Program::before(&server.url(), &["--dialect", dialect, "--mode", mode]);
        let at = program.address();
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/queue", r#"{"delete": ["a"]}"#),
            ("/interrupt", ""),
            ("/interrupt", r#"{"prompt_id": "a"}"#),
            ("/history", r#"{"clear": true}"#),
            ("/history", r#"{"delete": ["a"]}"#),
        ] {
            let what = format!("{status} {dialect} {mode} POST {target} {body}");
            let client = Client::new();
            let sending = client.send(Method::POST, at, target, &[], body);
            let reply = sending.await.expect("an answer");
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
            assert_eq!(reply.header("location"), "/login", "{what}");
            assert_eq!(reply.text(), "log in", "{what}");
            // Behind the login page are only the reads.
            assert_eq!(server.count(|one| one.path().contains("cancel")), 0, "{what}");
        }
    }
}
