//! That an upload is known once a server has it: also where its client leaves, or the store is away.

use super::{FORM, Setup, form, named};
use crate::support::{
    Client, Running, start,
    upstream::{Scripted, reply},
    wait::until,
};
use http::Method;
use jobshim::config::DialectChoice;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// A server that takes every upload as this asset, and jobshim before it.
async fn taking(asset: String) -> (Scripted, Running) {
    let server = Scripted::answering(move |arrived| match arrived.method {
        Method::POST => reply(
            201,
            &[
                ("access-control-allow-origin", "https://a.example"),
                ("vary", "origin"),
                ("etag", "\"x\""),
            ],
            format!("{{\"id\": \"{asset}\"}}"),
        ),
        _ => reply(200, &[("content-type", "image/png")], arrived.path().to_owned()),
    })
    .await;
    let jobshim = start(&server.url(), |config| config.upstream.dialect = DialectChoice::V2).await;
    (server, jobshim)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_client_leaves_after_its_last_byte_has_its_name() {
    let (server, jobshim) = taking("one".to_owned()).await;
    let gate = server.hold(|arrived| arrived.method == Method::POST);
    let body = form("filename=\"a.png\"", b"x", &[]);
    let head = format!(
        "POST /upload/image HTTP/1.1\r\nhost: a\r\n{}: {}\r\ncontent-length: {}\r\n\r\n",
        FORM.0,
        FORM.1,
        body.len()
    );
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&body).await.expect("sent");
    gate.until_came(1).await;
    drop(stream);
    // It is seen to have left by then.
    let client = Client::new();
    for _ in 0..3 {
        assert_eq!(
            client
                .get(jobshim.address, "/view?filename=a.png&type=input")
                .await
                .status,
            404
        );
    }
    gate.open();
    until("its name is known", async || {
        let shown = client.get(jobshim.address, "/view?filename=a.png&type=input").await;
        shown.status == 200 && shown.text() == "/api/v2/assets/one/content"
    })
    .await;
}

#[tokio::test]
async fn the_answer_to_an_upload_has_the_servers_cors_headers() {
    let (_server, jobshim) = taking("one".to_owned()).await;
    let body = form("filename=\"a.png\"", b"x", &[]);
    let sent = Client::new()
        .send(Method::POST, jobshim.address, "/upload/image", &[FORM], body)
        .await;
    let answer = sent.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
    assert_eq!(answer.header("vary"), "origin");
    assert!(!answer.headers.contains_key("etag"), "it is of another answer");
    let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(told, named("a.png", "", "input"));
}

#[tokio::test]
async fn an_asset_whose_id_is_too_long_has_no_name() {
    let (_server, jobshim) = taking("x".repeat(5_000)).await;
    let body = form("filename=\"a.png\"", b"x", &[]);
    let client = Client::new();
    let sent = client
        .send(Method::POST, jobshim.address, "/upload/image", &[FORM], body)
        .await;
    let answer = sent.expect("an answer");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(
        client
            .get(jobshim.address, "/view?filename=a.png&type=input")
            .await
            .status,
        404
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_a_shared_store_is_away() {
    use crate::support::valkey::Valkey;
    use jobshim::{
        config::{self, settings::STATE},
        demo::v2::{Call, Options},
    };
    use serde_json::json;

    let Some(mut valkey) = Valkey::start("v2-files", &[]) else {
        return;
    };
    let options = config::Options::default().with(&STATE.store.key, valkey.url());
    let there = config::load(&options, |_| None).expect("a configuration").config;
    let setup = Setup::with(Options::default(), |config| config.state.place = there.state.place).await;
    let prompt = json!({"prompt": crate::proxy::v2::workflow()});
    until("the store is there", async || {
        setup.post("/prompt", &[], &prompt).await.status == 200
    })
    .await;
    setup.upload(&[], "a.png", "one", &[]).await;
    let (uploads, jobs) = (setup.server.count(Call::Upload), setup.server.count(Call::Submit));
    valkey.kill();
    until("it is seen to be away", async || {
        let delete = json!({"delete": ["none"]});
        setup.post("/history", &[], &delete).await.status == 503
    })
    .await;
    let upload = async || {
        let form = form("filename=\"b.png\"", b"two", &[]);
        setup.upload_form("/upload/image", &[], form).await
    };
    let answer = upload().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let answer = setup.post("/prompt", &[], &prompt).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(setup.server.count(Call::Upload), uploads, "nothing is sent");
    assert_eq!(setup.server.count(Call::Submit), jobs, "nothing is sent");
    assert_eq!(
        setup.shown("filename=a.png&type=input").await,
        "one",
        "what is known is shown"
    );
    valkey.restart();
    until("the store is there again", async || upload().await.status == 200).await;
    assert_eq!(setup.post("/prompt", &[], &prompt).await.status, 200);
    assert_eq!(setup.shown("filename=b.png&type=input").await, "two");
}
