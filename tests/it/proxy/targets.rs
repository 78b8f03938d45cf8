//! The upstream is fixed: nothing in a request makes jobshim call another host, or another path than the table says.

use crate::support::{
    Client, Running,
    raw::{exchange, statuses},
    start,
    upstream::{Scripted, reply},
};
use http::Method;
use jobshim::config::{DialectChoice, Ids};

async fn facing(url: &str, dialect: DialectChoice) -> Running {
    start(url, |config| {
        config.upstream.dialect = dialect;
        // Ids of all kinds go where they are sent.
        config.legacy.ids = Ids::Off;
    })
    .await
}

fn request(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
}

/// Targets below a base path and what the server behind is asked; `None` for those that it never hears of.
#[rustfmt::skip]
const PASSED: [(&str, Option<&str>); 37] = [
    ("/view", Some("/base/view")),
    ("/", Some("/base/")),
    ("/?x=/../..", Some("/base/?x=/../..")),
    ("/a/../b/./c", Some("/base/a/../b/./c")),
    ("/a/..", Some("/base/a/..")),
    ("/userdata/workflows%2Fmine.json", Some("/base/userdata/workflows%2Fmine.json")),
    ("/%68istory", Some("/base/%68istory")),
    ("/history%2fx", Some("/base/history%2fx")),
    ("/history;x", Some("/base/history;x")),
    ("//evil.example/x", Some("/base//evil.example/x")),
    ("///evil.example", Some("/base///evil.example")),
    ("/http://evil.example/x", Some("/base/http://evil.example/x")),
    ("/@evil.example", Some("/base/@evil.example")),
    ("/:80@evil.example/", Some("/base/:80@evil.example/")),
    ("/.evil.example", Some("/base/.evil.example")),
    ("/x?redirect=http://evil.example", Some("/base/x?redirect=http://evil.example")),
    ("/x#/../..", Some("/base/x")),
    ("http://a/view", Some("/base/view")),
    ("http://a", Some("/base/")),
    ("/..", None),
    ("/../x", None),
    ("/./../x", None),
    ("/a/../../x", None),
    ("/a//../../x", None),
    ("/%2e%2e/x", None),
    ("/.%2E/x", None),
    ("/..%2fx", None),
    ("/a%2f..%2f..%2fx", None),
    ("/%252e%252e/x", None),
    ("/%25252e%25252e%25252fx", None),
    ("/..%5cx", None),
    ("/a/%2e%2e%5c..%5cx", None),
    ("http://evil.example/x", None),
    ("https://evil.example/x", None),
    ("http://a@evil.example/x", None),
    ("http://a:80:evil.example/x", None),
    ("evil.example:80", None),
];

