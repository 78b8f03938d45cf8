//! The recorded writes, replayed step by step.

use super::*;

async fn assert_like(jobshim: &Running, legacy: &Legacy, what: &str, found: &mut Vec<Difference>) {
    let reply = Client::new().get(jobshim.address, &legacy.target).await;
    assert_eq!(reply.status.as_u16(), legacy.status, "{what}: {}", reply.text());
    let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
    let mut given = Json::parse(&reply.body).expect("JSON");
    wanted.settle();
    given.settle();
    let differing = differences(&wanted, &given).into_iter();
    found.extend(differing.map(|difference| Difference {
        path: format!("{what} {} {}", legacy.target, difference.path),
        ..difference
    }));
}

/// Submits every recorded queue item through jobshim, so that nothing is lost of it.
async fn submit_recorded(server: &Server, jobshim: &Running, queue: &str) {
    for list in parts(queue).values() {
        for item in items(list) {
            let id: String = serde_json::from_str(&items(&item)[1]).expect("an id");
            server.with(|state| state.ids.push(id.clone()));
            let reply = post(jobshim, "/prompt", submission(&item)).await;
            assert!(reply.text().contains(&id), "{}", reply.text());
        }
    }
}

/// Replays the steps of `writes`: the state before them is that of the case `busy`, recorded a moment earlier.
async fn replay_writes(name: &str, setup: Setup) {
    let (writes, busy) = (case(name, "writes"), case(name, "busy"));
    let (server, jobshim) = behind(busy.board(), setup).await;
    let queue = busy.legacy.iter().find(|legacy| legacy.target == "/queue");
    submit_recorded(&server, &jobshim, &queue.expect("a queue").body).await;
    let running = server.with(|state| state.board.in_state("in_progress"));
    let status = if name == "comfyui-0.8" { "failed" } else { "cancelled" };
    for after in writes.steps.iter().filter_map(|step| step.after.as_ref()) {
        if let Some(entry) = parts(&after.body).get(&running[0]) {
            let job = finished(&running[0], status, entry);
            server.with(|state| state.stopped.insert(running[0].clone(), job));
        }
    }
    let mut found = Vec::new();
    for (nth, step) in writes.steps.iter().enumerate() {
        let what = format!("{name} step {nth} {} {}", step.write.target, step.request_body);
        if let Some(before) = &step.before {
            assert_like(&jobshim, before, &format!("{what} before"), &mut found).await;
        }
        let reply = post(&jobshim, &step.write.target, &step.request_body).await;
        assert_eq!(reply.status.as_u16(), step.write.status, "{what}");
        assert_eq!(reply.text(), step.write.body, "{what}");
        assert_eq!(reply.header("content-type"), step.write.content_type, "{what}");
        if let Some(after) = &step.after {
            assert_like(&jobshim, after, &format!("{what} after"), &mut found).await;
        }
    }
    assert!(found.is_empty(), "not like the recording: {found:#?}");
}

/// Replays the steps of `failures` on the state before them: the job that was deleted waits, the one that was
/// interrupted runs.
async fn replay_failures(name: &str, setup: Setup) {
    let failures = case(name, "failures");
    let mut board = failures.board();
    let order: Value = serde_json::from_str(&failures.steps[0].request_body).expect("an order");
    let deleted = order["delete"][0].as_str().expect("an id").to_owned();
    let interrupted = interrupted(&failures);
    let ended = board
        .jobs
        .iter()
        .find(|job| job.id == interrupted)
        .expect("the job")
        .clone();
    let created: Value = serde_json::from_str(&ended.entry).expect("an entry");
    let created = created["create_time"].as_u64().expect("a time") as usize;
    board.replace(job(&interrupted, "in_progress", created));
    board.add(job(&deleted, "pending", created + 1));
    let (server, jobshim) = behind(board, setup).await;
    server.with(|state| state.stopped.insert(interrupted, ended));
    for step in &failures.steps {
        let reply = post(&jobshim, &step.write.target, &step.request_body).await;
        assert_done(&reply, &format!("{name} {} {}", step.write.target, step.request_body));
    }
    let mut found = Vec::new();
    for legacy in &failures.legacy {
        assert_like(&jobshim, legacy, name, &mut found).await;
    }
    assert!(found.is_empty(), "not like the recording: {found:#?}");
}

/// The job whose recorded end is an interrupt.
fn interrupted(case: &Case) -> String {
    let is = |(_, detail): &(&String, &String)| detail.contains("execution_interrupted");
    case.details.iter().find(is).expect("an interrupted job").0.clone()
}

fn without_legacy_writes() -> Setup {
    Setup::default()
}

fn with_both() -> Setup {
    Setup {
        legacy_writes: true,
        ..Setup::default()
    }
}

fn with_legacy_writes_only() -> Setup {
    Setup {
        legacy_writes: true,
        no_cancel: Some(405),
        ..Setup::default()
    }
}

#[tokio::test]
async fn the_recorded_writes_do_through_the_jobs_api_what_they_did() {
    for name in ["comfyui-0.27", "comfyui-next"] {
        replay_writes(name, without_legacy_writes()).await;
        replay_failures(name, without_legacy_writes()).await;
    }
}

#[tokio::test]
async fn the_recorded_writes_do_the_same_where_the_server_still_has_the_legacy_ones() {
    for name in ["comfyui-0.27", "comfyui-next"] {
        replay_writes(name, with_both()).await;
        replay_failures(name, with_both()).await;
    }
}

#[tokio::test]
async fn the_recorded_writes_are_forwarded_where_the_server_has_only_the_legacy_ones() {
    replay_writes("comfyui-0.8", with_legacy_writes_only()).await;
    replay_failures("comfyui-0.8", with_legacy_writes_only()).await;
}
