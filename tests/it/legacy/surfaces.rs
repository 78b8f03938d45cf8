//! Every legacy surface over every dialect, and the pages that a list is walked in.

use crate::support::{
    Client, Running, TableFolder,
    corpus::{Case, case},
    json::Json,
    start,
};
use jobshim::{
    config::Surface,
    demo::{Board, Job, Options, Rules, Simulator},
};
use std::fs;

async fn behind(board: Board) -> (Simulator, Running) {
    let simulator = Simulator::start(board, Options::default()).await.expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    (simulator, jobshim)
}

/// A recorded answer.
fn recorded(case: &Case, target: &str) -> Json {
    let legacy = case.legacy.iter().find(|legacy| legacy.target == target);
    let legacy = legacy.unwrap_or_else(|| panic!("{target} was not recorded"));
    Json::parse(legacy.body.as_bytes()).expect("JSON")
}

async fn asked(jobshim: &Running, target: &str) -> Json {
    let reply = Client::new().get(jobshim.address, target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    Json::parse(&reply.body).expect("JSON")
}

/// Ids of `{"history": [...]}`.
fn ids(list: &Json) -> Vec<String> {
    let entries = list.get("history").expect("a list").items();
    entries
        .iter()
        .map(|entry| entry.get("prompt_id").expect("an id").text().to_owned())
        .collect()
}

#[tokio::test]
async fn a_cloud_client_reads_a_self_hosted_server() {
    let case = case("comfyui-next", "gallery");
    let (_simulator, jobshim) = behind(case.board()).await;
    let old = recorded(&case, "/history");
    let list = asked(&jobshim, "/api/history_v2").await;
    let mut sorted = ids(&list);
    sorted.sort_unstable();
    let mut wanted: Vec<&str> = old.keys();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted, "the same finished jobs");
    for listed in list.get("history").expect("a list").items() {
        let id = listed.get("prompt_id").expect("an id").text();
        let entry = old.get(id).expect("an entry");
        let detail = asked(&jobshim, &format!("/api/history_v2/{id}")).await;
        let detail = detail.get(id).expect("the detail entry");
        let prompt = detail.get("prompt").expect("a prompt");
        let old_prompt = entry.get("prompt").expect("a prompt");
        assert_eq!(detail.keys(), ["prompt", "outputs", "status", "meta"]);
        assert_eq!(
            prompt.keys(),
            ["priority", "prompt_id", "prompt", "extra_data", "outputs_to_execute"]
        );
        assert_eq!(prompt.get("priority"), old_prompt.at(0));
        assert_eq!(prompt.get("prompt"), old_prompt.at(2));
        for field in ["status", "meta"] {
            assert_eq!(detail.get(field), entry.get(field), "{id} {field}");
            assert_eq!(listed.get(field), entry.get(field), "{id} {field}");
        }
        let listed_data = listed.get("prompt").and_then(|prompt| prompt.get("extra_data"));
        let editor = listed_data.and_then(|data| data.get("extra_pnginfo"));
        assert_eq!(editor.and_then(|editor| editor.get("workflow")), None, "{id}");
        let status = asked(&jobshim, &format!("/api/job/{id}/status")).await;
        let word = status.get("status").expect("a status").text();
        let success = entry.get("status").and_then(|status| status.get("status_str"));
        assert_eq!(
            word == "success",
            success.is_some_and(|word| word.text() == "success"),
            "{id} {word}"
        );
    }
}

