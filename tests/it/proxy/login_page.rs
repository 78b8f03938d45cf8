//! A login page in front of the server: its redirect is for the client to follow.

#![cfg(unix)]

use crate::support::{
    Client,
    program::Program,
    upstream::{Arrived, Scripted, reply},
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

/// Which calls still have an answer.
type LoggedIn = fn(&Arrived) -> bool;

/// A server whose session ends after some calls: `logged_in` says which still have an answer.
async fn until_the_session_ends(logged_in: LoggedIn) -> Scripted {
    Scripted::answering(move |arrived| {
        let json = [("content-type", "application/json")];
        if !logged_in(arrived) {
            return reply(302, &[("location", "/login")], "log in");
        }
        if arrived.method == Method::POST {
            return reply(405, &json, r#"{"error": "one by one"}"#);
        }
        let ids = [
            "11111111-0000-4000-8000-000000000000",
            "22222222-0000-4000-8000-000000000000",
        ];
        let jobs = ids.map(|id| format!(r#"{{"id": "{id}", "status": "pending", "create_time": 1795000000000}}"#));
        // What is queued fits on one page.
        let more = !arrived.query().contains("pending");
        let cursor = r#""next_cursor": "c", "#;
        let (jobs, cursor) = (jobs.join(", "), if more { cursor } else { "" });
        reply(
            200,
            &json,
            format!(r#"{{"jobs": [{jobs}], {cursor}"pagination": {{{cursor}"has_more": {more}}}}}"#),
        )
    })
    .await
}

/// Whether a call asks for a later page than the first.
fn is_later_page(arrived: &Arrived) -> bool {
    arrived.query().contains("offset=") || arrived.query().contains("after=") || arrived.query().contains("cursor=")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_page_that_meets_it_is_the_answer_and_nothing_of_the_first_is_shown() {
    let server = until_the_session_ends(|arrived| !is_later_page(arrived)).await;
    for dialect in ["comfyui", "cloud"] {
        server.take();
        let mut program = Program::before(&server.url(), &["--dialect", dialect, "--mode", "translate"]);
        for target in ["/history", "/api/history_v2"] {
            let reply = Client::new().get(program.address(), target).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (302, "log in"),
                "{dialect} {target}"
            );
            assert_eq!(reply.header("location"), "/login", "{dialect} {target}");
        }
        assert_eq!(server.count(is_later_page), 2, "{dialect}");
        program.line_with("a login page?");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_meets_it_is_the_answer() {
    /// Lists are answered, and no cancel; or many jobs are refused as such, and one meets the login page.
    const SESSIONS: [(&str, LoggedIn); 2] = [
        ("/api/jobs/cancel", |one| one.method == Method::GET),
        ("/cancel", |one| {
            one.method == Method::GET || one.path() == "/api/jobs/cancel"
        }),
    ];
    for (last, logged_in) in SESSIONS {
        let server = until_the_session_ends(logged_in).await;
        for dialect in ["comfyui", "cloud"] {
            let mut program = Program::before(&server.url(), &["--dialect", dialect, "--mode", "translate"]);
            let at = program.address();
            for (target, body) in [
                ("/queue", r#"{"clear": true}"#),
                (
                    "/queue",
                    r#"{"delete": ["11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"]}"#,
                ),
                ("/queue", r#"{"delete": ["11111111-0000-4000-8000-000000000000"]}"#),
            ] {
                server.take();
                let what = format!("{dialect} POST {target} {body}, which ends at {last}");
                let client = Client::new();
                let sending = client.send(Method::POST, at, target, &[], body);
                let reply = sending.await.expect("an answer");
                assert_eq!(
                    (reply.status.as_u16(), reply.text().as_str()),
                    (302, "log in"),
                    "{what}"
                );
                assert_eq!(reply.header("location"), "/login", "{what}");
                // The server is probed meanwhile, by reads, which this one answers.
                let arrived = server.take();
                let met = arrived.iter().rfind(|one| one.method == Method::POST).expect("a write");
                assert!(met.path().ends_with("/cancel"), "{what}: {}", met.target);
            }
        }
    }
}
