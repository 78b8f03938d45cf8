//! What a write touches and what it leaves alone, in which calls, and for whom.

use super::*;

#[tokio::test]
async fn deleting_a_running_job_leaves_it_running_self_hosted_and_cancels_it_on_the_cloud() {
    let order = json!({"delete": [uuid(1), uuid(2)]});
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Comfyui, "/api/queue"),
        (Rules::Cloud, "/queue"),
    ] {
        let (server, jobshim) = behind(busy(rules, 2), Setup::default()).await;
        assert_done(&post(&jobshim, target, &order).await, target);
        server.with(|state| {
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?} {target}");
            assert_eq!(state.board.in_state("pending"), [uuid(3)], "{rules:?} {target}");
        });
    }
    let (server, jobshim) = behind(busy(Rules::Cloud, 2), Setup::default()).await;
    let reply = post(&jobshim, "/api/queue", &order).await;
    assert_eq!(reply.status, 200);
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer["cleared"], false);
    let mut deleted: Vec<String> = serde_json::from_value(answer["deleted"].clone()).expect("ids");
    deleted.sort_unstable();
    assert_eq!(deleted, [uuid(1), uuid(2)]);
    assert_eq!(
        states(&server),
        [
            ("pending".to_owned(), vec![uuid(3)]),
            ("cancelled".to_owned(), vec![uuid(2), uuid(1)])
        ]
    );
}

#[tokio::test]
async fn a_clear_touches_what_waits_and_nothing_else() {
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Comfyui, "/api/queue"),
        (Rules::Cloud, "/queue"),
        (Rules::Cloud, "/api/queue"),
    ] {
        let mut board = busy(rules, 3);
        board.add(job(&uuid(99), "completed", 99));
        let (server, jobshim) = behind(board, Setup::default()).await;
        let reply = post(&jobshim, target, r#"{"clear": true}"#).await;
        match (rules, target) {
            (Rules::Cloud, "/api/queue") => {
                let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
                assert_eq!(answer, json!({"deleted": [], "cleared": true}));
                assert_eq!(reply.header("content-type"), "application/json");
            }
            _ => assert_done(&reply, target),
        }
        server.with(|state| {
            assert_eq!(state.board.in_state("pending"), [""; 0], "{rules:?} {target}");
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?} {target}");
            assert_eq!(state.board.in_state("completed"), [uuid(99)], "{rules:?} {target}");
        });
    }
}

#[tokio::test]
async fn an_interrupt_stops_what_runs_and_with_an_id_only_that_job() {
    for target in ["/interrupt", "/api/interrupt"] {
        for rules in [Rules::Comfyui, Rules::Cloud] {
            for body in [
                "",
                "{}",
                "not JSON",
                "{\"prompt_id\": null}",
                "{\"prompt_id\": \"\"}",
                &format!(r#"{{"prompt_id": "{}"}}"#, uuid(1)),
            ] {
                let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
                assert_done(&post(&jobshim, target, body).await, body);
                server.with(|state| {
                    assert_eq!(state.board.in_state("cancelled"), [uuid(1)], "{rules:?} {body}");
                    assert_eq!(state.board.in_state("pending"), [uuid(2)], "{rules:?} {body}");
                });
            }
            let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
            for id in [uuid(2), uuid(77), "x".to_owned(), "../../queue".to_owned()] {
                assert_done(&post(&jobshim, target, json!({"prompt_id": id})).await, &id);
            }
            assert_done(&post(&jobshim, target, r#"{"prompt_id": 7}"#).await, "a number");
            assert_eq!(cancels(&server), [], "nothing is to be cancelled");
        }
    }
}

#[tokio::test]
async fn an_interrupt_whose_json_is_no_object_is_refused_and_stops_nothing() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
    for body in ["[]", "5", "\"text\"", "null", "[{\"prompt_id\": \"x\"}]"] {
        let reply = post(&jobshim, "/interrupt", body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
    assert_eq!(cancels(&server), []);
}

#[tokio::test]
async fn nothing_queued_is_nothing_cancelled() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(board(rules), Setup::default()).await;
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", "{}"),
            ("/queue", "{}"),
            ("/history", "{}"),
        ] {
            assert_done(&post(&jobshim, target, body).await, target);
        }
        assert_eq!(cancels(&server), []);
    }
}

#[tokio::test]
async fn ids_that_are_unknown_or_no_uuids_do_not_spoil_the_batch() {
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Cloud, "/api/queue"),
        (Rules::Cloud, "/queue"),
    ] {
        let mut board = busy(rules, 3);
        board.add(job("named-by-its-client", "pending", 50));
        board.add(job(&uuid(60), "completed", 60));
        let (server, jobshim) = behind(board, Setup::default()).await;
        let order = json!({"delete": [
            "", "x", "..", "named-by-its-client", uuid(2), uuid(77), 5, null, uuid(60), ["a"], uuid(3), uuid(3).to_uppercase(), "\u{1f388}",
        ]});
        let reply = post(&jobshim, target, &order).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        server.with(|state| {
            assert_eq!(state.board.in_state("pending"), [uuid(4)], "{rules:?}");
            assert_eq!(state.board.in_state("completed"), [uuid(60)], "{rules:?}");
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?}");
        });
    }
}

