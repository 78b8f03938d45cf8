//! `upstream.url` leads to nothing, to something else than a ComfyUI server, or to one that cannot be spoken to.

use super::{assert_says, both_say, doctor, legacy_says, log_line, own_error, simulator};
use crate::support::{
    Client, TableFolder as Folder,
    program::Program,
    start,
    upstream::{Scripted, reply, secure},
};
use jobshim::demo::{Options, Rules, Simulator};
use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
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
