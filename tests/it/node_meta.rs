//! What `meta` says of nodes whose ids have dots: named so by the client, or made by expansion while the job ran.

use crate::support::{
    Client,
    server::{Server, Setup, board},
    start,
};
use jobshim::demo::{Job, Rules};
use serde_json::{Map, Value, json};

const ID: &str = "0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11";

/// Each node's display, parent and real node, where these `nodes` are the prompt's and those `outputs` are there.
async fn meta(nodes: &[&str], outputs: &[&str]) -> Vec<(Value, Value, Value)> {
    let prompt: Map<String, Value> = nodes
        .iter()
        .map(|id| ((*id).to_owned(), json!({"class_type": "SaveImage", "inputs": {}})))
        .collect();
    let outputs_made: Map<String, Value> = outputs
        .iter()
        .map(|id| ((*id).to_owned(), json!({"images": []})))
        .collect();
    let mut job = json!({
        "id": ID, "status": "completed", "create_time": 1_700_000_000_000_u64, "priority": 1, "outputs": outputs_made,
    });
    if !nodes.is_empty() {
        job["workflow"] = json!({"prompt": prompt, "extra_data": {}});
    }
    let mut board = board(Rules::Comfyui);
    board
        .jobs
        .push(Job::new(&job.to_string(), &job.to_string()).expect("a job"));
    let server = Server::start(board, Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let mut shown = Vec::new();
    for target in [format!("/history/{ID}"), format!("/api/history_v2/{ID}")] {
        let reply = Client::new().get(jobshim.address, &target).await;
        let entry: Value = serde_json::from_slice(&reply.body).expect("JSON");
        shown.push(entry[ID]["meta"].clone());
    }
    assert_eq!(shown[0], shown[1], "both surfaces");
    let about = |id: &&str| {
        let node = &shown[0][*id];
        assert_eq!(node["node_id"], **id, "{shown:#?}");
        (
            node["display_node"].clone(),
            node["parent_node"].clone(),
            node["real_node_id"].clone(),
        )
    };
    outputs.iter().map(about).collect()
}

fn expanded(parent: &str, real: &str) -> (Value, Value, Value) {
    (json!(real), json!(parent), json!(real))
}

fn own(id: &str) -> (Value, Value, Value) {
    (json!(id), Value::Null, json!(id))
}

#[tokio::test]
async fn a_node_of_the_prompt_was_not_expanded_whatever_its_name() {
    let nodes = ["SaveImage", "SaveImage.0", "5.0.0.2", "10:3"];
    let wanted: Vec<_> = nodes.iter().map(|id| own(id)).collect();
    assert_eq!(meta(&nodes, &nodes).await, wanted);
}

#[tokio::test]
async fn a_node_made_by_expansion_belongs_to_the_node_of_the_prompt_that_made_it() {
    let cases = [
        ("5.0.0.2", "5"),
        ("5.x.0.0.2", "5.x"),
        ("10:3.0.1.preview", "10:3"),
        // A graph's own names may have dots.
        ("5.1.0.save.final", "5"),
        // `5.0` would have made `5.0.0.0.2`.
        ("5.0.0.7", "5"),
        ("5.0.0.0.7", "5.0"),
        // No call and no graph are named: a prefix of the node's own choice.
        ("5.x.mine", "5.x"),
    ];
    let ids = cases.map(|(id, _)| id);
    let wanted = cases.map(|(_, real)| expanded(real, real));
    assert_eq!(meta(&["5", "5.x", "5.0", "10:3"], &ids).await, wanted);
}

#[tokio::test]
async fn a_node_made_by_a_node_that_was_made_has_that_one_as_its_parent() {
    let cases = [
        ("5.0.0.2.0.0.1", "5.0.0.2", "5"),
        ("5.0.0.2.0.0.1.0.3.a.b", "5.0.0.2.0.0.1", "5"),
        ("5.x.0.0.2.1.0.4", "5.x.0.0.2", "5.x"),
        // A loop's later rounds keep the names of the round before.
        ("5.0.0.Recurse.0.0.5.0.0.7", "5.0.0.Recurse", "5"),
        (
            "5.0.0.Recurse.0.0.Recurse.0.0.5.0.0.Recurse.0.0.5.0.0.7",
            "5.0.0.Recurse.0.0.Recurse",
            "5",
        ),
    ];
    let ids = cases.map(|(id, ..)| id);
    let wanted = cases.map(|(_, parent, real)| expanded(parent, real));
    assert_eq!(meta(&["5", "5.x"], &ids).await, wanted);
}

#[tokio::test]
async fn where_no_node_of_the_prompt_can_have_made_it_a_node_stands_for_itself() {
    assert_eq!(meta(&["5"], &["mine.0.0.1", "7"]).await, [own("mine.0.0.1"), own("7")]);
}

#[tokio::test]
async fn without_a_prompt_the_part_before_the_first_dot_made_it() {
    let wanted = [expanded("5", "5"), expanded("SaveImage", "SaveImage"), own("9")];
    assert_eq!(meta(&[], &["5.0.0.2", "SaveImage.0", "9"]).await, wanted);
}