#[tokio::test]
async fn two_hundred_and_fifty_waiting_jobs_are_cancelled_in_batches_of_at_most_a_hundred() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(busy(rules, 250), Setup::default()).await;
        let reply = post(&jobshim, "/queue", r#"{"clear": true}"#).await;
        assert_done(&reply, "clear");
        let sizes: Vec<usize> = cancels(&server).iter().map(|(_, ids)| ids.len()).collect();
        assert_eq!(sizes, [100, 100, 50], "{rules:?}");
        server.with(|state| assert_eq!(state.board.in_state("pending"), [""; 0]));
    }
}

#[tokio::test]
async fn as_many_ids_as_a_body_may_hold_take_no_time_to_speak_of() {
    let mut board = busy(Rules::Comfyui, 3);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, Setup::default()).await;
    let mut ids: Vec<String> = (0..130_000).map(|nth| format!("{nth:x}")).collect();
    ids.extend([uuid(2), uuid(99)]);
    let order = json!({"delete": ids});
    for target in ["/queue", "/history"] {
        let answer = tokio::time::timeout(Duration::from_secs(30), post(&jobshim, target, &order)).await;
        assert_done(&answer.expect("an answer in time"), target);
    }
    server.with(|state| assert_eq!(state.board.in_state("pending"), [uuid(4), uuid(3)]));
    assert_eq!(Client::new().get(jobshim.address, "/history").await.text(), "{}");
}

#[tokio::test]
async fn a_server_that_takes_no_batch_is_asked_one_by_one() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 3), Setup::default()).await;
    server.intercept(|_, request| (request.target == "/api/jobs/cancel").then(|| (404, "404: Not Found".to_owned())));
    assert_done(&post(&jobshim, "/queue", r#"{"clear": true}"#).await, "clear");
    server.with(|state| assert_eq!(state.board.in_state("pending"), [""; 0]));
}

#[tokio::test]
async fn a_job_that_ends_between_looking_and_cancelling_is_no_error() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        for gone in [false, true] {
            for order in [
                json!({"delete": [uuid(2)]}),
                json!({"delete": [uuid(2), uuid(3)]}),
                json!({"clear": true}),
            ] {
                let (server, jobshim) = behind(busy(rules, 3), Setup::default()).await;
                server.intercept(move |state, request| {
                    if request.method == Method::POST {
                        match gone {
                            true => state.board.jobs.retain(|job| job.id != uuid(2)),
                            false => state.board.replace(job(&uuid(2), "completed", 2)),
                        }
                    }
                    None
                });
                assert_done(
                    &post(&jobshim, "/queue", &order).await,
                    &format!("{rules:?} {gone} {order}"),
                );
                let left = if order["clear"] == true {
                    0
                } else {
                    4 - order["delete"].as_array().map_or(0, Vec::len) - 1
                };
                server
                    .with(|state| assert_eq!(state.board.in_state("pending").len(), left, "{rules:?} {gone} {order}"));
            }
        }
    }
    // The cloud says which were: one that was not is not said to be.
    let (server, jobshim) = behind(busy(Rules::Cloud, 2), Setup::default()).await;
    server.intercept(|state, request| {
        if request.method == Method::POST {
            state.board.replace(job(&uuid(2), "completed", 2));
        }
        None
    });
    let reply = post(&jobshim, "/api/queue", json!({"delete": [uuid(2), uuid(3)]})).await;
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer, json!({"deleted": [uuid(3)], "cleared": false}));
}

