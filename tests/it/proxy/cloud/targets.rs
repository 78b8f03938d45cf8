//! Where a request for the cloud goes: the prefix of its paths, and the words of its lists.

use super::{in_front_of, last, send, with_key};
use crate::support::{
    Running, TableFolder as Folder,
    server::{Server, Setup, board},
    start,
    upstream::Scripted,
};
use http::Method;
use jobshim::{config::DialectChoice, demo::Rules};

/// With the cloud's key, whatever the dialect.
async fn speaking(recorder: &Scripted, dialect: DialectChoice) -> Running {
    start(&recorder.url(), |config| {
        with_key(config);
        config.upstream.dialect = dialect;
    })
    .await
}

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
        (
            Method::GET,
            "/api/jobs/0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11?a=1",
            "/api/jobs/0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11?a=1",
        ),
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
    let jobshim = speaking(&recorder, DialectChoice::Comfyui).await;
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
        let jobshim = speaking(&recorder, choice).await;
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
