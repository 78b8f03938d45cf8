//! The key of the cloud: where it is read, with which calls it goes, and where it never goes.

use super::{KEY, cloud, in_front_of, last, send};
use crate::support::{TableFolder as Folder, program::Program, server::PICTURE, upstream::Scripted};
use http::Method;

#[tokio::test]
async fn the_key_goes_with_every_call_and_a_clients_own_key_before_it() {
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    let jobshim = in_front_of(&recorder.url()).await;
    for (method, target) in [
        (Method::GET, "/view?filename=a"),
        (Method::POST, "/prompt"),
        (Method::GET, "/history"),
        (Method::GET, "/history/x"),
        (Method::GET, "/queue"),
        (Method::POST, "/history"),
        (Method::POST, "/interrupt"),
        (Method::POST, "/api/job/x/cancel"),
    ] {
        send(jobshim.address, method.clone(), target, &[], "{}").await;
        let arrived = recorder.all().pop().expect("a request");
        assert_eq!(arrived.headers["x-api-key"], KEY, "{method} {target}");
        let host = recorder.address.to_string();
        assert_eq!(arrived.headers["host"], host, "{method} {target}");
        send(jobshim.address, method.clone(), target, &[("x-api-key", "own")], "{}").await;
        let arrived = recorder.all().pop().expect("a request");
        let keys: Vec<_> = arrived.headers.get_all("x-api-key").iter().collect();
        assert_eq!(keys, ["own"], "{method} {target}");
    }
}

#[tokio::test]
async fn the_socket_stays_at_the_root_and_the_key_becomes_its_token() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = in_front_of(&recorder.url()).await;
    let encoded = "comfyui%2Dkey%2D7c1d%2F%2B%3D";
    for (sent, headers, arrives) in [
        ("/ws", &[][..], format!("/ws?token={encoded}")),
        ("/ws?clientId=a%20b", &[], format!("/ws?clientId=a%20b&token={encoded}")),
        ("/ws?clientId=a&token=own", &[], "/ws?clientId=a&token=own".to_owned()),
        (
            "/ws?clientId=a",
            &[("x-api-key", "own")],
            "/ws?clientId=a&token=own".to_owned(),
        ),
        ("/api/ws?clientId=a", &[], format!("/ws?clientId=a&token={encoded}")),
        ("/ws?token=&clientId=a", &[], format!("/ws?clientId=a&token={encoded}")),
        ("/ws?token", &[("x-api-key", "")], format!("/ws?token={encoded}")),
        (
            "/ws",
            &[("authorization", "Bearer comfyui-own")],
            "/ws?token=comfyui%2Down".to_owned(),
        ),
        (
            "/ws?a",
            &[("authorization", "Bearer a.session.token")],
            "/ws?a".to_owned(),
        ),
    ] {
        send(jobshim.address, Method::GET, sent, headers, "").await;
        assert_eq!(last(&recorder).target, arrives, "{sent} {headers:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_signed_url_is_the_clients_and_the_key_never_goes_there() {
    let storage = Scripted::always(200, &[("content-type", "image/png")], "a picture").await;
    let server = cloud(Some(storage.url())).await;
    server.with(|state| state.files.insert("output/a b.png".to_owned(), PICTURE.into()));
    let jobshim = in_front_of(&server.url()).await;
    let reply = send(
        jobshim.address,
        Method::GET,
        "/view?filename=a%20b.png&type=output",
        &[],
        "",
    )
    .await;
    let location = format!(
        "{}/bucket/output/a b.png?X-Signature=a%2Fb%3D&X-Expires=60",
        storage.url()
    );
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (302, location.as_str())
    );
    assert_eq!(reply.header("cache-control"), "private");
    assert_eq!(storage.all().len(), 0, "jobshim does not follow it");
    for (name, value) in &reply.headers {
        assert!(!format!("{value:?}").contains("7c1d"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_a_file_and_from_the_environment_opens_the_cloud() {
    let server = cloud(None).await;
    let folder = Folder::with("cloud-key-sources", &[("key", &format!("{KEY}\r\n"))]);
    let path = folder.path.join("key").display().to_string();
    for reference in [
        format!("{{ file = {path:?} }}"),
        "{ env = \"THE_KEY\" }".to_owned(),
        format!("\"file:{path}\""),
    ] {
        let text = format!(
            "[upstream]\nurl = \"{}\"\n\n[upstream.headers]\nX-API-Key = {reference}\n",
            server.url()
        );
        std::fs::write(folder.path.join("jobshim.toml"), text).expect("a file");
        let config = folder.path.join("jobshim.toml").display().to_string();
        let mut program = Program::start(&["--config", &config, "--listen", "127.0.0.1:0"], &[("THE_KEY", KEY)]);
        let reply = send(program.address(), Method::GET, "/object_info", &[], "").await;
        assert_eq!(reply.status, 200, "{reference}: {}", reply.text());
    }
    let by_variable = format!("X-API-Key=file:{path}\nX-Other=env:THE_KEY");
    let mut program = Program::start(
        &["--listen", "127.0.0.1:0", "--upstream", &server.url()],
        &[("THE_KEY", KEY), ("JOBSHIM_UPSTREAM_HEADERS", &by_variable)],
    );
    let reply = send(program.address(), Method::GET, "/object_info", &[], "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let arrived = server
        .arrived(Method::GET, "/api/object_info")
        .pop()
        .expect("a request");
    assert_eq!(arrived.headers["x-other"], KEY);
}
