//! Forms as clients write them, and what is none.

use super::{FORM, Setup, form, load, named};
use http::Method;
use jobshim::demo::v2::{Call, Options};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

#[tokio::test]
async fn odd_names_are_told_shown_and_used_as_they_are() {
    let setup = Setup::new(Options::default()).await;
    for (nth, (disposition, name)) in [
        (r#"filename="a \"b\" c.png""#, r#"a "b" c.png"#),
        (r#"filename="\"x\".png""#, r#""x".png"#),
        ("filename=\"猫 & ü.png\"", "猫 & ü.png"),
        (
            "filename=\"_.png\"; filename*=UTF-8''%e2%82%ac%20rates.png",
            "€ rates.png",
        ),
        ("filename*=iso-8859-1'en'%A3.png", "£.png"),
        ("filename=plain.png", "plain.png"),
        (r#"filename="/leading.png""#, "leading.png"),
        (r#"filename="a\\b;c=d.png""#, r"a\b;c=d.png"),
        ("filename=\"a%22b.png\"", "a%22b.png"),
        ("filename=\"no end\"", "no end"),
        ("filename=\".hidden\"", ".hidden"),
    ]
    .into_iter()
    .enumerate()
    {
        let content = format!("content {nth}");
        let answer = setup
            .upload_form("/upload/image", &[], form(disposition, content.as_bytes(), &[]))
            .await;
        assert_eq!(answer.status, 200, "{disposition}: {}", answer.text());
        let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(told, named(name, "", "input"), "{disposition}");
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        assert_eq!(
            setup.shown(&format!("filename={encoded}&type=input")).await,
            content,
            "{name}"
        );
        setup.submit(&[], json!({ "prompt": load(name) })).await;
    }
}

#[tokio::test]
async fn what_is_no_upload_is_refused_and_the_server_gets_none() {
    let setup = Setup::new(Options::default()).await;
    let good = || form("filename=\"a.png\"", b"x", &[]);
    for (form, part) in [
        (form("filename=\"\"", b"x", &[]), "no file"),
        (form("x=y", b"x", &[]), "no file"),
        (form("filename=\"..\"", b"x", &[]), "lead nowhere"),
        (form("filename=\"a/b.png\"", b"x", &[]), "lead nowhere"),
        (form("filename*=utf-8''%2fa.png", b"x", &[]), "lead nowhere"),
        (form("filename=\"a.png\"", b"x", &[("type", "other")]), "lead nowhere"),
        (
            form("filename=\"a.png\"", b"x", &[("subfolder", "../a")]),
            "lead nowhere",
        ),
        (
            form("filename=\"a.png\"", b"x", &[("subfolder", "/etc")]),
            "lead nowhere",
        ),
        (
            form("filename=\"a.png\"", b"x", &[("subfolder", &"x".repeat(20_000))]),
            "longer than",
        ),
        (b"--XX--XX--\r\n".to_vec(), "no file"),
        (b"nothing of the kind".to_vec(), "ends in the middle"),
        (Vec::new(), "ends in the middle"),
    ] {
        let shown = String::from_utf8_lossy(&form).into_owned();
        let answer = setup.upload_form("/upload/image", &[], form).await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        assert!(answer.text().contains(part), "{part} is not in {}", answer.text());
    }
    let long = "x".repeat(251) + ".png";
    let form = |content: &[u8]| form(&format!("filename=\"{long}\""), content, &[]);
    assert_eq!(setup.upload_form("/upload/image", &[], form(b"one")).await.status, 200);
    let answer = setup.upload_form("/upload/image", &[], form(b"two")).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("too long"), "{}", answer.text());
    let uploads = setup.server.count(Call::Upload);
    for (header, value, status) in [
        ("content-type", "application/json", 400),
        ("content-type", "multipart/form-data", 400),
        ("content-encoding", "gzip", 415),
    ] {
        let headers: Vec<(&str, &str)> = [FORM]
            .into_iter()
            .filter(|(name, _)| *name != header)
            .chain([(header, value)])
            .collect();
        let sent = setup
            .client
            .send(Method::POST, setup.jobshim.address, "/upload/image", &headers, good());
        let answer = sent.await.expect("an answer");
        assert_eq!(answer.status, status, "{header}: {value}: {}", answer.text());
    }
    for (method, path, allow) in [
        (Method::GET, "/upload/image", "POST"),
        (Method::POST, "/api/view", "GET, HEAD"),
    ] {
        let sent = setup.client.send(method, setup.jobshim.address, path, &[FORM], good());
        let answer = sent.await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{path}");
    }
    let foreign = [("sec-fetch-site", "cross-site")];
    let answer = setup.upload_form("/upload/image", &foreign, good()).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(setup.server.count(Call::Upload), uploads);
}

#[tokio::test]
async fn a_boundary_may_begin_with_a_slash() {
    let setup = Setup::new(Options::default()).await;
    let body = "--/abc\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\nx\r\n--/abc--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=\"/abc\"")];
    let sent = setup
        .client
        .send(Method::POST, setup.jobshim.address, "/upload/image", &headers, body);
    let answer = sent.await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(setup.shown("filename=a.png&type=input").await, "x");
}