#[tokio::test]
async fn a_self_hosted_client_reads_the_cloud() {
    let case = case("cloud-contract", "gallery");
    let (_simulator, jobshim) = behind(case.board()).await;
    let history = asked(&jobshim, "/history").await;
    let list = recorded(&case, "/api/history_v2");
    let mut wanted = ids(&list);
    let mut given: Vec<&str> = history.keys();
    wanted.sort_unstable();
    given.sort_unstable();
    assert_eq!(given, wanted, "the same finished jobs");
    for id in given {
        let entry = history.get(id).expect("an entry");
        assert_eq!(entry.keys(), ["prompt", "outputs", "status", "meta"]);
        let alone = asked(&jobshim, &format!("/history/{id}")).await;
        assert_eq!(alone.get(id), Some(entry), "alone and in the list");
        let Some(detail) = case.details.get(id) else {
            panic!("{id} has no detail")
        };
        let detail = Json::parse(detail.as_bytes()).expect("JSON");
        let prompt = entry.get("prompt").expect("a prompt");
        assert_eq!(
            prompt.at(2),
            detail.get("workflow").and_then(|workflow| workflow.get("prompt"))
        );
        assert_eq!(prompt.at(1).map(Json::text), Some(id));
        assert_eq!(entry.get("status"), detail.get("execution_status"));
        assert_eq!(entry.get("meta"), detail.get("execution_meta"));
        assert!(!format!("{entry:?}").contains("[REDACTED]"), "{id}");
    }
}

#[tokio::test]
async fn the_queue_of_the_cloud_is_shown_to_self_hosted_clients_oldest_first() {
    let case = case("cloud-contract", "busy");
    let (_simulator, jobshim) = behind(case.board()).await;
    let cloud = recorded(&case, "/api/queue");
    let own = asked(&jobshim, "/queue").await;
    for list in ["queue_running", "queue_pending"] {
        let (cloud, own) = (cloud.get(list).expect("a list"), own.get(list).expect("a list"));
        assert_eq!(own.items().len(), cloud.items().len(), "{list}");
        for (own, cloud) in own.items().iter().zip(cloud.items()) {
            assert_eq!(own.items().len(), 5);
            assert_eq!(own.at(1), cloud.at(1), "id");
            assert_eq!(own.at(2), cloud.at(2), "prompt");
            assert_eq!(own.at(4), cloud.at(3), "output nodes");
        }
    }
}

#[tokio::test]
async fn the_surface_of_api_queue_is_a_setting_and_the_other_paths_have_theirs() {
    let case = case("comfyui-next", "busy");
    let simulator = Simulator::start(case.board(), Options::default())
        .await
        .expect("a simulator");
    for (surface, is_cloud) in [
        (Surface::Auto, false),
        (Surface::Comfyui, false),
        (Surface::Cloud, true),
    ] {
        let jobshim = start(&simulator.url(), |config| config.legacy.surface = surface).await;
        for (path, cloud_items) in [("/queue", false), ("/api/queue", is_cloud)] {
            let queue = asked(&jobshim, path).await;
            let pending = queue.get("queue_pending").expect("a list").items();
            assert!(!pending.is_empty());
            for (nth, item) in (1..).zip(pending) {
                let position = item.at(0).map(Json::text) == Some(&nth.to_string());
                let is_cloud_item = position && item.at(4).is_some_and(|data| data.get("create_time").is_some());
                assert_eq!(is_cloud_item, cloud_items, "{surface:?} {path}");
            }
        }
    }
}

