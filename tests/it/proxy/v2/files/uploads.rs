//! What becomes of an upload, and what its client is told.

use super::{FORM, Setup, form, named};
use crate::support::{Client, StateFolder, start, wait::until};
use jobshim::{
    config::StatePlace,
    demo::v2::{Call, Fault, Options},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

#[tokio::test]
async fn an_upload_is_an_asset_and_shown_under_the_name_that_its_client_was_told() {
    let setup = Setup::new(Options::default()).await;
    for (nth, path) in ["/upload/image", "/api/upload/image", "/upload/mask", "/api/upload/mask"]
        .into_iter()
        .enumerate()
    {
        let content = format!("\r\n--XX content {nth} \r\n");
        let fields = [("type", "input"), ("subfolder", "a/./b"), ("original_ref", "{}")];
        let sent = form("filename=\"cat.png\"", content.as_bytes(), &fields);
        let answer = setup.upload_form(path, &[], sent).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let name = if nth == 0 {
            "cat.png".to_owned()
        } else {
            format!("cat ({nth}).png")
        };
        let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(told, named(&name, "a/./b", "input"), "{path}");
        let name = name.replace(' ', "%20");
        for query in [
            format!("filename={name}&subfolder=a/b&type=input"),
            format!("type=input&filename={name}&subfolder=a%2F.%2Fb%2F"),
            format!("filename={name}+[input]&subfolder=a/b&type=output"),
        ] {
            assert_eq!(setup.shown(&query).await, content, "{query}");
        }
    }
    assert_eq!(setup.server.count(Call::Upload), 4);
    let other = setup.view(&[], "filename=cat.png&type=input").await;
    assert_eq!(other.status, 404, "in another folder: {}", other.text());
}

#[tokio::test]
async fn a_name_that_other_bytes_have_gets_a_number_unless_it_is_to_be_overwritten() {
    let setup = Setup::new(Options::default()).await;
    let none = [].as_slice();
    for (content, fields, name) in [
        ("one", none, "a.png"),
        ("two", &[("overwrite", "false")], "a (1).png"),
        ("one", none, "a.png"),
        ("two", none, "a (1).png"),
        ("three", none, "a (2).png"),
        ("two", &[("overwrite", "true")], "a.png"),
        ("four", &[("overwrite", "1")], "a.png"),
    ] {
        let told = setup.upload(&[], "a.png", content, fields).await;
        assert_eq!(told, named(name, "", "input"), "{content} {fields:?}");
        let name = name.replace(' ', "+");
        assert_eq!(setup.shown(&format!("filename={name}&type=input")).await, content);
    }
    let temporary = setup.upload(&[], "a.png", "five", &[("type", "temp")]).await;
    assert_eq!(temporary, named("a.png", "", "temp"), "another place");
    assert_eq!(setup.shown("filename=a.png&type=temp").await, "five");
    assert_eq!(setup.shown("filename=a.png&type=input").await, "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_name_at_the_same_time_get_names_of_their_own() {
    let setup = Setup::new(Options::default()).await;
    let uploads = (0..8).map(|nth| {
        let setup = &setup;
        async move {
            let content = nth.to_string();
            let told = setup.upload(&[], "a.png", &content, &[]).await;
            let name = told["name"].as_str().expect("a name").replace(' ', "+");
            assert_eq!(setup.shown(&format!("filename={name}&type=input")).await, content);
            name
        }
    });
    let mut names = futures_util::future::join_all(uploads).await;
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
}

#[tokio::test]
async fn what_the_server_refuses_is_told_and_no_name_is_known() {
    let setup = Setup::new(Options {
        max_upload: 3_000,
        ..Options::default()
    })
    .await;
    let long = form("filename=\"a.png\"", &[b'x'; 5_000], &[]);
    let answer = setup.upload_form("/upload/image", &[], long).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    for status in [401, 429, 500] {
        setup.server.fail_next(Some(Call::Upload), 1, Fault::Status(status));
        let answer = setup
            .upload_form("/upload/image", &[], form("filename=\"a.png\"", b"x", &[]))
            .await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(setup.view(&[], "filename=a.png&type=input").await.status, 404);
    let told = setup.upload(&[], "a.png", "y", &[]).await;
    assert_eq!(told, named("a.png", "", "input"), "the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_is_none() {
    let setup = Setup::new(Options::default()).await;
    // What the server is, is known before.
    assert_eq!(setup.view(&[], "filename=a.png&type=input").await.status, 404);
    let whole = form("filename=\"a.png\"", &[b'x'; 50_000], &[("type", "input")]);
    for cut in [0, 20, 200, 30_000, whole.len() - 30, whole.len() - 3] {
        let mut stream = TcpStream::connect(setup.jobshim.address).await.expect("a connection");
        let head = format!(
            "POST /upload/image HTTP/1.1\r\nhost: a\r\n{}: {}\r\ncontent-length: {}\r\n\r\n",
            FORM.0,
            FORM.1,
            whole.len()
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&whole[..cut]).await.expect("sent");
    }
    // A form without its end is none either, however well its length is kept.
    let answer = setup.upload_form("/upload/image", &[], whole[..40_000].to_vec()).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("ends in the middle"), "{}", answer.text());
    assert_eq!(setup.server.count(Call::Upload), 0, "the server takes none");
    until("the name is free", async || {
        let told = setup.upload(&[], "a.png", "y", &[("overwrite", "false")]).await;
        told["name"] == "a.png"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_known_after_a_restart() {
    let folder = StateFolder::new("v2-files-restart");
    let place = StatePlace::Folder(folder.path.clone());
    let mut setup = Setup::with(Options::default(), |config| config.state.place = place.clone()).await;
    setup.upload(&[], "a.png", "one", &[]).await;
    let url = setup.server.url();
    // Its connections hold what is stopped.
    setup.client = Client::new();
    setup.jobshim.stop().await;
    setup.jobshim = start(&url, |_| {}).await;
    assert_eq!(
        setup.view(&[], "filename=a.png&type=input").await.status,
        404,
        "without its state"
    );
    setup.jobshim = start(&url, |config| config.state.place = place).await;
    assert_eq!(setup.shown("filename=a.png&type=input").await, "one");
    assert_eq!(setup.upload(&[], "a.png", "two", &[]).await["name"], "a (1).png");
}
