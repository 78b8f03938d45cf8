//! A cloud upstream for clients that were written for a local ComfyUI and know neither a prefix nor a key.

use crate::support::{
    Client, Reply, Running, TableFolder as Folder,
    program::{Program, run},
    server::{PICTURE, Server, Setup, board},
    start,
    upstream::{Arrived, Recorder},
};
use http::{HeaderName, HeaderValue, Method};
use jobshim::{
    cli::Options,
    config::{self, Config, DialectChoice},
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

fn last(recorder: &Recorder) -> Arrived {
    recorder.arrived().pop().expect("a request")
}

// ------------------------------------------------------------------------------------------------ where it goes

#[tokio::test]
async fn paths_of_a_local_server_get_the_clouds_prefix_and_all_else_stays_to_the_byte() {
    let recorder = Recorder::start(200, &[], "{}").await;
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
    let recorder = Recorder::start(200, &[], "{}").await;
    let table = std::fs::read_to_string("mappings/dialect-cloud.toml").expect("the table");
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
    let recorder = Recorder::start(200, &[], "{}").await;
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
    let recorder = Recorder::start(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
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
        let host = recorder.upstream.address.to_string();
        assert_eq!(arrived.headers["host"], host, "{method} {target}");
        send(jobshim.address, method.clone(), target, &[("x-api-key", "own")], "{}").await;
        let arrived = recorder.all().pop().expect("a request");
        let keys: Vec<_> = arrived.headers.get_all("x-api-key").iter().collect();
        assert_eq!(keys, ["own"], "{method} {target}");
    }
}

#[tokio::test]
async fn the_socket_stays_at_the_root_and_the_key_becomes_its_token() {
    let recorder = Recorder::start(200, &[], "").await;
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
        ("/api/ws?clientId=a", &[], "/api/ws?clientId=a".to_owned()),
    ] {
        send(jobshim.address, Method::GET, sent, headers, "").await;
        assert_eq!(last(&recorder).target, arrives, "{sent} {headers:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_signed_url_is_the_clients_and_the_key_never_goes_there() {
    let storage = Recorder::start(200, &[("content-type", "image/png")], "a picture").await;
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

// ------------------------------------------------------------------------------------------------ the door

#[tokio::test]
async fn the_access_token_opens_and_stays_here() {
    let server = cloud(None).await;
    let jobshim = start(&server.url(), |config| {
        with_key(config);
        let token = Options::default().with("listen.access_token", "let-me-in");
        config.access_token = config::load(&token, |_| None).expect("a token").config.access_token;
    })
    .await;
    let at = jobshim.address;
    for target in ["/history", "/queue", "/object_info", "/ws?clientId=a", "/"] {
        for wrong in [
            &[][..],
            &[("authorization", "Bearer let-me")],
            &[("authorization", "let-me-in")],
            &[("x-api-key", "LET-ME-IN")],
            &[("x-api-key", KEY)],
            &[("cookie", "token=let-me-in")],
        ] {
            let reply = send(at, Method::GET, target, wrong, "").await;
            assert_eq!(reply.status, 401, "{target} {wrong:?}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{target}");
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "no_access", "{target}");
        }
    }
    assert_eq!(server.arrived(Method::GET, "/").len(), 0, "nothing went on");
    for right in [("authorization", "Bearer let-me-in"), ("x-api-key", "let-me-in")] {
        for target in ["/history", "/queue", "/object_info"] {
            let reply = send(at, Method::GET, target, &[right], "").await;
            assert_eq!(reply.status, 200, "{target} {right:?}: {}", reply.text());
        }
    }
    let arrived = server.with(|state| state.arrived.clone());
    assert!(arrived.len() >= 6);
    for one in arrived {
        assert!(!format!("{one:?}").contains("let-me-in"), "{one:?}");
        assert!(!one.headers.contains_key("authorization"), "{one:?}");
        assert_eq!(one.headers["x-api-key"], KEY);
    }
}

#[test]
fn a_key_behind_an_open_listener_needs_an_access_token_or_a_word_that_this_is_meant() {
    let header = ["--upstream-header", "X-API-Key=env:KEY"];
    let environment = [("KEY", KEY), ("TOKEN", "t")];
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8187"] {
        for command in ["serve", "check"] {
            let output = run(&[&[command, "--listen", listen], &header[..]].concat(), &environment);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {listen}: {said}");
            assert!(
                said.contains("access_token") && said.contains("--i-know-this-is-open"),
                "{said}"
            );
            assert!(!said.contains("7c1d"), "{said}");
        }
        for enough in [&["--access-token", "env:TOKEN"][..], &["--i-know-this-is-open"]] {
            let output = run(
                &[&["check", "--listen", listen], &header[..], enough].concat(),
                &environment,
            );
            assert_eq!(output.status.code(), Some(0), "{listen} {enough:?}");
        }
        assert_eq!(
            run(&["check", "--listen", listen], &[]).status.code(),
            Some(0),
            "no key, no danger"
        );
    }
    for loopback in ["127.0.0.1:0", "127.8.8.8:0", "[::1]:0"] {
        let output = run(&[&["check", "--listen", loopback], &header[..]].concat(), &environment);
        assert_eq!(output.status.code(), Some(0), "{loopback}");
    }
}

// ------------------------------------------------------------------------------------------------ never shown

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
        &[("KEY", KEY), ("TOKEN", "token-7c1d==")],
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
    let recorder = Recorder::start(200, &[], "").await;
    let jobshim = in_front_of(&recorder.url()).await;
    let long = format!("/ws?clientId={}", "x".repeat(65_480));
    let reply = send(jobshim.address, Method::GET, &long, &[], "").await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(!reply.text().contains("7c1d"), "{}", reply.text());
}
