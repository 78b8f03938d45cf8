//! A cloud upstream for clients that were written for a local ComfyUI and know neither a prefix nor a key.

use crate::support::{
    Client, Reply, Running, TableFolder as Folder,
    program::Program,
    server::{PICTURE, Server, Setup, board},
    start,
    upstream::{Arrived, Scripted},
};
use http::{HeaderName, HeaderValue, Method};
use jobshim::{
    config::{Config, DialectChoice},
    demo::{Job, Rules},
};
use serde_json::Value;
use std::net::SocketAddr;

const KEY: &str = "comfyui-key-7c1d/+=";
const OTHER_KEY: &str = "comfyui-key-of-another-9e2a";

fn with_key(config: &mut Config) {
    config.upstream.dialect = DialectChoice::Cloud;
    config.upstream.headers = vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY))];
}

async fn in_front_of(url: &str) -> Running {
    start(url, with_key).await
}

/// A cloud with two accounts, whose lists have pages of 100.
async fn cloud(storage: Option<String>) -> Server {
    let setup = Setup {
        keys: &[KEY, OTHER_KEY],
        page: Some(100),
        storage,
        ..Setup::default()
    };
    Server::start(board(Rules::Cloud), setup).await
}

fn job(id: &str, status: &str, created: usize) -> Job {
    let text = format!(
        r#"{{"id": "{id}", "status": "{status}", "create_time": {}}}"#,
        1_795_000_000_000 + created
    );
    Job::new(&text, &text).expect("a job")
}

