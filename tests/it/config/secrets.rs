//! Keys and tokens are shown by nothing: no `check`, no complaint, no answer.

use crate::support::{Client, TableFolder as Folder, program::run, start, upstream::Scripted};
use http::{HeaderName, HeaderValue};
use jobshim::config::DialectChoice;

#[test]
fn check_shows_where_a_key_is_kept_and_never_the_key() {
    let folder = Folder::with(
        "cloud-keys",
        &[
            ("key", "file-key-7c1d\n"),
            (
                "jobshim.toml",
                "[listen]\naccess_token = { env = \"TOKEN\" }\n[upstream.headers]\nX-API-Key = { env = \"KEY\" }\n\
                 X-Other = { file = \"FOLDER/key\" }\nX-Literal = \"literal-7c1d==\"\n",
            ),
        ],
    );
    let path = folder.path.display().to_string();
    let file = folder.path.join("jobshim.toml");
    let text = std::fs::read_to_string(&file)
        .expect("the file")
        .replace("FOLDER", &path);
    std::fs::write(&file, text).expect("the file");
    let file = file.display().to_string();
    let output = run(
        &["check", "--config", &file],
        &[("KEY", "key-7c1d"), ("TOKEN", "token-7c1d==")],
    );
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "env:TOKEN",
        "X-API-Key=env:KEY",
        "X-Other=file:",
        "X-Literal=(not shown)",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("7c1d"), "{said}");
}

#[test]
fn no_complaint_shows_a_secret_however_it_was_mistyped() {
    for arguments in [
        &["--access-token", "7c1d7c1d=="][..],
        &["--access-token", "7c1d\u{e9}\n7c1d"],
        &["--upstream-header", "X-API-Key: 7c1d"],
        &["--upstream-header", "X-API-Key: 7c1d=="],
        &["--upstream-header", "X-API-Key 7c1d=="],
        &["--upstream-header", "7c1d"],
        &["--upstream-header", "X-API-Key=7c1d\u{7f}"],
        &["--upstream-header", "Host=7c1d"],
        &["--upstream-header", "X-API-Key=7c1d", "--listen", "0.0.0.0:0"],
    ] {
        // One mistake more, so that there is always a complaint.
        let output = run(&[&["check"], arguments, &["--upstream", "nowhere"]].concat(), &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {said}");
        assert!(!said.contains("7c1d"), "{arguments:?} {said}");
        let output = run(&[&["check"], arguments].concat(), &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains("7c1d"), "{arguments:?} {said}");
    }
    for text in [
        "[listen]\naccess_token = \"7c1d\n",
        "[listen]\naccess_token = 7c1d\n",
        "[listen]\naccess_token = [\"7c1d\"]\n",
        "[listen]\naccess_token = \"7c1d\"\naccess_token = \"7c1d\"\n",
        "[upstream.headers]\nX-API-Key = { value = \"7c1d\" }\n",
        "[upstream.headers]\n\"X-API-Key: 7c1d\" = \"a\"\n",
        "[upstream]\nheaders = \"X-API-Key: 7c1d\"\n",
    ] {
        let folder = Folder::with("cloud-mistyped", &[("jobshim.toml", text)]);
        let file = folder.path.join("jobshim.toml").display().to_string();
        let output = run(&["check", "--config", &file], &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text} {said}");
        assert!(!said.contains("7c1d"), "{text} {said}");
    }
}

#[tokio::test]
async fn a_socket_target_that_cannot_be_sent_does_not_show_the_token() {
    let recorder = Scripted::always(200, &[], "").await;
    let key = (
        HeaderName::from_static("x-api-key"),
        HeaderValue::from_str(&format!("key-7c1d{}", "x".repeat(100))).expect("a value"),
    );
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Cloud;
        config.upstream.headers = vec![key];
        // The longest that hyper takes, so that what is added to it is too much.
        config.server.max_uri_bytes = 65_534;
    })
    .await;
    let long = format!("/ws?clientId={}", "x".repeat(65_495));
    let reply = Client::new().get(jobshim.address, &long).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(!reply.text().contains("7c1d"), "{}", reply.text());
}
