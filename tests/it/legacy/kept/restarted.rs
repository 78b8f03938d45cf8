//! What a client sees is the same before and after its server was restarted, but for the marks.

use super::{KEEP, finished, get, history, id, in_folder, is_marked, job, keeping, read, restart};
use crate::support::{
    StateFolder,
    server::Setup,
    start,
    wait::{until, within},
};
use jobshim::demo::Rules;

/// All that a client may ask about its jobs.
fn targets(jobs: usize) -> Vec<String> {
    let mut targets: Vec<String> = [
        "/history",
        "/api/history",
        "/history?max_items=2",
        "/history?max_items=2&offset=1",
        "/history?offset=3",
        "/api/history_v2",
        "/api/history_v2?max_items=2&offset=1",
        "/api/jobs",
        "/api/jobs?limit=2",
        "/api/jobs?limit=2&offset=1",
        "/api/jobs?offset=4",
        "/api/jobs?offset=99",
        "/api/jobs?status=failed",
        "/api/jobs?status=completed,cancelled&limit=1",
        "/api/jobs?status=pending",
        "/api/jobs?sort_order=asc",
        "/api/jobs?sort_by=execution_duration",
        "/api/jobs?sort_by=execution_duration&sort_order=asc&limit=3",
        "/api/jobs?workflow_id=w1",
    ]
    .map(str::to_owned)
    .into();
    for nth in 1..=jobs {
        for path in [
            "/history/ID",
            "/api/history_v2/ID",
            "/api/job/ID/status",
            "/api/jobs/ID",
        ] {
            targets.push(path.replace("ID", &id(nth)));
        }
    }
    targets
}

#[tokio::test]
async fn every_answer_is_as_it_was_and_says_that_the_server_has_lost_the_job() {
    for is_in_folder in [false, true] {
        let folder = StateFolder::new("kept-restarted");
        let server = finished(6, Setup::default()).await;
        let jobshim = keeping(&server, |config| {
            if is_in_folder {
                in_folder(config, &folder);
            }
        })
        .await;
        let mut before = Vec::new();
        for target in targets(6) {
            let reply = get(jobshim.address, &target).await;
            assert!(!is_marked(&reply), "{target}");
            before.push((target, read(&reply), reply.text()));
        }
        stored(&jobshim, 6).await;
        restart(&server);
        for (target, value, text) in &before {
            let reply = get(jobshim.address, target).await;
            assert_eq!(read(&reply), *value, "{target}");
            // The Jobs API is answered in the server's own order of members where the server itself answers.
            if !target.starts_with("/api/jobs?") && target != "/api/jobs" {
                assert_eq!(reply.text(), *text, "{target}");
            }
            let shows_any = !target.contains("pending") && !target.contains("=99");
            assert!(is_marked(&reply) || !shows_any, "{target}: {:?}", reply.headers);
        }
    }
}

/// Waits until so many jobs are stored.
async fn stored(jobshim: &crate::support::Running, jobs: usize) {
    let pipeline = jobshim.pipeline();
    until("the jobs are stored", async || pipeline.kept().0 == jobs).await;
}

#[tokio::test]
async fn they_are_there_after_a_restart_of_both() {
    let folder = StateFolder::new("kept-both");
    let server = finished(5, Setup::default()).await;
    let jobshim = keeping(&server, |config| in_folder(config, &folder)).await;
    let before = get(jobshim.address, "/history").await.text();
    stored(&jobshim, 5).await;
    jobshim.stop().await;
    restart(&server);
    let jobshim = keeping(&server, |config| in_folder(config, &folder)).await;
    let after = get(jobshim.address, "/history").await;
    assert_eq!(after.text(), before);
    assert!(is_marked(&after));
    assert_eq!(
        server.arrived(http::Method::GET, "/api/jobs/").len(),
        5,
        "no detail is asked for in vain"
    );
    // It is known without being asked for.
    let again = get(jobshim.address, "/history").await;
    assert_eq!(again.text(), before);
}

