//! What is learnt, for whom, and how long it is kept.

use super::*;

/// Every recorded answer of a case, after its queued jobs were submitted through jobshim.
async fn assert_nothing_lost(case: Case) {
    let server = Server::start(case.board(), Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let queue = case
        .legacy
        .iter()
        .find(|legacy| legacy.target == "/queue")
        .expect("a queue");
    for list in parts(&queue.body).values() {
        for item in items(list) {
            let id: String = serde_json::from_str(&items(&item)[1]).expect("an id");
            server.with(|state| state.ids.push(id.clone()));
            assert_eq!(submit_as(jobshim.address, &[], submission(&item)).await, id);
        }
    }
    for legacy in &case.legacy {
        let reply = Client::new().get(jobshim.address, &legacy.target).await;
        let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
        let mut given = Json::parse(&reply.body).expect("JSON");
        wanted.settle();
        given.settle();
        let found = differences(&wanted, &given);
        assert!(found.is_empty(), "{} {}: {found:#?}", case.server, legacy.target);
    }
}

#[tokio::test]
async fn the_queue_is_whole_for_jobs_that_were_submitted_through_jobshim() {
    for server in ["comfyui-0.27", "comfyui-0.8", "comfyui-next"] {
        assert_nothing_lost(case(server, "busy")).await;
    }
}

#[tokio::test]
async fn a_partial_execution_shows_exactly_the_nodes_it_asked_for() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        for path in ["/prompt", "/api/prompt"] {
            let (server, jobshim) = new_server(rules, Setup::default()).await;
            let at = jobshim.address;
            let body = json!({"prompt": nodes(), "client_id": "me", "partial_execution_targets": ["8"]});
            let reply = Client::new()
                .send(Method::POST, at, path, &[], body.to_string())
                .await
                .expect("an answer");
            let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
            let id = answer["prompt_id"].as_str().expect("an id");
            // Whatever is looked at first does not make it forgotten.
            for target in [
                format!("/api/job/{id}/status"),
                "/api/history_v2".to_owned(),
                "/api/jobs".to_owned(),
            ] {
                get(at, &target, &[]).await;
            }
            assert_eq!(pending(at, &[]).await[4], json!(["8"]), "{rules:?}");
            server.step();
            server.step();
            for target in [
                format!("/api/job/{id}/status"),
                "/api/history_v2".to_owned(),
                "/api/queue".to_owned(),
            ] {
                get(at, &target, &[]).await;
            }
            let list = get(at, "/history", &[]).await;
            assert_eq!(list[id]["prompt"][4], json!(["8"]), "{rules:?}");
            for _ in 0..2 {
                let one = get(at, &format!("/history/{id}"), &[]).await;
                assert_eq!(one[id]["prompt"][4], json!(["8"]), "{rules:?}");
                let detail = get(at, &format!("/api/history_v2/{id}"), &[]).await;
                assert_eq!(detail[id]["prompt"]["outputs_to_execute"], json!(["8"]), "{rules:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_queued_job_is_whole_however_often_its_status_is_asked() {
    let (_server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let at = jobshim.address;
    let id = submit_as(
        at,
        &[],
        json!({"prompt": nodes(), "client_id": "me", "extra_data": {"a": 1.50}}),
    )
    .await;
    for _ in 0..3 {
        get(at, &format!("/api/job/{id}/status"), &[]).await;
        let item = pending(at, &[]).await;
        assert_eq!(item[2], nodes());
        assert_eq!((&item[3]["a"], &item[3]["client_id"]), (&json!(1.5), &json!("me")));
        assert!(item[3]["create_time"].is_i64(), "{item}");
        assert_eq!(item[4], json!(["8", "9"]));
    }
}

/// Who else may ask than Anna.
fn others() -> [Vec<(&'static str, &'static str)>; 5] {
    [
        vec![],
        vec![("comfy-user", "bert")],
        vec![("authorization", "anna")],
        vec![("cookie", "anna")],
        vec![("x-api-key", "anna")],
    ]
}

#[tokio::test]
async fn whom_the_server_shows_a_job_sees_its_prompt_whoever_submitted_it() {
    let (_server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let at = jobshim.address;
    let anna = [("comfy-user", "anna")];
    // Bert looked before anything was known of the job.
    assert_eq!(
        get(at, "/queue", &[("comfy-user", "bert")]).await["queue_pending"],
        json!([])
    );
    submit_as(at, &anna, json!({"prompt": nodes()})).await;
    for who in others().into_iter().chain([anna.to_vec()]) {
        assert_eq!(pending(at, &who).await[2], nodes(), "{who:?}");
    }
}

#[tokio::test]
async fn where_the_server_tells_users_apart_nothing_of_a_prompt_crosses() {
    for refusal in [401, 403, 404] {
        let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
        // Anna's jobs are hers alone; some servers count them in the list all the same.
        for lists_them in [false, true] {
            server.intercept(move |_, arrived| {
                let is_anna = arrived.headers.get("comfy-user").is_some_and(|user| user == "anna");
                let path = arrived.path();
                let refuses = !is_anna && path.starts_with("/api/jobs") && (path != "/api/jobs" || !lists_them);
                let list = r#"{"jobs": [], "pagination": {"has_more": false}}"#;
                match path {
                    "/api/jobs" if refuses => Some((200, list.to_owned())),
                    _ => refuses.then(|| (refusal, r#"{"error": "Job not found"}"#.to_owned())),
                }
            });
            let at = jobshim.address;
            let anna = [("comfy-user", "anna")];
            let secret = json!({"1": {"class_type": "SecretNode", "inputs": {"text": "a secret"}}});
            let id = submit_as(at, &anna, json!({"prompt": secret})).await;
            for target in [
                "/queue",
                "/api/queue",
                &format!("/history/{id}"),
                &format!("/api/history_v2/{id}"),
                "/history",
            ] {
                for who in others() {
                    let reply = Client::new().get_with(at, target, &who).await;
                    let text = reply.text();
                    assert!(
                        !text.contains("ecret"),
                        "{refusal} {lists_them} {target} {who:?}: {text}"
                    );
                }
            }
            let of_anna = Client::new().get_with(at, "/queue", &anna).await.text();
            assert!(of_anna.contains("a secret"), "{of_anna}");
        }
    }
}

#[tokio::test]
async fn a_note_is_dropped_once_the_job_itself_tells_it() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.cache.max_bytes = 0).await;
    let at = jobshim.address;
    let id = submit_as(at, &[], json!({"prompt": nodes()})).await;
    server.step();
    server.step();
    assert_eq!(get(at, "/history", &[]).await[&id]["prompt"][2], nodes());
    // A server that forgot the workflow again would show what is still known here: nothing.
    server.with(|state| {
        let job = state.board.jobs[0].clone();
        let detail = job.detail.replace("\"workflow\"", "\"other\"");
        let job = jobshim::demo::Job::new(&job.entry, &detail).expect("a job");
        state.board.replace(job);
    });
    assert_eq!(get(at, "/history", &[]).await[&id]["prompt"][2], json!({}));
}

#[tokio::test]
async fn a_prompt_that_the_server_refused_or_answered_without_an_id_teaches_nothing() {
    for (status, answer) in [
        (400, r#"{"prompt_id": "ID", "error": "no"}"#),
        (200, r#"{"number": 1}"#),
        (200, "not JSON"),
        (200, ""),
        (500, ""),
    ] {
        let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
        let at = jobshim.address;
        server.intercept(move |state, request| {
            (request.method == Method::POST).then(|| {
                state.board.add(
                    jobshim::demo::Job::new(
                        r#"{"id": "ID", "status": "pending", "create_time": 1795000000000}"#,
                        r#"{"id": "ID", "status": "pending", "create_time": 1795000000000}"#,
                    )
                    .expect("a job"),
                );
                (status, answer.to_owned())
            })
        });
        let reply = Client::new()
            .send(Method::POST, at, "/prompt", &[], json!({"prompt": nodes()}).to_string())
            .await
            .expect("an answer");
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, answer));
        assert_eq!(pending(at, &[]).await[2], json!({}), "{status} {answer}");
    }
}

#[test]
fn keys_are_in_no_note() {
    let tables = Tables::load(None).expect("the built-in tables");
    for extra_data in [
        r#"{"api_key_comfy_org": "SECRET", "auth_token_comfy_org": "SECRET"}"#,
        r#"{"a": 1, "api_key_comfy_org": "SECRET", "b": 2, "auth_token_comfy_org": "SECRET"}"#,
        r#"{"api_key_comfy_org": "SECRET", "api_key_comfy_org": "SECRET", "b": 2}"#,
        r#"{"api\u005fkey_comfy_org": "SECRET", "\u0061uth_token_comfy_org": "SECRET"}"#,
        "{ \"api_key_comfy_org\"\n:\t\"SECRET\" ,\r\n\"auth_token_comfy_org\":{\"x\":[\"SECRET\"]}}",
        r#"{"extra_pnginfo": {"workflow": {}}, "api_key_comfy_org": ["SECRET", {"api_key_comfy_org": "SECRET"}]}"#,
    ] {
        let body = format!(r#"{{"prompt": {{"1": {{}}}}, "extra_data": {extra_data}, "front": true}}"#);
        let twice = format!(
            r#"{{"extra_data": {{"api_key_comfy_org": "SECRET"}}, "prompt": {{"1": {{}}}}, "extra_data": {extra_data}}}"#
        );
        for body in [body, twice] {
            let noted = note(&tables.prompt, body.as_bytes(), None).expect("a note");
            let noted = String::from_utf8(noted.to_vec()).expect("text");
            assert!(!noted.contains("SECRET"), "{body}: {noted}");
            assert!(serde_json::from_str::<Value>(&noted).is_ok(), "{noted}");
        }
    }
}

#[tokio::test]
async fn notes_take_no_more_memory_than_they_may() {
    const MIB: usize = 1 << 20;
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.notes.max_bytes = 4 * MIB).await;
    let at = jobshim.address;
    let filler = "x".repeat(MIB);
    for nth in 0..20 {
        submit_as(
            at,
            &[],
            json!({"prompt": {"1": {"class_type": "SaveImage", "nth": nth, "text": filler}}}),
        )
        .await;
    }
    let queue = get(at, "/queue", &[]).await;
    let items = queue["queue_pending"].as_array().expect("a list");
    assert_eq!(items.len(), 20);
    let whole: Vec<i64> = items.iter().filter_map(|item| item[2]["1"]["nth"].as_i64()).collect();
    assert!(whole.len() <= 3, "noted: {whole:?}");
    assert_eq!(whole.last(), Some(&19), "the newest is among them: {whole:?}");
    // With no memory for notes nothing is noted, and nothing else changes.
    let jobshim = start(&server.url(), |config| config.notes.max_bytes = 0).await;
    server.with(|state| state.board.jobs.clear());
    submit_as(jobshim.address, &[], json!({"prompt": nodes()})).await;
    assert_eq!(pending(jobshim.address, &[]).await[2], json!({}));
}