#[tokio::test]
async fn what_passes_stays_below_the_base_path_of_the_one_upstream() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&format!("{}/base", recorder.url()), DialectChoice::Comfyui).await;
    let mut wrong = Vec::new();
    for method in ["GET", "POST", "DELETE"] {
        for (target, expected) in PASSED {
            let before = recorder.arrived().len();
            let answer = exchange(jobshim.address, request(method, target, "").as_bytes()).await;
            let arrived: Vec<String> = recorder.arrived().drain(before..).map(|one| one.target).collect();
            let status = if expected.is_some() { 200 } else { 400 };
            let answer = answer.unwrap_or_else(|error| error);
            if !arrived.iter().map(String::as_str).eq(expected) || statuses(&answer) != [status] {
                wrong.push(format!(
                    "{method} {target}: {arrived:?} instead of {expected:?}, {answer:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_path_that_gets_a_prefix_cannot_climb_out_of_it() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), DialectChoice::Cloud).await;
    for (target, expected) in [
        ("/view", Some("/api/view")),
        ("/../admin", None),
        ("/%2e%2e/admin", None),
    ] {
        let before = recorder.arrived().len();
        let _ = exchange(jobshim.address, request("GET", target, "").as_bytes()).await;
        let arrived: Vec<String> = recorder.arrived().drain(before..).map(|one| one.target).collect();
        assert!(arrived.iter().map(String::as_str).eq(expected), "{target}: {arrived:?}");
    }
}

/// Ids as a client writes them, and the one segment that the server is asked for; `None` for what can be no id, and is
/// no reason to ask.
#[rustfmt::skip]
const IDS: [(&str, Option<&str>); 30] = [
    ("abc", Some("abc")),
    ("a%20b", Some("a%20b")),
    ("a+b", Some("a%2Bb")),
    ("a%2Fb", Some("a%2Fb")),
    ("%2F%2Fevil.example", Some("%2F%2Fevil.example")),
    ("http:%2F%2Fevil.example%2Fx", Some("http%3A%2F%2Fevil.example%2Fx")),
    ("@evil.example", Some("%40evil.example")),
    ("a%5Cb", Some("a%5Cb")),
    ("a\\b", Some("a%5Cb")),
    ("a%3Fx=y", Some("a%3Fx%3Dy")),
    ("a%23x", Some("a%23x")),
    ("a&x=y", Some("a%26x%3Dy")),
    ("a;x", Some("a%3Bx")),
    ("%00", Some("%00")),
    ("a%0D%0AHost:%20evil", Some("a%0D%0AHost%3A%20evil")),
    ("%252F", Some("%252F")),
    ("%25", Some("%25")),
    ("...", Some("...")),
    ("{id}", Some("%7Bid%7D")),
    ("%E2%82%AC", Some("%E2%82%AC")),
    (".", None),
    ("..", None),
    ("%2e%2e", None),
    (".%2e", None),
    ("%252e%252e", None),
    ("..%2f..%2fadmin", None),
    ("x%2f..%2f..%2fadmin", None),
    ("..%5cadmin", None),
    ("%2e%2e%252fadmin", None),
    ("x%2f.%2fy", None),
];

/// Legacy routes with an id, and the calls that the server may get for one.
const WITH_ID: [(&str, &str, &str); 6] = [
    ("GET", "/history/ID", "/base/api/jobs/ID"),
    ("GET", "/api/history/ID", "/base/api/jobs/ID"),
    ("HEAD", "/history/ID", "/base/api/jobs/ID"),
    ("GET", "/api/history_v2/ID", "/base/api/jobs/ID"),
    ("GET", "/api/job/ID/status", "/base/api/jobs/ID"),
    ("POST", "/api/job/ID/cancel", "/base/api/jobs/ID/cancel"),
];

#[tokio::test]
async fn an_id_is_one_segment_encoded_again() {
    let recorder = Scripted::always(404, &[], r#"{"error": "Job not found"}"#).await;
    let jobshim = facing(&format!("{}/base", recorder.url()), DialectChoice::Comfyui).await;
    let mut wrong = Vec::new();
    for (method, route, call) in WITH_ID {
        for (id, segment) in IDS {
            let climbs = ["..%2f..%2fadmin", "x%2f..%2f..%2fadmin"].contains(&id);
            let before = recorder.arrived().len();
            let target = route.replace("ID", id);
            let answer = exchange(
                jobshim.address,
                request(method, &target, "Content-Length: 0\r\n").as_bytes(),
            )
            .await;
            let arrived: Vec<String> = recorder.arrived().drain(before..).map(|one| one.target).collect();
            let expected = segment.map(|segment| call.replace("ID", segment));
            let answer = answer.unwrap_or_else(|error| error);
            let absent = if route.contains("/history/") { 200 } else { 404 };
            // A path that would climb out is refused before it is anything else.
            let fine = statuses(&answer) == [absent] || (climbs && statuses(&answer) == [400]);
            if !arrived.iter().eq(expected.iter()) || !fine {
                wrong.push(format!(
                    "{method} {target}: {arrived:?} instead of {expected:?}, {answer:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn no_header_names_another_upstream_or_another_path() {
    let decoy = Scripted::always(200, &[], "decoy").await;
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    let jobshim = facing(&recorder.url(), DialectChoice::Comfyui).await;
    let host = decoy.address.to_string();
    let url = format!("{}/evil", decoy.url());
    let headers = [
        ("host", host.as_str()),
        ("x-forwarded-host", &host),
        ("x-forwarded-server", &host),
        ("x-host", &host),
        ("forwarded", &format!("host={host};proto=http")),
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-original-uri", "/evil"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-path", "/evil"),
        ("x-http-method-override", "DELETE"),
        ("x-accel-redirect", "/evil"),
        ("x-sendfile", "/etc/passwd"),
        ("destination", &url),
        ("referer", &url),
        ("origin", &url),
        ("location", &url),
        ("proxy-authorization", "Basic x"),
        ("cf-connecting-ip", "192.0.2.1"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-proto", "https"),
    ];
    for (name, value) in headers {
        for (target, asked) in [("/view?a=b", "/view?a=b"), ("/history", "/api/jobs")] {
            let reply = Client::new()
                .send(Method::GET, jobshim.address, target, &[(name, value)], "")
                .await
                .expect("an answer");
            assert_eq!(reply.status, 200, "{name} {target}");
            let arrived = recorder.arrived().pop().expect("a call");
            assert_eq!(
                (arrived.method, arrived.target.as_str()),
                (Method::GET, asked),
                "{name}"
            );
        }
    }
    assert_eq!(decoy.connections(), 0);
}

#[tokio::test]
async fn a_redirect_of_the_server_leads_the_client_and_not_jobshim() {
    let decoy = Scripted::always(200, &[], "decoy").await;
    let url = decoy.url();
    let upstream = Scripted::always(302, &[("location", &url)], "").await;
    let jobshim = facing(&upstream.url(), DialectChoice::Comfyui).await;
    assert_eq!(Client::new().get(jobshim.address, "/view").await.status, 302);
    // As a login page's does, also where it was asked for a list.
    assert_eq!(Client::new().get(jobshim.address, "/history").await.status, 302);
    assert_eq!(decoy.connections(), 0);
}

#[tokio::test]
async fn ids_and_classes_that_the_server_itself_names_are_segments_too() {
    // A list whose ids and a prompt whose class would lead elsewhere.
    let prompt = r#"{"1": {"class_type": "../../evil", "inputs": {}}, "2": {"class_type": "a/b?c", "inputs": {}}}"#;
    let job = move |id: &str| {
        format!(
            r#"{{"id": "{id}", "status": "completed", "create_time": 1, "execution_end_time": 2, "outputs": {{}},
                "workflow": {{"prompt": {prompt}, "extra_data": {{}}}}}}"#
        )
    };
    let upstream = Scripted::answering(move |arrived| {
        let body = match arrived.target.as_str() {
            "/api/jobs" => format!(
                r#"{{"jobs": [{}, {}, {}], "pagination": {{"has_more": false}}}}"#,
                job("../evil"),
                job("a/b?c=d"),
                job("..")
            ),
            "/api/jobs/a%2Fb%3Fc%3Dd" => job("a/b?c=d"),
            _ => "{}".to_owned(),
        };
        reply(200, &[("content-type", "application/json")], body)
    })
    .await;
    let jobshim = facing(&upstream.url(), DialectChoice::Comfyui).await;
    let history = Client::new().get(jobshim.address, "/history").await;
    assert_eq!(history.status, 200, "{}", history.text());
    let mut asked: Vec<String> = upstream.all().into_iter().map(|one| one.target).collect();
    asked.sort();
    assert_eq!(
        asked,
        ["/api/jobs", "/api/jobs/a%2Fb%3Fc%3Dd", "/object_info/a%2Fb%3Fc"],
        "{}",
        history.text()
    );
}
