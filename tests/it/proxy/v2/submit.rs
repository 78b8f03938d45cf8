//! What becomes of a prompt that is refused, or not answered.

use super::{Setup, ids, workflow};
use crate::support::wait::{as_soon_as, until};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options, Status};
use serde_json::{Value, json};
use std::time::Duration;

/// The error in an answer, whose status is this.
fn refused(answer: &crate::support::Reply, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    for member in ["type", "message", "details"] {
        assert!(said["error"][member].is_string(), "{member}: {said}");
    }
    said
}

#[tokio::test]
async fn a_workflow_that_is_refused_is_refused_as_comfyui_refuses_it() {
    let setup = Setup::new(Options::default()).await;
    let mut unknown = workflow();
    unknown["1"]["class_type"] = json!("NoSuchNode");
    let answer = setup.post("/prompt", &[], &json!({"prompt": unknown})).await;
    let said = refused(&answer, 400);
    assert_eq!(said["error"]["type"], "invalid_workflow", "{said}");
    assert!(said["node_errors"].is_object(), "{said}");
    let mut wrong = workflow();
    wrong["9"]["inputs"] = json!({});
    let answer = setup.post("/prompt", &[], &json!({"prompt": wrong})).await;
    let said = refused(&answer, 400);
    assert!(said["node_errors"]["9"].is_object(), "{said}");
    let answer = setup
        .post("/prompt", &[], &json!({"prompt": {"nodes": [], "links": []}}))
        .await;
    assert_eq!(refused(&answer, 400)["error"]["type"], "workflow_format_ui");
    let answer = setup.post("/prompt", &[], &json!({})).await;
    refused(&answer, 400);
    for body in ["nonsense", "[]", ""] {
        let sent = setup
            .client
            .send(Method::POST, setup.jobshim.address, "/prompt", &[], body)
            .await;
        refused(&sent.expect("an answer"), 400);
    }
    assert_eq!(setup.get("/history").await, json!({}));
    for (status, code) in [
        (401, "unauthorized"),
        (402, "insufficient_credits"),
        (429, "deployment_not_ready"),
    ] {
        setup.server.fail_next(Some(Call::Submit), 1, Fault::Code(status, code));
        let answer = setup.post("/prompt", &[], &json!({"prompt": workflow()})).await;
        assert_eq!(refused(&answer, status)["error"]["type"], code);
        assert_eq!(
            answer.header("retry-after").is_empty(),
            status != 429,
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn a_prompt_without_an_answer_is_sent_once_and_its_client_told_that_the_job_may_exist() {
    for (fault, status) in [
        (Fault::Lost, 502),
        (Fault::Silent, 504),
        (Fault::Status(500), 500),
        (Fault::Status(503), 503),
    ] {
        let setup = Setup::with(Options::default(), |config| {
            config.upstream.answer_timeout = Duration::from_secs(1);
        })
        .await;
        // So that a connection lies idle.
        setup.get("/queue").await;
        setup.server.fail_next(Some(Call::Submit), 1, fault);
        let answer = setup.post("/prompt", &[], &json!({"prompt": workflow()})).await;
        let said = refused(&answer, status);
        assert!(said["error"].to_string().contains("may exist"), "{fault:?}: {said}");
        assert_eq!(setup.server.count(Call::Submit), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_job_whose_client_left_in_the_middle_is_listed() {
    let setup = Setup::new(Options::default()).await;
    setup.get("/queue").await;
    let address = setup.jobshim.address;
    let body = json!({"prompt": workflow(), "extra_data": {"x": "y".repeat(1000)}}).to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST /prompt HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .expect("written");
    as_soon_as("the job is there", || !setup.server.in_state(Status::Queued).is_empty()).await;
    drop(stream);
    until("the job is listed", async || {
        ids(&setup.get("/queue").await) == setup.server.in_state(Status::Queued)
    })
    .await;
}

#[tokio::test]
async fn a_job_is_found_under_the_id_that_its_client_chose() {
    for options in [Options::default(), Options::api_proxy()] {
        let setup = Setup::new(options).await;
        for name in ["0f0e0d0c-0b0a-4908-8706-050403020100", "my job"] {
            let (id, _) = setup.submit(&[], json!({"prompt_id": name})).await;
            assert_eq!(id, name);
            let [at_server] = setup.server.in_state(Status::Queued).try_into().expect("one job");
            assert_ne!(at_server, name);
            assert_eq!(ids(&setup.get("/queue").await), [name]);
            setup.server.finish(&at_server);
            let target = format!("/history/{}", name.replace(' ', "%20"));
            let history = setup.get(&target).await;
            assert_eq!(history[name]["prompt"][1], name, "{history}");
            let images = history[name]["outputs"]["9"]["images"].as_array();
            assert_eq!(images.map(Vec::len), Some(1), "{history}");
            assert!(setup.get("/history").await.get(name).is_some());
            setup.post("/history", &[], &json!({"delete": [name]})).await;
            assert_eq!(setup.get("/history").await, json!({}));
        }
        let (id, _) = setup.submit(&[], json!({"prompt_id": "to be cancelled"})).await;
        setup.post("/queue", &[], &json!({"delete": [id]})).await;
        assert_eq!(ids(&setup.get("/queue").await), [""; 0]);
        assert_eq!(setup.server.count(Call::Cancel), 1);
    }
}

#[tokio::test]
async fn a_key_of_partner_nodes_goes_along_and_nothing_else_of_extra_data() {
    let setup = Setup::new(Options::default()).await;
    let extra_data = json!({"api_key_comfy_org": "partner", "auth_token_comfy_org": "token", "extra_pnginfo": {}});
    setup
        .submit(&[], json!({"extra_data": extra_data, "client_id": "mine"}))
        .await;
    setup
        .submit(&[], json!({"extra_data": {"api_key_comfy_org": "[REDACTED]"}}))
        .await;
    let seen = setup.server.seen();
    let sent: Vec<Value> = seen
        .iter()
        .filter(|(call, _)| *call == Call::Submit)
        .map(|(_, seen)| serde_json::from_slice(&seen.body).expect("JSON"))
        .collect();
    let partner = json!({"workflow": workflow(), "extra_data": {"api_key_comfy_org": "partner"}});
    assert_eq!(sent[0], partner);
    assert!(
        sent[1]
            .get("extra_data")
            .is_none_or(|extra_data| *extra_data == json!({})),
        "{}",
        sent[1]
    );
    let queue = setup.get("/queue").await.to_string();
    assert!(!queue.contains("partner") && !queue.contains("token"), "{queue}");
}
