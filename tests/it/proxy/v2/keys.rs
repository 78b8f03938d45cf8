//! How a key reaches the server, and under which path.

use super::{Setup, ids};
use jobshim::demo::v2::Options;
use serde_json::json;

#[tokio::test]
async fn a_key_goes_as_a_bearer_token_whichever_way_its_client_sends_it() {
    let keys = vec!["comfyui-one".to_owned()];
    let setup = Setup::new(Options {
        keys,
        ..Options::default()
    })
    .await;
    let bearer = [("authorization", "Bearer comfyui-one")];
    let (first, _) = setup.submit(&bearer, json!({})).await;
    for headers in [bearer, [("x-api-key", "comfyui-one")]] {
        assert_eq!(
            ids(&setup.get_with("/queue", &headers).await),
            [first.as_str()],
            "{headers:?}"
        );
        let answer = setup
            .client
            .get_with(setup.jobshim.address, &format!("/api/v2/jobs/{first}"), &headers)
            .await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_server_below_a_prefix_is_found_and_asked_there() {
    let setup = Setup::new(Options {
        prefix: "/mounted/here".to_owned(),
        ..Options::default()
    })
    .await;
    let (id, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&id);
    assert_eq!(ids(&setup.get("/history").await), [id]);
}