async fn send(at: SocketAddr, method: Method, target: &str, headers: &[(&str, &str)], body: impl ToString) -> Reply {
    Client::new()
        .send(method, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

fn last(recorder: &Scripted) -> Arrived {
    recorder.arrived().pop().expect("a request")
}

// ------------------------------------------------------------------------------------------------ where it goes

#[tokio::test]
async fn paths_of_a_local_server_get_the_clouds_prefix_and_all_else_stays_to_the_byte() {
    let recorder = Scripted::always(200, &[], "{}").await;
    let jobshim = in_front_of(&recorder.url()).await;
    for (method, sent, arrives) in [
        (Method::POST, "/prompt", "/api/prompt"),
        (Method::GET, "/prompt", "/api/prompt"),
        (Method::POST, "/upload/image", "/api/upload/image"),
        (Method::POST, "/upload/mask?x=1", "/api/upload/mask?x=1"),
        (
            Method::GET,
            "/view?filename=a%20b.png&subfolder=&type=output",
            "/api/view?filename=a%20b.png&subfolder=&type=output",
        ),
        (Method::GET, "/object_info", "/api/object_info"),
        (
            Method::GET,
            "/object_info/Save%2FImage",
            "/api/object_info/Save%2FImage",
        ),
        (Method::GET, "/userdata?dir=workflows", "/api/userdata?dir=workflows"),
        (
            Method::POST,
            "/userdata/workflows%2Fa.json?overwrite=true",
            "/api/userdata/workflows%2Fa.json?overwrite=true",
        ),
        (Method::DELETE, "/userdata/a", "/api/userdata/a"),
        (Method::GET, "/system_stats", "/api/system_stats"),
        (Method::GET, "/apiary", "/api/apiary"),
        (Method::GET, "/wsx", "/api/wsx"),
        (Method::GET, "/api/ws/x", "/api/ws/x"),
        (Method::GET, "/models", "/api/experiment/models"),
        (
            Method::GET,
            "/models/checkpoints?x=1",
            "/api/experiment/models/checkpoints?x=1",
        ),
        (Method::GET, "/models/a%2Fb", "/api/experiment/models/a%2Fb"),
        (Method::GET, "/api/models/loras", "/api/experiment/models/loras"),
        (Method::GET, "/experiment/models", "/api/experiment/models"),
        (Method::GET, "/modelsx", "/api/modelsx"),
        (Method::GET, "/viewvideo?filename=a.mp4", "/api/view?filename=a.mp4"),
        (Method::GET, "/api/viewvideo?filename=a.mp4", "/api/view?filename=a.mp4"),
        (Method::GET, "/api/", "/api/"),
        (Method::GET, "/api", "/api"),
        (Method::GET, "/api/prompt", "/api/prompt"),
        (Method::POST, "/api/prompt", "/api/prompt"),
        (Method::GET, "/api/jobs/x?a=1", "/api/jobs/x?a=1"),
        (Method::GET, "/", "/"),
    ] {
        send(jobshim.address, method.clone(), sent, &[], "{}").await;
        let arrived = last(&recorder);
        assert_eq!((arrived.method, arrived.target.as_str()), (method, arrives), "{sent}");
    }
}

#[tokio::test]
async fn the_prefix_is_the_tables_and_a_self_hosted_server_gets_none() {
    let recorder = Scripted::always(200, &[], "{}").await;
    let table = std::fs::read_to_string("mappings/dialects/cloud.toml").expect("the table");
    let other = table
        .replace("prefix = \"/api\"", "prefix = \"/v9\"")
        .replace("\"/ws\"]", "\"/ws\", \"/prompt\"]");
    assert_ne!(table, other);
    let folder = Folder::with("cloud-prefix", &[("dialect-cloud.toml", &other)]);
    let jobshim = start(&recorder.url(), |config| {
        with_key(config);
        config.mappings_dir = Some(folder.path.clone());
    })
    .await;
    for (sent, arrives) in [("/view?a", "/v9/view?a"), ("/prompt", "/prompt")] {
        send(jobshim.address, Method::GET, sent, &[], "").await;
        assert_eq!(last(&recorder).target, arrives);
    }
    let jobshim = start(&recorder.url(), |config| {
        with_key(config);
        config.upstream.dialect = DialectChoice::Comfyui;
    })
    .await;
    for sent in ["/view?a", "/ws?clientId=1", "/api/jobs?sort_by=created_at"] {
        send(jobshim.address, Method::GET, sent, &[], "").await;
        assert_eq!(recorder.all().pop().expect("a request").target, sent);
    }
}

#[tokio::test]
async fn either_dialects_sort_words_are_translated_to_the_upstreams() {
    let recorder = Scripted::always(200, &[], "{}").await;
    for (choice, pairs) in [
        (
            DialectChoice::Cloud,
            [
                ("sort_by=created_at", "sort_by=create_time"),
                (
                    "limit=5&sort_by=execution_duration&x=%20",
                    "limit=5&sort_by=execution_time&x=%20",
                ),
                ("sort_by=execution_time", "sort_by=execution_time"),
                ("sort_by=nonsense", "sort_by=nonsense"),
            ],
        ),
        (
            DialectChoice::Comfyui,
            [
                (
                    "sort_by=create_time&sort_order=asc",
                    "sort_by=created_at&sort_order=asc",
                ),
                ("sort_by=execution_time", "sort_by=execution_duration"),
                ("sort_by=created_at", "sort_by=created_at"),
                ("sort_order=create_time", "sort_order=create_time"),
            ],
        ),
    ] {
        let jobshim = start(&recorder.url(), |config| {
            with_key(config);
            config.upstream.dialect = choice;
        })
        .await;
        for (sent, arrives) in pairs {
            send(jobshim.address, Method::GET, &format!("/api/jobs?{sent}"), &[], "").await;
            // Jobshim's own calls have this target too, so the recorder's filter leaves it out.
            let arrived = recorder.all().pop().expect("a request");
            assert_eq!(arrived.target, format!("/api/jobs?{arrives}"), "{choice:?}");
        }
        send(
            jobshim.address,
            Method::GET,
            "/view?sort_by=created_at&sort_by=create_time",
            &[],
            "",
        )
        .await;
        assert!(
            last(&recorder)
                .target
                .ends_with("/view?sort_by=created_at&sort_by=create_time")
        );
    }
    // Over servers that refuse the other one's words.
    for (rules, words) in [
        (
            Rules::Cloud,
            ["created_at", "execution_duration", "create_time", "execution_time"],
        ),
        (
            Rules::Comfyui,
            ["create_time", "execution_time", "created_at", "execution_duration"],
        ),
    ] {
        let server = Server::start(board(rules), Setup::default()).await;
        let jobshim = start(&server.url(), |_| {}).await;
        send(jobshim.address, Method::GET, "/queue", &[], "").await;
        for word in words {
            let reply = send(
                jobshim.address,
                Method::GET,
                &format!("/api/jobs?sort_by={word}"),
                &[],
                "",
            )
            .await;
            assert_eq!(reply.status, 200, "{rules:?} {word}: {}", reply.text());
        }
        let reply = send(jobshim.address, Method::GET, "/api/jobs?sort_by=nonsense", &[], "").await;
        assert_eq!(reply.status, 400, "{rules:?}: the server's own refusal");
    }
}

// ------------------------------------------------------------------------------------------------ the key

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

#[tokio::test]
async fn lists_are_walked_in_pages_of_a_hundred_and_show_this_keys_jobs_alone() {
    let server = cloud(None).await;
    server.with(|state| {
        for nth in 1..=250 {
            let id = format!("job-{nth:04}");
            state.board.add(job(&id, "completed", nth));
            let owner = if nth % 50 == 0 { OTHER_KEY } else { KEY };
            state.owners.insert(id, owner.to_owned());
        }
    });
    let jobshim = in_front_of(&server.url()).await;
    let shown = send(jobshim.address, Method::GET, "/history", &[], "").await;
    let shown = crate::support::json::Json::parse(&shown.body).expect("JSON");
    let wanted: Vec<String> = (1..=250)
        .filter(|nth| nth % 50 != 0)
        .map(|nth| format!("job-{nth:04}"))
        .collect();
    assert_eq!(shown.keys(), wanted);
    let lists = server.arrived(Method::GET, "/api/jobs?");
    let cursors = lists.iter().filter(|list| list.target.contains("after=")).count();
    assert_eq!((lists.len(), cursors), (3, 2), "{lists:#?}");
    let reply = send(
        jobshim.address,
        Method::GET,
        "/history",
        &[("x-api-key", OTHER_KEY)],
        "",
    )
    .await;
    let shown = crate::support::json::Json::parse(&reply.body).expect("JSON");
    assert_eq!(
        shown.keys(),
        ["job-0050", "job-0100", "job-0150", "job-0200", "job-0250"]
    );
}

#[tokio::test]
async fn clearing_a_long_queue_cancels_all_of_it_and_nothing_of_another_key() {
    let server = cloud(None).await;
    let uuid = |nth: usize| format!("{nth:08}-0000-4000-8000-000000000000");
    server.with(|state| {
        for nth in 1..=260 {
            state.board.add(job(&uuid(nth), "pending", nth));
            let owner = if nth % 26 == 0 { OTHER_KEY } else { KEY };
            state.owners.insert(uuid(nth), owner.to_owned());
        }
    });
    let jobshim = in_front_of(&server.url()).await;
    let reply = send(jobshim.address, Method::POST, "/queue", &[], r#"{"clear": true}"#).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    let calls = server.arrived(Method::POST, "/api/jobs/cancel");
    let named = |call: &Arrived| {
        let body: Value = serde_json::from_slice(&call.body).expect("JSON");
        body["job_ids"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(calls.iter().map(named).collect::<Vec<_>>(), [100, 100, 50]);
    let left = server.with(|state| state.board.in_state("pending"));
    let theirs: Vec<String> = (1..=10).rev().map(|nth| uuid(nth * 26)).collect();
    assert_eq!(left, theirs);
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

// ------------------------------------------------------------------------------------------------ refusals

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_and_anothers_job_reach_the_client_as_they_are_and_the_log_tells_them_apart() {
    let server = cloud(None).await;
    server.with(|state| {
        state.board.add(job("theirs", "completed", 1));
        state.owners.insert("theirs".to_owned(), OTHER_KEY.to_owned());
    });
    for dialect in ["cloud", "auto"] {
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &server.url(),
            "--dialect",
            dialect,
        ];
        let mut right = Program::start(
            &[
                &arguments[..],
                &["--upstream-header", "X-API-Key=env:COMFY_CLOUD_API_KEY"],
            ]
            .concat(),
            &[("COMFY_CLOUD_API_KEY", KEY)],
        );
        let at = right.address();
        for target in [
            "/history/theirs",
            "/api/history_v2/theirs",
            "/api/job/theirs/status",
            "/api/jobs/theirs",
        ] {
            let reply = send(at, Method::GET, target, &[], "").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (403, r#"{"code": "FORBIDDEN", "message": "the job is another user's"}"#),
                "{dialect} {target}"
            );
        }
        let reply = send(at, Method::POST, "/api/job/theirs/cancel", &[], "").await;
        assert_eq!(reply.status, 403, "{dialect}: {}", reply.text());
        let line = right.line_with("answered 403:");
        assert!(line.contains("not your job") && !line.contains("wrong key"), "{line}");
        let mut wrong = Program::start(
            &[
                &arguments[..],
                &["--upstream-header", "X-API-Key=env:COMFY_CLOUD_API_KEY"],
            ]
            .concat(),
            &[("COMFY_CLOUD_API_KEY", "a-wrong-key")],
        );
        let at = wrong.address();
        for (method, target) in [
            (Method::GET, "/history"),
            (Method::GET, "/queue"),
            (Method::POST, "/prompt"),
            (Method::POST, "/upload/image"),
            (Method::GET, "/view?filename=a"),
            (Method::POST, "/queue"),
            (Method::POST, "/interrupt"),
            (Method::POST, "/history"),
            (Method::GET, "/api/jobs"),
            (Method::GET, "/ws?clientId=a"),
        ] {
            let reply = send(at, method.clone(), target, &[], "{}").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (401, r#"{"code": "UNAUTHORIZED", "message": "invalid API key"}"#),
                "{dialect} {method} {target}"
            );
        }
        let line = wrong.line_with("answered 401:");
        assert!(line.contains("wrong key") && !line.contains("not your job"), "{line}");
    }
}
