//! The mistakes that people make most, one test each: the answer or the log names the cause and what to do, and every
//! error says whose it is.

use crate::support::{
    Client, Reply, TableFolder as Folder,
    program::{Program, run},
    start,
    upstream::{Scripted, reply, secure},
};
use http::Method;
use jobshim::{
    config::{self, DialectChoice, settings::LISTEN},
    demo::{Board, Options, Rules, Simulator},
};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What an error of jobshim's own says: type, message, details.
fn own_error(reply: &Reply) -> [String; 3] {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()));
    let texts =
        ["type", "message", "details"].map(|member| body["error"][member].as_str().unwrap_or_default().to_owned());
    assert!(texts[1].starts_with("jobshim: "), "the message says who speaks: {body}");
    texts
}

pub(super) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// The legacy answer and the passed-through one of a jobshim in front of `url`, both its own errors: `details` of either
/// holds `parts`, and `Proxy-Status` the error type.
async fn both_say(url: &str, status: u16, error_type: &str, parts: &[&str]) {
    let jobshim = start(url, |_| {}).await;
    let client = Client::new();
    for path in ["/history", "/view?filename=a.png"] {
        let reply = client.get(jobshim.address, path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_says(&own_error(&reply)[2], parts);
        assert_eq!(
            reply.header("proxy-status"),
            format!("jobshim; error={error_type}"),
            "{path}"
        );
    }
}

pub(super) async fn legacy_says(url: &str, parts: &[&str]) {
    let jobshim = start(url, |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/history").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_says(&own_error(&reply)[2], parts);
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(super) async fn simulator(rules: Rules, options: Options) -> Simulator {
    Simulator::start(Board::new(rules), options).await.expect("a simulator")
}

/// Answers below `base` as a server at the root does, and nowhere else.
async fn below(base: &'static str, behind: &Simulator) -> Scripted {
    let address = behind.address();
    Scripted::start(move |request| async move {
        let target = request.uri().to_string();
        match target.strip_prefix(base) {
            Some(rest) if rest.starts_with('/') => {
                let answer = Client::new().get(address, rest).await;
                reply(
                    answer.status.as_u16(),
                    &[("content-type", "application/json")],
                    answer.body,
                )
            }
            _ => reply(404, &[("content-type", "text/html")], "<h1>Not Found</h1>"),
        }
    })
    .await
}

/// jobshim's log, in front of `url`, up to the line with `text`.
pub(super) fn log_line(url: &str, text: &str) -> String {
    let mut program = Program::before(url, &[]);
    program.line_with(text)
}

pub(super) fn doctor(url: &str) -> (i32, String) {
    let output = run(&["doctor", "--upstream", url], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_port_where_nothing_listens() {
    let url = format!("http://127.0.0.1:{}", free_port().await);
    let parts = ["nothing listens there", "port in upstream.url"];
    both_say(&url, 502, "connection_refused", &parts).await;
    assert_says(&log_line(&url, "dialect is not known"), &parts);
    let (code, text) = doctor(&url);
    assert_eq!(code, 1, "{text}");
    assert_says(&text, &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_port_where_another_program_listens() {
    for status in [200, 400, 404] {
        let page = Scripted::always(status, &[("content-type", "text/html")], "<html>Hello</html>").await;
        let parts = ["is not ComfyUI", "text/html", "port"];
        legacy_says(&page.url(), &parts).await;
        let (code, text) = doctor(&page.url());
        assert_eq!(code, 1, "{text}");
        assert_says(&text, &parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_for_https() {
    let upstream = secure("{}").await;
    let url = format!("http://localhost:{}", upstream.port);
    let right = format!("upstream.url must be https://localhost:{}", upstream.port);
    legacy_says(&url, &["speaks https, not http", &right]).await;
    let jobshim = start(&url, |_| {}).await;
    let passed = Client::new().get(jobshim.address, "/view").await;
    assert_says(&own_error(&passed)[2], &["if it speaks https, write https://"]);
    assert_says(&log_line(&url, "dialect is not known"), &[&right]);
    assert_says(&doctor(&url).1, &[&right]);
}

#[tokio::test(flavor = "multi_thread")]
async fn https_for_http() {
    let upstream = simulator(Rules::Comfyui, Options::default()).await;
    let url = format!("https://127.0.0.1:{}", upstream.address().port());
    let parts = ["does not speak TLS", "write http://"];
    both_say(&url, 502, "tls_protocol_error", &parts).await;
    assert_says(&doctor(&url).1, &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_too_many_in_the_url() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let upstream = simulator(rules, Options::default()).await;
        let url = format!("{}/api", upstream.url());
        let right = format!("an /api too many: upstream.url must be {}", upstream.url());
        legacy_says(&url, &[&right]).await;
        assert_says(&log_line(&url, "dialect is not known"), &[&right]);
        assert_says(&doctor(&url).1, &[&right]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_too_few_in_the_url() {
    let upstream = simulator(Rules::Comfyui, Options::default()).await;
    let front = below("/api", &upstream).await;
    let right = format!(
        "an /api is missing in upstream.url: upstream.url must be {}/api",
        front.url()
    );
    legacy_says(&front.url(), &[&right]).await;
    assert_says(&doctor(&front.url()).1, &[&right]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_older_than_the_jobs_api() {
    for (version, parts) in [
        ("0.3.75", ["ComfyUI 0.3.75, older than the Jobs API", "--mode auto"]),
        (
            "v0.5.1",
            [
                "ComfyUI v0.5.1, older than the Jobs API",
                "still has the legacy endpoints",
            ],
        ),
        (
            "0.27.0",
            ["ComfyUI 0.27.0, which has the Jobs API", "let /api/jobs pass"],
        ),
    ] {
        let upstream = Scripted::start(move |request| async move {
            match request.uri().path() {
                "/system_stats" => {
                    let body = format!(r#"{{"system": {{"comfyui_version": "{version}"}}, "devices": []}}"#);
                    reply(200, &[("content-type", "application/json")], body)
                }
                _ => reply(404, &[("content-type", "text/plain")], "404: Not Found"),
            }
        })
        .await;
        legacy_says(&upstream.url(), &parts).await;
        assert_says(&log_line(&upstream.url(), "dialect is not known"), &parts);
        let (code, text) = doctor(&upstream.url());
        assert_eq!(code, 1, "{text}");
        assert_says(&text, &parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobshim_itself_as_its_upstream_under_another_name() {
    // What forwards to jobshim: a port of a container, another proxy, a name in /etc/hosts.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let other_name = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, target) = watch::channel(None::<SocketAddr>);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut target = target.clone();
            tokio::spawn(async move {
                let address = target.wait_for(Option::is_some).await.expect("a target").expect("one");
                let mut jobshim = TcpStream::connect(address).await.expect("jobshim");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut jobshim).await;
            });
        }
    });
    for arguments in [&[][..], &["--access-token", "s3cret"]] {
        // The one before has ended; who connects now waits for this one.
        tell.send_replace(None);
        let flags = [&["--listen", "127.0.0.1:0", "--upstream", &other_name], arguments].concat();
        let mut program = Program::start(&flags, &[]);
        let address = program.address();
        tell.send(Some(address)).expect("a relay");
        let token = [("authorization", "Bearer s3cret")];
        for path in ["/history", "/view", "/queue"] {
            let reply = Client::new().get_with(address, path, &token).await;
            assert_eq!(reply.status, 502, "{path}: {}", reply.text());
            let [kind, _, details] = own_error(&reply);
            assert_eq!(kind, "upstream_is_jobshim", "{path}");
            assert_says(&details, &["leads to jobshim itself"]);
            assert!(
                reply
                    .header("proxy-status")
                    .starts_with("jobshim; error=proxy_loop_detected"),
                "{path}"
            );
        }
        program.line_with("upstream.url leads to jobshim itself, by another name");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_403_from_a_host_that_a_proxy_rewrote_or_a_sign_on_page_before() {
    let upstream = Scripted::always(403, &[], "").await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "comfyui"]);
    let address = program.address();
    let client = Client::new();
    for (headers, parts) in [
        (
            &[("origin", "https://comfy.example.org")][..],
            ["refused by Host", "proxy_set_header Host $http_host"],
        ),
        (
            &[("sec-fetch-site", "cross-site")],
            ["refused by Sec-Fetch-Site", "take Sec-Fetch-Site away"],
        ),
    ] {
        for path in ["/history", "/"] {
            let reply = client.get_with(address, path, headers).await;
            assert_eq!(reply.status, 403, "{path}");
            let status = reply.header("proxy-status").to_owned();
            assert!(
                status.starts_with("jobshim; received-status=403; details=\""),
                "{status}"
            );
            assert_says(&status, &parts);
        }
        assert_says(&program.line_with(parts[0]), &["the upstream answered 403", parts[1]]);
    }
    assert_eq!(client.get(address, "/").await.status, 403);
    program.line_with("refused by Origin, Host or Sec-Fetch-Site, or by a proxy before it");
    let count = program
        .log
        .iter()
        .filter(|line| line.contains("refused by Host"))
        .count();
    assert_eq!(count, 1, "the same advice is not repeated: {:#?}", program.log);
}

/// A refusal reaches the client as it is; the header and the log say what it means.
async fn refused_with(status: u16, parts: &[&str]) {
    let body = r#"{"code": "NO", "message": "its own words"}"#;
    let upstream = Scripted::always(status, &[("content-type", "application/json")], body).await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "cloud"]);
    let address = program.address();
    let client = Client::new();
    for (method, path) in [
        (Method::GET, "/history"),
        (Method::POST, "/queue"),
        (Method::POST, "/upload/image"),
    ] {
        let reply = client
            .send(method, address, path, &[], r#"{"clear": true}"#)
            .await
            .expect("an answer");
        // For the translated ones, 413 is no answer that the contract knows.
        if status == 413 && path != "/upload/image" {
            continue;
        }
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, body), "{path}");
        let whose = reply.header("proxy-status").to_owned();
        assert!(
            whose.starts_with(&format!("jobshim; received-status={status}; details=")),
            "{path}: {whose}"
        );
        assert_says(&whose, parts);
    }
    let line = program.line_with(&format!("the upstream answered {status}: "));
    assert_says(&line, parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_for_want_of_a_key() {
    refused_with(401, &["wrong key, or none", "X-API-Key", "upstream.headers"]).await;
    let upstream = simulator(
        Rules::Cloud,
        Options {
            key: Some("right".to_owned()),
            ..Options::default()
        },
    )
    .await;
    let (code, text) = doctor(&upstream.url());
    assert_eq!(code, 1, "{text}");
    assert_says(&text, &["401", "wrong key, or none"]);
    // jobshim's own door says that it is jobshim's.
    let jobshim = start(&upstream.url(), |config| {
        let options = config::Options::default().with(&LISTEN.access_token.key, "s3cret");
        config.listen.access_token = config::load(&options, |_| None)
            .expect("a token")
            .config
            .listen
            .access_token;
    })
    .await;
    let reply = Client::new().get(jobshim.address, "/history").await;
    let [_, message, details] = own_error(&reply);
    assert_says(&message, &["this jobshim wants its access token"]);
    assert_says(&details, &["not the server's key"]);
    assert_eq!(reply.header("proxy-status"), "jobshim; error=http_request_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_for_want_of_credits() {
    refused_with(402, &["no credits or no subscription left"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_413_for_a_large_upload() {
    refused_with(413, &["--max-upload-size", "client_max_body_size"]).await;
    // jobshim's own limit says that it is jobshim's.
    let upstream = simulator(Rules::Comfyui, Options::default()).await;
    let jobshim = start(&upstream.url(), |_| {}).await;
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/queue", &[], vec![b' '; 2 << 20])
        .await
        .expect("an answer");
    assert_eq!(reply.status, 413);
    assert_eq!(own_error(&reply)[0], "body_too_large");
    assert_eq!(reply.header("proxy-status"), "jobshim; error=http_request_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_for_polling_too_often() {
    refused_with(429, &["ask less often", "Retry-After"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve() {
    let url = "http://no-such-server.invalid:8188";
    let parts = ["does not resolve", "spelt right", "container"];
    both_say(url, 502, "dns_error", &parts).await;
    assert_says(&doctor(url).1, &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted() {
    let upstream = secure("{}").await;
    let url = format!("https://localhost:{}", upstream.port);
    let parts = ["nobody trusted signed", "upstream.ca_file"];
    both_say(&url, 502, "tls_certificate_error", &parts).await;
    assert_says(&doctor(&url).1, &parts);
    // Trusted, but for another name.
    let folder = Folder::with("mistaken-name", &[("ca.pem", &upstream.certificate)]);
    let jobshim = start(&format!("https://127.0.0.1:{}", upstream.port), |config| {
        config.upstream.ca_file = Some(folder.path.join("ca.pem"));
    })
    .await;
    let reply = Client::new().get(jobshim.address, "/view").await;
    assert_says(&own_error(&reply)[2], &["for another name"]);
}

#[tokio::test]
async fn an_error_of_the_upstream_is_told_from_one_of_jobshim() {
    let upstream = Scripted::always(404, &[("proxy-status", "edge; received-status=404")], "gone").await;
    let jobshim = start(&upstream.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let client = Client::new();
    let passed = client.get(jobshim.address, "/view").await;
    let whose: Vec<_> = passed.headers.get_all("proxy-status").iter().collect();
    assert_eq!(whose, ["edge; received-status=404", "jobshim; received-status=404"]);
    let wrong = client
        .send(Method::DELETE, jobshim.address, "/history", &[], "")
        .await
        .expect("an answer");
    assert_eq!(wrong.header("proxy-status"), "jobshim; error=http_request_error");
    own_error(&wrong);
    // What jobshim answers on behalf of the server is neither good nor the server's own words.
    let simulator = simulator(Rules::Comfyui, Options::default()).await;
    let jobshim = start(&simulator.url(), |_| {}).await;
    let unknown = client.get(jobshim.address, "/api/history_v2/none").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("proxy-status"), "jobshim; error=http_request_error");
    let good = client.get(jobshim.address, "/history").await;
    assert_eq!(good.header("proxy-status"), "");
}
