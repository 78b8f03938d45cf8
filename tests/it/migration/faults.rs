//! A table that is broken on purpose is found, whichever table and row it is: never noise, never lost, never green.

use super::compare::{findings, jobshim, shadow};
use crate::support::{
    Client, TableFolder as Folder, built_in,
    corpus::{Case, Legacy, case},
    seeded::Seeded,
    surfaces::Surfaces,
    wait::until,
};
use jobshim::{
    config::settings::{FOLDERS, LEGACY, SHADOW},
    routes::{Endpoint, RouteName},
    telemetry::{Compared, Found},
};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Jobs in each state, and what the cloud says of each of them at `/api/job/{id}/status`, by its contract: there is no
/// recording of it.
fn job_status() -> Case {
    let of = |nth: usize, jobs_word: &str, word: &str, error: &str| {
        let id = format!("{nth:08}-1111-4000-8000-000000000000");
        let detail = format!(
            r#"{{"id": "{id}", "status": "{jobs_word}", "priority": {nth}, "create_time": 1700000000000, "update_time": 1700000005000, "outputs_count": 2, "execution_error": {error}}}"#
        );
        let message = match error {
            "null" => "null".to_owned(),
            record => serde_json::to_string(record).expect("a text"),
        };
        let answer = Legacy {
            target: format!("/api/job/{id}/status"),
            status: 200,
            content_type: "application/json".to_owned(),
            body: format!(
                r#"{{"id":"{id}","status":"{word}","created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:25.000Z","last_state_update":"2023-11-14T22:13:25.000Z","assigned_inference":null,"error_message":{message}}}"#
            ),
        };
        (id, detail, answer)
    };
    let jobs = [
        of(1, "pending", "queued_waiting", "null"),
        of(2, "in_progress", "executing", "null"),
        of(3, "completed", "success", "null"),
        of(
            4,
            "failed",
            "error",
            r#"{"node_id": "3", "exception_message": "no memory"}"#,
        ),
    ];
    let details = jobs.iter().map(|(_, detail, _)| detail.as_str()).collect::<Vec<_>>();
    Case {
        server: "cloud-contract".to_owned(),
        name: "job_status".to_owned(),
        jobs: format!(r#"{{"jobs": [{}]}}"#, details.join(", ")),
        details: jobs
            .iter()
            .map(|(id, detail, _)| (id.clone(), detail.clone()))
            .collect(),
        classes: BTreeMap::new(),
        legacy: jobs.into_iter().map(|(.., answer)| answer).collect(),
        steps: Vec::new(),
    }
}

/// What a table is tried on: real servers wrote the answers, or the contract says them.
fn recorded(table: &str) -> Case {
    match table {
        "history" => case("comfyui-next", "gallery"),
        "queue" => case("comfyui-next", "busy"),
        "queue_cloud" => case("cloud-contract", "busy"),
        "history_v2" | "history_v2_detail" => case("cloud-contract", "gallery"),
        _ => job_status(),
    }
}

/// The built-in table of this name, whose row `to` has `source` alone. Whatever stands in where it is absent stays.
fn broken(table: &str, to: &str, source: &str) -> String {
    let mut file: Table = built_in(table).parse().expect("TOML");
    let rows = file["field"].as_array_mut().expect("rows");
    let row = rows.iter_mut().find(|row| row["to"].as_str() == Some(to));
    let row = row.and_then(Value::as_table_mut).expect("the row");
    row.insert("from".to_owned(), vec![source].into());
    file.to_string()
}

fn folder(label: &str, table: &str, text: &str) -> (Folder, String) {
    let folder = Folder::with(&format!("faults-{label}"), &[(&format!("{table}.toml"), text)]);
    let path = folder.path.display().to_string();
    (folder, path)
}

/// What the clients of a recording would be told in its place.
async fn translated(case: Case, tables: &str) -> Vec<(u16, String)> {
    let targets: Vec<String> = case.legacy.iter().map(|legacy| legacy.target.clone()).collect();
    let server = Surfaces::start(case.board(), Vec::new()).await;
    let jobshim = jobshim(&server.url(), &[(&FOLDERS.mappings_dir.key, tables)]).await;
    let mut answers = Vec::new();
    for target in targets {
        let reply = Client::new().get(jobshim.address, &target).await;
        answers.push((reply.status.as_u16(), reply.text()));
    }
    answers
}

/// In how many answers this came out.
fn count(found: &BTreeMap<Endpoint, Found>, outcome: Compared) -> u64 {
    found.values().map(|found| found.count(outcome)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_faults_is_found_in_every_row_of_every_table() {
    let sources = [
        "status",
        "priority",
        "create_time",
        "execution_end_time",
        "outputs_count",
        "outputs",
        "execution_status",
        "execution_error",
        "workflow.prompt",
        "workflow.extra_data",
        "workflow",
    ];
    let mut seeded = Seeded(20_251_129);
    let mut faults = 0;
    for table in [
        "history",
        "history_v2",
        "history_v2_detail",
        "queue",
        "queue_cloud",
        "job_status",
    ] {
        let whole = translated(recorded(table), &folder("whole", table, &built_in(table)).1).await;
        let file: Table = built_in(table).parse().expect("TOML");
        let rows = file["field"].as_array().expect("rows");
        for (nth, row) in rows.iter().enumerate() {
            let to = row["to"].as_str().expect("a target");
            // A source that is not there at all is the fault that looks most like a loss.
            for source in ["nothing_there", sources[seeded.below(sources.len())]] {
                let (_folder, path) = folder(&format!("{table}-{nth}-{source}"), table, &broken(table, to, source));
                if translated(recorded(table), &path).await == whole {
                    // The clients are told the same.
                    continue;
                }
                let found = shadow(recorded(table), &[(&FOLDERS.mappings_dir.key, &path)]).await;
                let (different, failed) = (count(&found, Compared::Different), count(&found, Compared::Failed));
                assert!(different + failed > 0, "{table} {to} from {source}: {found:#?}");
                faults += 1;
            }
        }
    }
    assert!(faults >= 60, "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_a_list_goes_back_when_the_ids_in_its_entries_are_broken() {
    for (table, to, target, route) in [
        ("queue", "[1]", "/queue", RouteName::Queue),
        ("queue_cloud", "[1]", "/api/queue", RouteName::Queue),
        ("history_v2", "prompt_id", "/api/history_v2", RouteName::HistoryV2),
    ] {
        for source in ["status", "workflow"] {
            let (_folder, path) = folder(&format!("ids-{table}-{source}"), table, &broken(table, to, source));
            let case = if table == "history_v2" {
                case("cloud-contract", "gallery")
            } else {
                recorded(table)
            };
            let server = Surfaces::start(case.board(), case.legacy).await;
            let canary = format!("{}=canary:0,compare,rollback.differences=1%", route.as_str());
            let options = [
                (&LEGACY.routes.key, canary.as_str()),
                (&FOLDERS.mappings_dir.key, path.as_str()),
            ];
            let jobshim = jobshim(&server.url(), &options).await;
            for nth in 0..20 {
                let reply = Client::new().get(jobshim.address, target).await;
                assert_eq!(reply.status, 200, "{table}");
                let found = findings(&jobshim, nth + 1).await;
                assert_eq!(count(&found, Compared::Noise), 0, "{table}: {found:#?}");
            }
            let pipeline = jobshim.pipeline();
            let is_back = async || pipeline.modes().back(route).is_some();
            until(&format!("the canary of {table} goes back"), is_back).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_id_is_found_in_a_queue_that_moves_with_each_read() {
    let (_folder, path) = folder("moving", "queue", &broken("queue", "[1]", "status"));
    let case = case("comfyui-next", "busy");
    let server = Surfaces::start(case.board(), case.legacy).await;
    // With each read another job has come and gone.
    server.with(|surfaces| {
        let queue = surfaces
            .legacy
            .iter_mut()
            .find(|legacy| legacy.target == "/queue")
            .expect("a queue");
        queue.body = queue.body.replace(
            r#""queue_pending": ["#,
            r#""queue_pending": [[900, "0000000 1", {}, {}, []], "#,
        );
        surfaces.counting = Some("[900, \"0000000 1\"");
        surfaces.counted = |nth| format!("[900, \"0000000 {nth}\"");
    });
    let jobshim = jobshim(
        &server.url(),
        &[(&LEGACY.mode.key, "shadow"), (&FOLDERS.mappings_dir.key, &path)],
    )
    .await;
    Client::new().get(jobshim.address, "/queue").await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(count(&found, Compared::Different), 1, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_answer_whose_entries_have_no_ids_is_not_compared() {
    for body in [
        r#"{"queue_running": [], "queue_pending": [[1, null, {}, {}, []], [2, null, {}, {}, []]]}"#,
        r#"{"queue_running": [[1]], "queue_pending": []}"#,
    ] {
        let case = case("comfyui-next", "busy");
        let server = Surfaces::start(case.board(), case.legacy).await;
        server.with(|surfaces| {
            let queue = surfaces.legacy.iter_mut().find(|legacy| legacy.target == "/queue");
            queue.expect("a queue").body = body.to_owned();
        });
        let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
        Client::new().get(jobshim.address, "/queue").await;
        let found = findings(&jobshim, 1).await;
        let outcomes = &found[&Endpoint::Queue].compared;
        let words: Vec<_> = outcomes.keys().map(|outcome| outcome.name()).collect();
        assert_eq!(words, ["unpaired"]);
        assert_eq!(found[&Endpoint::Queue].answers(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_the_server_tells_and_the_table_drops_is_no_loss() {
    let (_folder, path) = folder("told", "queue", &broken("queue", "[2]", "nothing_there"));
    let options = [
        (&LEGACY.routes.key, "queue=canary:0,compare,rollback.differences=1%"),
        (&FOLDERS.mappings_dir.key, path.as_str()),
        (&SHADOW.max_in_flight.key, "64"),
    ];
    for (server, is_back) in [("comfyui-next", true), ("comfyui-0.27", false)] {
        let case = case(server, "busy");
        let server = Surfaces::start(case.board(), case.legacy).await;
        let jobshim = jobshim(&server.url(), &options).await;
        for nth in 0..20 {
            Client::new().get(jobshim.address, "/queue").await;
            let found = findings(&jobshim, nth + 1).await;
            let (lost, different) = (count(&found, Compared::Lost), count(&found, Compared::Different));
            // The older server does not tell the prompts of queued jobs, whatever the table says.
            assert_eq!(
                (lost, different),
                if is_back { (0, nth + 1) } else { (nth + 1, 0) },
                "{found:#?}"
            );
        }
        let pipeline = jobshim.pipeline();
        let back = || pipeline.modes().back(RouteName::Queue).is_some();
        match is_back {
            // It is decided a moment after it is counted.
            true => until("it goes back", async || back()).await,
            false => assert!(!back()),
        }
    }
}
