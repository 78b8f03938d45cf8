//! What legacy answers tell clients: deprecation, sunset, successor, guide, and which of three an empty answer is.

use crate::support::{
    Client, Running,
    browser::Browser,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::{Scripted, reply},
};
use http::Method;
use jobshim::{
    config::{
        Key, Options,
        settings::{LEGACY, NOTICES, UPSTREAM},
    },
    demo::{Job, Rules},
};

const SUNSET: &str = "Wed, 31 Mar 2027 00:00:00 GMT";

/// One job in each state, `done`, `waiting` and `running`.
async fn server() -> Scripted<Surfaces> {
    let mut board = board(Rules::Comfyui);
    for (id, status) in [
        ("done", "completed"),
        ("waiting", "pending"),
        ("running", "in_progress"),
    ] {
        let text = format!(r#"{{"id": "{id}", "status": "{status}", "create_time": 1700000000000, "priority": 7}}"#);
        board.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    Surfaces::start(board, vec![legacy("/history", "{}"), legacy("/queue", "{}")]).await
}

async fn jobshim(server: &Scripted<Surfaces>, options: &[(&Key, &str)]) -> Running {
    let given = options
        .iter()
        .fold(Options::default(), |given, (key, value)| given.with(key, *value));
    start_with(given.with(&UPSTREAM.url.key, server.url())).await
}

#[tokio::test]
async fn translated_forwarded_and_gone_answers_carry_them_and_other_answers_do_not() {
    let server = server().await;
    let guide = "https://example.org/migrate?from=history";
    for mode in ["translate", "forward", "gone"] {
        let options = [
            (&LEGACY.mode.key, mode),
            (&NOTICES.deprecation.key, "2025-12-01"),
            (&NOTICES.sunset.key, "2027-03-31"),
            (&NOTICES.guide.key, guide),
        ];
        let jobshim = jobshim(&server, &options).await;
        for (method, target, successor) in [
            (Method::GET, "/history", Some("/api/jobs")),
            (Method::HEAD, "/api/history_v2", Some("/api/jobs")),
            (Method::GET, "/history/a%20%3Eb", Some("/api/jobs/a%20%3Eb")),
            (Method::GET, "/api/job/done/status", Some("/api/jobs/done")),
            (Method::GET, "/queue", Some("/api/jobs?status=pending,in_progress")),
            (Method::POST, "/queue", Some("/api/jobs/cancel")),
            (Method::POST, "/interrupt", Some("/api/jobs/cancel")),
            (Method::POST, "/api/job/x/cancel", Some("/api/jobs/x/cancel")),
            (Method::POST, "/history", None),
        ] {
            let reply = Client::new()
                .send(method.clone(), jobshim.address, target, &[], "{}")
                .await;
            let reply = reply.expect("an answer");
            assert_eq!(reply.header("deprecation"), "@1764547200", "{mode} {target}");
            assert_eq!(reply.header("sunset"), SUNSET, "{mode} {target}");
            let links: Vec<_> = reply.headers.get_all("link").iter().cloned().collect();
            let mut wanted: Vec<String> = successor
                .iter()
                .map(|successor| format!("<{successor}>; rel=\"successor-version\""))
                .collect();
            wanted.push(format!("<{guide}>; rel=\"deprecation\""));
            assert_eq!(links, wanted, "{mode} {method} {target}");
            if mode == "gone" && method != Method::HEAD {
                let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
                assert_eq!(body["error"]["successor"].as_str(), successor, "{body}");
                assert_eq!(body["error"]["guide"], guide);
            }
        }
        let other = Client::new().get(jobshim.address, "/api/jobs").await;
        for name in ["deprecation", "sunset", "link"] {
            assert!(!other.headers.contains_key(name), "{name}: {other:?}");
        }
    }
}

#[tokio::test]
async fn each_can_be_switched_off() {
    let server = server().await;
    let off = [
        (&NOTICES.deprecation.key, "off"),
        (&NOTICES.successor.key, "false"),
        (&NOTICES.job_state.key, "false"),
    ];
    let jobshim = jobshim(&server, &off).await;
    for target in ["/history", "/history/waiting"] {
        let reply = Client::new().get(jobshim.address, target).await;
        for name in ["deprecation", "sunset", "link", "jobshim-job-state"] {
            assert!(!reply.headers.contains_key(name), "{name}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_about_one_job_says_in_a_header_which_of_three_it_is() {
    let server = server().await;
    let jobshim = jobshim(&server, &[]).await;
    for (id, state) in [
        ("waiting", "pending"),
        ("running", "in_progress"),
        ("nobody", "unknown"),
    ] {
        for (method, body) in [(Method::GET, "{}"), (Method::HEAD, "")] {
            let target = format!("/history/{id}");
            let reply = Client::new().send(method, jobshim.address, &target, &[], "").await;
            let reply = reply.expect("an answer");
            assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, body), "{id}");
            assert_eq!(reply.header("content-length"), "2", "{id}");
            assert_eq!(reply.header("jobshim-job-state"), state, "{id}");
        }
    }
    for target in ["/history/done", "/history", "/api/history_v2/waiting"] {
        let reply = Client::new().get(jobshim.address, target).await;
        assert!(!reply.headers.contains_key("jobshim-job-state"), "{target}: {reply:?}");
    }
}

#[tokio::test]
async fn browsers_may_read_them_where_they_may_read_the_answer() {
    let server = server().await;
    let jobshim = jobshim(&server, &[]).await;
    let exposed = async |target: &str| {
        let reply = Client::new().get(jobshim.address, target).await;
        let values = reply.headers.get_all("access-control-expose-headers").iter();
        let values: Vec<String> = values.map(|value| value.to_str().expect("text").to_owned()).collect();
        values.join(", ")
    };
    assert_eq!(exposed("/history").await, "", "without CORS nothing is exposed");
    server.with(|surfaces| {
        surfaces.headers = vec![
            ("access-control-allow-origin", "https://editor.example".to_owned()),
            ("access-control-expose-headers", "X-Own".to_owned()),
        ];
    });
    assert_eq!(exposed("/history").await, "X-Own, deprecation, link");
    assert_eq!(
        exposed("/history/waiting").await,
        "X-Own, deprecation, link, jobshim-job-state"
    );
    assert_eq!(exposed("/api/jobs").await, "X-Own");
}

#[tokio::test]
async fn a_web_page_may_read_a_410_where_the_server_lets_it_read_answers() {
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "gone")]).await;
    let page = [("origin", "http://editor.example"), ("sec-fetch-site", "cross-site")];
    let ask = async |method: Method, target: &str| {
        let reply = Client::new().send(method, jobshim.address, target, &page, "{}").await;
        reply.expect("an answer")
    };
    server.with(|surfaces| {
        surfaces.headers = vec![
            ("access-control-allow-origin", "http://editor.example".to_owned()),
            ("vary", "Origin".to_owned()),
            ("x-own", "1".to_owned()),
        ];
    });
    for (method, target) in [(Method::GET, "/history/x"), (Method::POST, "/queue")] {
        let reply = ask(method.clone(), target).await;
        assert_eq!(reply.status, 410, "{method} {target}: {reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), "http://editor.example");
        assert_eq!(reply.header("access-control-expose-headers"), "deprecation, link");
        assert_eq!((reply.header("vary"), reply.header("x-own")), ("Origin", ""));
        let arrived = server.take();
        assert!(
            arrived
                .iter()
                .all(|one| one.headers["origin"] == "http://editor.example"),
            "the server decides by the page: {arrived:#?}"
        );
    }
    // Where the server is gone too, nobody can say whether the page may ask.
    drop(server);
    assert_eq!(ask(Method::GET, "/queue").await.status, 403);
}

#[tokio::test]
async fn a_410_is_not_given_to_a_web_page_that_the_server_refuses() {
    let refusing = Scripted::always(403, &[], "").await;
    let gone = Options::default().with(&LEGACY.mode.key, "gone");
    let jobshim = start_with(gone.with(&UPSTREAM.url.key, refusing.url())).await;
    let page = [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")];
    let reply = Client::new().get_with(jobshim.address, "/queue", &page).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (403, ""));
    assert!(!refusing.all().is_empty(), "it was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reads_the_410_and_its_headers_from_another_site() {
    let Some(browser) = Browser::open().await else { return };
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "gone")]).await;
    server.with(|surfaces| surfaces.headers = vec![("access-control-allow-origin", "*".to_owned())]);
    let editor = Scripted::start(|_| async { reply(200, &[("content-type", "text/html")], "<p>an editor") }).await;
    browser
        .go(&format!("http://localhost:{}/", editor.address.port()))
        .await;
    let script = format!(
        "fetch('http://{}/history').then(async answer => {{
            const body = await answer.json();
            window.told = [answer.status, answer.headers.get('deprecation'), body.error.successor];
        }}).catch(error => {{ window.told = String(error); }});",
        jobshim.address
    );
    browser.run(&script).await;
    browser.until("window.told").await;
    let told = browser.run("return window.told").await;
    assert_eq!(told, serde_json::json!([410, "@1764547200", "/api/jobs"]));
}

#[tokio::test]
async fn what_the_server_says_of_the_same_stays() {
    let server = server().await;
    server.with(|surfaces| {
        surfaces.headers = vec![
            ("deprecation", "@1".to_owned()),
            ("link", "</own>; rel=\"next\"".to_owned()),
        ];
    });
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "forward")]).await;
    let reply = Client::new().get(jobshim.address, "/queue").await;
    let all = |name: &str| reply.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(all("deprecation"), ["@1"]);
    let successor = "</api/jobs?status=pending,in_progress>; rel=\"successor-version\"";
    assert_eq!(all("link"), ["</own>; rel=\"next\"", successor]);
}