#[tokio::test]
async fn a_cloud_cancel_stops_a_pending_or_running_job_and_answers_as_the_jobs_api_does() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
        for nth in [1, 2] {
            let reply = post(&jobshim, &format!("/api/job/{}/cancel", uuid(nth)), "").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (200, r#"{"cancelled":true}"#),
                "{rules:?}"
            );
            assert_eq!(reply.header("content-type"), "application/json");
        }
        assert!(
            states(&server).iter().all(|(word, _)| word == "cancelled"),
            "{:?}",
            states(&server)
        );
        let again = post(&jobshim, &format!("/api/job/{}/cancel", uuid(1)), "").await;
        assert_eq!(
            (again.status.as_u16(), again.text().as_str()),
            (200, r#"{"cancelled":false}"#)
        );
        let unknown = post(&jobshim, &format!("/api/job/{}/cancel", uuid(9)), "").await;
        let wanted = if rules == Rules::Cloud { 404 } else { 200 };
        assert_eq!(unknown.status, wanted, "{}", unknown.text());
    }
}

#[tokio::test]
async fn a_refusal_of_one_cancel_keeps_its_headers() {
    let headers = vec![
        ("retry-after", "17"),
        ("www-authenticate", "Bearer"),
        ("access-control-allow-origin", "*"),
    ];
    let setup = Setup {
        headers: headers.clone(),
        ..Setup::default()
    };
    for status in [401, 403, 429, 503] {
        let (server, jobshim) = behind(busy(Rules::Comfyui, 1), setup.clone()).await;
        server.intercept(move |_, request| {
            (request.method == Method::POST).then(|| (status, r#"{"error": "no"}"#.to_owned()))
        });
        for (target, body) in [
            (format!("/api/job/{}/cancel", uuid(1)), ""),
            ("/queue".to_owned(), r#"{"clear": true}"#),
        ] {
            let reply = post(&jobshim, &target, body).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (status, r#"{"error": "no"}"#),
                "{target}"
            );
            for (name, value) in &headers {
                assert_eq!(reply.header(name), *value, "{target} {status} {name}");
            }
        }
    }
}

#[tokio::test]
async fn answers_to_writes_carry_the_servers_cors_headers_and_cancels_the_clients_credentials() {
    let setup = Setup {
        headers: vec![
            ("access-control-allow-origin", "https://editor.example"),
            ("vary", "Origin"),
        ],
        ..Setup::default()
    };
    let mut board = busy(Rules::Comfyui, 2);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, setup).await;
    let job = format!("/api/job/{}/cancel", uuid(1));
    for (target, body) in [
        ("/queue", r#"{"clear": true}"#),
        ("/history", r#"{"clear": true}"#),
        ("/interrupt", ""),
        (&job, ""),
    ] {
        let sent = [
            ("authorization", "Bearer mine"),
            ("comfy-user", "me"),
            ("origin", "https://editor.example"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "text/plain"),
        ];
        let reply = Client::new()
            .send(Method::POST, jobshim.address, target, &sent, body)
            .await
            .expect("an answer");
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(
            reply.header("access-control-allow-origin"),
            "https://editor.example",
            "{target}"
        );
        assert_eq!(reply.header("vary"), "Origin", "{target}");
    }
    let calls = server.arrived(Method::POST, "/api/jobs/");
    assert!(calls.len() >= 3, "{calls:#?}");
    for call in calls {
        for (name, value) in [
            ("authorization", "Bearer mine"),
            ("comfy-user", "me"),
            ("origin", "https://editor.example"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(call.headers[name], value, "{}", call.target);
        }
        assert_eq!(call.headers["host"], jobshim.address.to_string());
    }
}
