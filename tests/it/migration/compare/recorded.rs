//! What was recorded of real servers shows no difference when it is compared. A table that is broken on purpose shows one.

use super::{differing, shadow};
use crate::support::{
    TableFolder as Folder,
    corpus::{case, cases},
};
use jobshim::routes::Endpoint;
use jobshim::{
    config::settings::{FOLDERS, SHADOW},
    telemetry::Compared,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn every_recorded_case_and_route_shows_no_difference() {
    let mut routes = BTreeMap::new();
    for server in ["comfyui-0.8", "comfyui-0.27", "comfyui-next", "cloud-contract"] {
        for case in cases(server) {
            let label = format!("{server}/{}", case.name);
            let found = shadow(case, &[]).await;
            assert_eq!(differing(&found), [], "{label}: {found:#?}");
            for (route, found) in found {
                let fine = [Compared::Same, Compared::Lost].map(|outcome| found.count(outcome));
                assert_eq!(fine.iter().sum::<u64>(), found.answers(), "{label}: {found:#?}");
                *routes.entry(route).or_insert(0) += found.answers();
            }
        }
    }
    for route in [
        Endpoint::History,
        Endpoint::HistoryEntry,
        Endpoint::HistoryV2,
        Endpoint::HistoryV2Entry,
        Endpoint::Queue,
    ] {
        assert!(
            routes.get(&route).is_some_and(|compared| *compared > 0),
            "{route:?}: {routes:?}"
        );
    }
}

#[tokio::test]
async fn what_the_jobs_api_cannot_carry_is_a_loss_and_no_difference() {
    let found = shadow(case("comfyui-0.27", "gallery"), &[]).await;
    let history = &found[&Endpoint::History];
    for field in ["outputs", "prompt[4]"] {
        let field = &history.fields[field];
        assert!(
            field.losses > 0 && field.differences == 0 && field.noise == 0,
            "{history:#?}"
        );
    }
    let found = shadow(case("comfyui-0.27", "busy"), &[]).await;
    let queue = &found[&Endpoint::Queue];
    for field in ["[2]", "[3]", "[4]"] {
        assert!(queue.fields[field].losses > 0, "{queue:#?}");
    }
}

#[tokio::test]
async fn a_table_with_one_row_broken_on_purpose_shows_exactly_that_field() {
    for (file, text, from, to, route, field) in [
        (
            "history.toml",
            include_str!("../../../../mappings/answers/history.toml"),
            "to = \"prompt[0]\"\nfrom = [\"priority\"]",
            "to = \"prompt[0]\"\nfrom = [\"create_time\"]",
            "history",
            "prompt[0]",
        ),
        (
            "history.toml",
            include_str!("../../../../mappings/answers/history.toml"),
            "from = [\"execution_status\", { part = \"status\" }]",
            "from = [\"execution_error\", { part = \"extra_data\" }]",
            "history",
            "status",
        ),
        (
            "queue.toml",
            include_str!("../../../../mappings/answers/queue.toml"),
            "to = \"[0]\"\nfrom = [\"priority\"]",
            "to = \"[0]\"\nfrom = [\"create_time\"]",
            "queue",
            "[0]",
        ),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{file} has no {from}");
        let folder = Folder::with(&format!("shadow-broken-{route}-{}", field.len()), &[(file, &broken)]);
        let path = folder.path.display().to_string();
        let name = if route == "queue" { "busy" } else { "gallery" };
        let found = shadow(case("comfyui-next", name), &[(&FOLDERS.mappings_dir.key, &path)]).await;
        let found_fields: Vec<&str> = differing(&found).iter().map(|(_, field, _)| *field).collect();
        assert!(
            !found_fields.is_empty() && found_fields.iter().all(|found| *found == field),
            "{found_fields:?}"
        );
        assert!(differing(&found).iter().any(|(on, ..)| *on == route), "{found:#?}");
        // Ignored, it is not seen.
        let ignoring = [(&FOLDERS.mappings_dir.key, path.as_str()), (&SHADOW.ignore.key, field)];
        let found = shadow(case("comfyui-next", name), &ignoring).await;
        assert_eq!(differing(&found), [], "{field} is ignored");
    }
}
