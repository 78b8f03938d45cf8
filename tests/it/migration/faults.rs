//! A table that is broken on purpose is found, whichever table and row it is: never noise, never lost, never green.

use super::compare::{findings, jobshim};
use crate::support::{
    Client, TableFolder as Folder, built_in,
    corpus::{Case, case},
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

/// What a table is tried on: real servers wrote the answers, or the contract says them.
fn recorded(table: &str) -> Case {
    match table {
        "queue" => case("comfyui-next", "busy"),
        "queue_cloud" => case("cloud-contract", "busy"),
        _ => case("cloud-contract", "gallery"),
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

/// In how many answers this came out.
fn count(found: &BTreeMap<Endpoint, Found>, outcome: Compared) -> u64 {
    found.values().map(|found| found.count(outcome)).sum()
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
        let back = jobshim.pipeline().modes().back(RouteName::Queue).is_some();
        assert_eq!(back, is_back);
    }
}
