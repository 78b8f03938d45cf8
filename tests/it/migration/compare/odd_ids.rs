//! A router takes not every text for an id: its 404 says nothing of the endpoint, nor of a job.

use super::{ID, findings, jobshim};
use crate::support::{
    Client,
    server::board,
    surfaces::{Surfaces, legacy},
};
use jobshim::{config::settings::LEGACY, demo::Rules, routes::Endpoint, telemetry::Compared};

/// aiohttp takes no id with a brace, other servers on the way no slash, no dots, and nothing that is encoded twice.
const ODD: [&str; 6] = ["a%7Bb", "a}b", "a%2Fb", "%2E%2E", "a%2541b", "a%20b"];

#[tokio::test(flavor = "multi_thread")]
async fn a_404_for_an_id_that_no_router_takes_does_not_say_that_there_is_no_endpoint() {
    let target = format!("/history/{ID}");
    for has_endpoint in [true, false] {
        let answers = if has_endpoint {
            vec![legacy(&target, "{}")]
        } else {
            Vec::new()
        };
        let server = Surfaces::start(board(Rules::Comfyui), answers).await;
        let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
        let client = Client::new();
        for prefix in ["", "/api"] {
            for id in ODD {
                let odd = format!("{prefix}/history/{id}");
                assert_eq!(client.get(jobshim.address, &odd).await.status, 404, "{odd}");
            }
        }
        let found = jobshim.observer().findings().by_route();
        assert!(found.is_empty(), "nothing was learnt: {found:#?}");
        client.get(jobshim.address, &target).await;
        let found = findings(&jobshim, 1).await;
        let found = &found[&Endpoint::HistoryEntry];
        let outcomes = (found.count(Compared::Empty), found.count(Compared::Absent));
        assert_eq!(outcomes, if has_endpoint { (1, 0) } else { (0, 1) }, "{found:#?}");
    }
}
