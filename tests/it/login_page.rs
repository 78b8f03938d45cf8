//! A login page in front of the server: its redirect is for the client to follow.

use crate::support::{
    Client,
    program::Program,
    upstream::{Scripted, reply},
};

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