#[tokio::test]
async fn new_jobs_take_their_place_among_the_lost_ones() {
    let server = finished(3, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    let at = jobshim.address;
    assert_eq!(history(at, "").await, [1, 2, 3]);
    stored(&jobshim, 3).await;
    restart(&server);
    server.with(|state| {
        // The clock of a server may be anything: one of these is older than those it has lost.
        state.board.add(job(0, "completed"));
        state.board.add(job(7, "completed"));
        state.board.add(job(8, "in_progress"));
    });
    assert_eq!(history(at, "").await, [0, 1, 2, 3, 7]);
    assert_eq!(history(at, "?max_items=2").await, [3, 7]);
    assert_eq!(history(at, "?max_items=1&offset=1").await, [1]);
    let jobs = read(&get(at, "/api/jobs?limit=3&offset=1").await);
    let ids: Vec<&str> = jobs["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| job["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, [id(7), id(3), id(2)]);
    assert_eq!(
        jobs["pagination"],
        serde_json::json!({"offset": 1, "limit": 3, "total": 6, "has_more": true})
    );
    // What the server has is not marked.
    assert!(!is_marked(&get(at, &format!("/history/{}", id(7))).await));
    assert!(is_marked(&get(at, &format!("/history/{}", id(2))).await));
    let queue = read(&get(at, "/queue").await);
    assert_eq!(queue["queue_running"].as_array().map(Vec::len), Some(1), "{queue}");
}

#[tokio::test]
async fn what_a_server_refuses_it_refuses_still() {
    let server = finished(2, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    history(jobshim.address, "").await;
    stored(&jobshim, 2).await;
    restart(&server);
    for query in ["limit=0", "limit=x", "sort_by=nothing", "status=unheard"] {
        let target = format!("/api/jobs?{query}");
        let itself = server.url().trim_start_matches("http://").parse().expect("an address");
        let its_own = crate::support::Client::new().get(itself, &target).await;
        let through = crate::support::Client::new().get(jobshim.address, &target).await;
        assert_eq!(
            (through.status, through.text()),
            (its_own.status, its_own.text()),
            "{query}"
        );
    }
    let unknown = get(jobshim.address, &format!("/history/{}", id(77))).await;
    assert_eq!(unknown.text(), "{}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_no_server_that_has_lost_its_jobs() {
    let server = finished(2, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    history(jobshim.address, "").await;
    stored(&jobshim, 2).await;
    server.intercept(|_, arrived| {
        arrived
            .path()
            .starts_with("/api/jobs")
            .then(|| (503, r#"{"error": "starting"}"#.to_owned()))
    });
    for target in ["/history", "/api/jobs", &format!("/api/jobs/{}", id(1))] {
        let reply = crate::support::Client::new().get(jobshim.address, target).await;
        assert_eq!(reply.status, 503, "{target}: {}", reply.text());
    }
}

#[tokio::test]
async fn what_one_user_read_is_nothing_to_another() {
    let server = finished(2, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    let (client, mine) = (crate::support::Client::new(), [("comfy-user", "me")]);
    client.get_with(jobshim.address, "/history", &mine).await;
    stored(&jobshim, 2).await;
    restart(&server);
    for (user, shown) in [("me", true), ("other", false)] {
        for target in [
            "/history".to_owned(),
            format!("/history/{}", id(1)),
            "/api/jobs".to_owned(),
        ] {
            let reply = client.get_with(jobshim.address, &target, &[("comfy-user", user)]).await;
            assert_eq!(
                reply.text().contains(&id(1)),
                shown,
                "{user} {target}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn without_the_setting_nothing_is_kept() {
    let server = finished(2, Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.history.keep = None).await;
    history(jobshim.address, "").await;
    restart(&server);
    assert_eq!(get(jobshim.address, "/history").await.text(), "{}");
    assert_eq!(jobshim.pipeline().kept(), (0, 0));
}

#[tokio::test]
async fn a_cloud_that_has_lost_jobs_is_the_same() {
    let mut board = crate::support::server::board(Rules::Cloud);
    for nth in 1..=3 {
        board.add(job(nth, "completed"));
    }
    let server = crate::support::server::Server::start(board, Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.history.keep = Some(KEEP)).await;
    let before = within("an answer", get(jobshim.address, "/api/history_v2"))
        .await
        .text();
    stored(&jobshim, 3).await;
    restart(&server);
    let after = get(jobshim.address, "/api/history_v2").await;
    assert_eq!(after.text(), before);
    assert!(is_marked(&after));
    assert!(is_marked(&get(jobshim.address, &format!("/api/jobs/{}", id(2))).await));
}