/// `count` finished jobs, newest created first; job n was created and ended in the order of n.
fn many(rules: Rules, count: u64) -> Board {
    let mut board = Board::new(rules);
    for nth in (0..count).rev() {
        let (id, created) = (format!("job-{nth:05}"), 1_700_000_000_000 + nth * 1000);
        let text = format!(
            r#"{{"id": "{id}", "status": "completed", "create_time": {created}, "execution_start_time": {created}, "execution_end_time": {}, "update_time": {created}}}"#,
            created + 500
        );
        board.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    board
}

#[tokio::test]
async fn a_cloud_list_is_walked_by_cursor_to_its_end() {
    let (simulator, jobshim) = behind(many(Rules::Cloud, 2_300)).await;
    let history = asked(&jobshim, "/history?max_items=2&offset=0").await;
    assert_eq!(history.keys(), ["job-00000", "job-00001"], "the oldest of 2300");
    let lists: Vec<String> = simulator.targets("/api/jobs?limit=");
    assert_eq!(lists.len(), 3, "{lists:?}");
    assert_eq!(lists[0], "/api/jobs?limit=1000");
    assert!(
        lists[1].contains("after=c%3Djob-01300%2F%2B"),
        "the cursor is encoded: {lists:?}"
    );
}

#[tokio::test]
async fn a_walk_stops_when_the_newest_are_known_to_be_enough() {
    let (simulator, jobshim) = behind(many(Rules::Cloud, 2_300)).await;
    let list = asked(&jobshim, "/api/history_v2?max_items=2&offset=1").await;
    assert_eq!(ids(&list), ["job-02298", "job-02297"]);
    assert_eq!(simulator.targets("/api/jobs?limit=").len(), 1);
    assert_eq!(
        simulator.targets("/api/jobs/").len(),
        2,
        "only the two that are shown are fetched"
    );
}

#[tokio::test]
async fn a_self_hosted_list_is_walked_by_offset_where_its_table_sets_a_page() {
    let own = fs::read_to_string("mappings/dialects/comfyui.toml").expect("a table");
    let folder = TableFolder::with(
        "paged",
        &[("dialect-comfyui.toml", &own.replace("[list]\n", "[list]\npage = 10\n"))],
    );
    let simulator = Simulator::start(many(Rules::Comfyui, 25), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |config| {
        config.mappings_dir = Some(folder.path.clone())
    })
    .await;
    let history = asked(&jobshim, "/history").await;
    assert_eq!(history.keys().len(), 25);
    assert_eq!(history.keys().first(), Some(&"job-00000"), "oldest finished first");
    let lists = simulator.targets("/api/jobs?limit=10");
    assert_eq!(
        lists,
        [
            "/api/jobs?limit=10",
            "/api/jobs?limit=10&offset=9",
            "/api/jobs?limit=10&offset=18"
        ]
    );
}

#[tokio::test]
async fn a_class_is_asked_for_once() {
    let case = case("comfyui-next", "gallery");
    let (simulator, jobshim) = behind(case.board()).await;
    asked(&jobshim, "/history").await;
    asked(&jobshim, "/history").await;
    let mut classes = simulator.targets("/object_info/");
    let asked = classes.len();
    classes.sort_unstable();
    classes.dedup();
    let known = classes
        .iter()
        .filter(|target| case.classes.contains_key(target.trim_start_matches("/object_info/")))
        .count();
    assert!(known > 3, "{classes:?}");
    assert_eq!(asked, classes.len(), "each class once: {classes:?}");
}

#[tokio::test]
async fn details_are_fetched_side_by_side_and_never_more_than_configured() {
    let upstream = crate::support::upstream::Scripted::of_board(many(Rules::Comfyui, 20)).await;
    let gate = upstream.hold_details();
    let jobshim = start(&upstream.url(), |config| config.upstream.concurrency = 4).await;
    let address = jobshim.address;
    let request = tokio::spawn(async move { Client::new().get(address, "/history").await });
    gate.until_came(4).await;
    assert_eq!(gate.came(), 4, "the fifth waits for a free place");
    gate.open();
    let reply = request.await.expect("an answer");
    assert_eq!(Json::parse(&reply.body).expect("JSON").keys().len(), 20);
}

#[tokio::test]
async fn another_dialect_behind_the_same_address_is_noticed_with_the_next_request() {
    for (before, after) in [(Rules::Cloud, Rules::Comfyui), (Rules::Comfyui, Rules::Cloud)] {
        let (simulator, jobshim) = behind(many(before, 1_100)).await;
        assert_eq!(asked(&jobshim, "/history").await.keys().len(), 1_100);
        simulator.with_board(|board| *board = many(after, 1_200));
        assert_eq!(asked(&jobshim, "/history").await.keys().len(), 1_200, "{after:?}");
    }
}
