//! Redacted keys on the way in and out, and what the log says of keys.

#![cfg(unix)]

use super::*;

#[tokio::test]
async fn a_redacted_key_is_taken_out_on_the_way_in_and_nothing_else() {
    for (sent, arrives) in [
        (
            r#"{"prompt": {"1":{}}, "extra_data": {"api_key_comfy_org": "[REDACTED]"}, "client_id": "a"}"#,
            r#"{"prompt": {"1":{}}, "extra_data": {}, "client_id": "a"}"#,
        ),
        (
            "{\"extra_data\":{\"x\" : 1.0,\n\"api_key_comfy_org\":\"[REDACTED]\" , \"y\":2}}\n",
            "{\"extra_data\":{\"x\" : 1.0 , \"y\":2}}\n",
        ),
        (
            r#"{"extra_data": {"api\u005fkey_comfy_org": "\u005bREDACTED]", "x": NaN}}"#,
            r#"{"extra_data": {"x": NaN}}"#,
        ),
    ] {
        for max_bytes in [1 << 20, 0] {
            let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
            let jobshim = facing(&recorder.url(), |config| config.notes.max_bytes = max_bytes).await;
            for target in ["/prompt", "/api/prompt"] {
                let reply = Client::new()
                    .send(Method::POST, jobshim.address, target, &[], sent)
                    .await
                    .expect("an answer");
                assert_eq!(reply.status, 200);
                let arrived = last(&recorder);
                assert_eq!(
                    String::from_utf8_lossy(&arrived.body),
                    arrives,
                    "notes: {max_bytes} bytes"
                );
                assert_eq!(arrived.headers["content-length"], arrives.len().to_string());
            }
            let pieces = sent.as_bytes().chunks(5).map(Bytes::copy_from_slice).collect();
            assert_eq!(send_chunked(jobshim.address, pieces).await.status, 200);
            assert_eq!(String::from_utf8_lossy(&last(&recorder).body), arrives);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_warns_of_a_redacted_key_and_holds_no_real_one() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let mut program = Program::before(&recorder.url(), &["-vv", "--dialect", "comfyui"]);
    let at = program.address();
    for key in ["a-real-key-7c1d", "[REDACTED]"] {
        submit_as(
            at,
            &[],
            json!({"prompt": {}, "extra_data": {"api_key_comfy_org": key, "auth_token_comfy_org": "token-7c1d"}}),
        )
        .await;
    }
    program.line_with("redacted key");
    program.signal("TERM");
    program.end();
    let warned = program.log.iter().filter(|line| line.contains("redacted key")).count();
    assert_eq!(warned, 1, "{:#?}", program.log);
    assert!(
        !program.log.iter().any(|line| line.contains("7c1d")),
        "{:#?}",
        program.log
    );
}

#[tokio::test]
async fn a_redacted_key_never_comes_out() {
    let (server, jobshim) = new_server(Rules::Cloud, Setup::default()).await;
    let at = jobshim.address;
    let ids = [
        submit_as(
            at,
            &[],
            json!({"prompt": nodes(), "extra_data": {"a": 1, "api_key_comfy_org": "a-real-key"}}),
        )
        .await,
        submit_as(at, &[], json!({"prompt": nodes(), "client_id": "b"})).await,
        submit_as(at, &[], json!({"prompt": nodes()})).await,
    ];
    server.step();
    server.step();
    let upstream = get(at, &format!("/api/jobs/{}", ids[0]), &[]).await;
    assert_eq!(
        upstream["workflow"]["extra_data"]["api_key_comfy_org"], "[REDACTED]",
        "the server says so"
    );
    for target in [
        "/history".to_owned(),
        "/queue".to_owned(),
        "/api/queue".to_owned(),
        "/api/history_v2".to_owned(),
        format!("/history/{}", ids[0]),
        format!("/api/history_v2/{}", ids[0]),
        format!("/api/job/{}/status", ids[0]),
    ] {
        let reply = Client::new().get(at, &target).await;
        assert_eq!(reply.status, 200, "{target}");
        for word in ["REDACTED", "api_key_comfy_org", "a-real-key"] {
            assert!(!reply.text().contains(word), "{target}: {}", reply.text());
        }
    }
    assert_eq!(get(at, "/history", &[]).await[&ids[0]]["prompt"][3]["a"], 1);
}

#[tokio::test]
async fn a_table_in_the_folder_decides_what_is_noted() {
    let table = std::fs::read_to_string("mappings/requests/prompt.toml").expect("the table");
    let other = table.replace("id = \"prompt_id\"", "id = \"job.id\"");
    assert_ne!(table, other);
    let folder = TableFolder::with("prompt-table", &[("prompt.toml", &other)]);
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.mappings_dir = Some(folder.path.clone())).await;
    submit_as(jobshim.address, &[], json!({"prompt": nodes()})).await;
    assert_eq!(
        pending(jobshim.address, &[]).await[2],
        json!({}),
        "the answer has no job.id"
    );
}
