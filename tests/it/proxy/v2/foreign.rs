//! Web pages of other sites, which a ComfyUI refuses by itself and a server of Comfy API v2 may not.

use super::{Setup, workflow};
use http::Method;
use jobshim::demo::v2::{Call, Options};
use serde_json::json;

/// What a browser says of a page of another site.
const FOREIGN: [(&str, &str); 2] = [("sec-fetch-site", "cross-site"), ("content-type", "text/plain")];

#[tokio::test]
async fn nothing_is_done_for_a_page_of_another_site() {
    let prompt = json!({"prompt": workflow()}).to_string();
    for is_known in [false, true] {
        for (method, target, body) in [
            (Method::POST, "/prompt", prompt.as_str()),
            (Method::POST, "/queue", r#"{"clear": true}"#),
            (Method::POST, "/interrupt", "{}"),
            (Method::POST, "/history", r#"{"clear": true}"#),
            (Method::GET, "/history", ""),
            (Method::GET, "/queue", ""),
            (Method::GET, "/api/jobs", ""),
            (Method::POST, "/api/jobs/cancel", r#"{"job_ids": ["a"]}"#),
            (Method::POST, "/upload/image", ""),
            (Method::GET, "/view?filename=a.png", ""),
        ] {
            let setup = Setup::new(Options::default()).await;
            if is_known {
                setup.submit(&[], json!({})).await;
            }
            let jobs = setup.server.count(Call::Submit);
            let sent = setup
                .client
                .send(method, setup.jobshim.address, target, &FOREIGN, body.to_owned());
            let answer = sent.await.expect("an answer");
            assert_eq!(answer.status, 403, "{target}: {}", answer.text());
            assert_eq!(setup.server.count(Call::Submit), jobs, "{target}");
            let done = [Call::Cancel, Call::Upload, Call::Content].map(|call| setup.server.count(call));
            assert_eq!(done, [0; 3], "{target}");
            if is_known {
                assert_eq!(super::ids(&setup.get("/queue").await).len(), 1, "{target}");
            }
        }
    }
}
