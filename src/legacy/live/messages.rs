//! The messages of ComfyUI's WebSocket.

use bytes::Bytes;
use serde_json::{Map, Number, Value, json};

/// What is dropped first where a client does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A picture of what a node is at: the next one replaces it.
    Preview,
    /// How far a node is: the same.
    Progress,
    /// Clients wait for it.
    Needed,
}

/// One message for a client.
#[derive(Clone, Debug)]
pub struct LiveMessage {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether they are no text.
    pub is_binary: bool,
    pub(super) weight: Weight,
}

fn message(kind: &str, data: Value, weight: Weight) -> LiveMessage {
    LiveMessage {
        bytes: json!({"type": kind, "data": data}).to_string().into(),
        is_binary: false,
        weight,
    }
}

/// How many jobs have not ended; `sid` is what the client is called, in the first message.
pub(super) fn status(remaining: usize, sid: Option<&str>) -> LiveMessage {
    let mut data = json!({"status": {"exec_info": {"queue_remaining": remaining}}});
    if let (Some(members), Some(sid)) = (data.as_object_mut(), sid) {
        members.insert("sid".to_owned(), sid.into());
    }
    message("status", data, Weight::Needed)
}

/// A job starts.
pub(super) fn started(id: &str, now: u64) -> LiveMessage {
    let data = json!({"prompt_id": id, "timestamp": now});
    message("execution_start", data, Weight::Needed)
}

/// A node starts; without one the job is over.
pub(super) fn executing(id: &str, node: Option<&str>) -> LiveMessage {
    let data = match node {
        Some(node) => json!({"node": node, "display_node": display_node(node), "prompt_id": id}),
        None => json!({"node": null, "prompt_id": id}),
    };
    message("executing", data, Weight::Needed)
}

/// A node has taken a step.
pub(super) fn progress(id: &str, node: &str, step: &Number, steps: &Number) -> LiveMessage {
    let data = json!({"value": step, "max": steps, "prompt_id": id, "node": node});
    message("progress", data, Weight::Progress)
}

/// How far a node is.
#[derive(Clone, Debug)]
pub(super) struct NodeProgress {
    pub node: String,
    pub step: Number,
    pub steps: Number,
    pub is_over: bool,
}

/// How far the nodes are that have started.
pub(super) fn progress_state(id: &str, nodes: &[NodeProgress]) -> LiveMessage {
    let told = nodes.iter().map(|one| {
        let NodeProgress { node, step, steps, .. } = one;
        let state = if one.is_over { "finished" } else { "running" };
        let told = json!({
            "value": step, "max": steps, "state": state, "node_id": node, "prompt_id": id,
            "display_node_id": display_node(node), "parent_node_id": null, "real_node_id": node,
        });
        (node.clone(), told)
    });
    let nodes: Map<String, Value> = told.collect();
    let data = json!({"prompt_id": id, "nodes": nodes});
    message("progress_state", data, Weight::Progress)
}

/// A node has ended, and has something to show.
pub(super) fn executed(id: &str, node: &str, output: &Value) -> LiveMessage {
    let data = json!({"node": node, "display_node": display_node(node), "output": output, "prompt_id": id});
    message("executed", data, Weight::Needed)
}

/// The job has ended well.
pub(super) fn succeeded(id: &str, now: u64) -> LiveMessage {
    let data = json!({"prompt_id": id, "timestamp": now});
    message("execution_success", data, Weight::Needed)
}

/// A node failed, as `error` says; these had ended before.
pub(super) fn failed(id: &str, error: Map<String, Value>, executed: &[String], now: u64) -> LiveMessage {
    let mut data = json!({"prompt_id": id, "executed": executed, "current_inputs": {}, "current_outputs": []});
    if let Some(members) = data.as_object_mut() {
        members.extend(error);
        members.insert("timestamp".to_owned(), now.into());
    }
    message("execution_error", data, Weight::Needed)
}

/// The job was stopped at a node; these had ended before.
pub(super) fn interrupted(id: &str, node: &str, class: &str, executed: &[String], now: u64) -> LiveMessage {
    let data = json!({"prompt_id": id, "node_id": node, "node_type": class, "executed": executed, "timestamp": now});
    message("execution_interrupted", data, Weight::Needed)
}

/// A picture of what a node is at; `None` where ComfyUI has no such message for a picture of that kind.
pub(super) fn preview(content_type: &str, image: &[u8]) -> Option<LiveMessage> {
    let format = match content_type {
        "image/jpeg" => 1_u32,
        "image/png" => 2,
        _ => return None,
    };
    Some(LiveMessage {
        bytes: [&1_u32.to_be_bytes()[..], &format.to_be_bytes(), image].concat().into(),
        is_binary: true,
        weight: Weight::Preview,
    })
}

/// The node of the client's workflow that a node is shown as: nodes that it was expanded to have its id in front.
fn display_node(node: &str) -> &str {
    node.split_once('.').map_or(node, |(shown, _)| shown)
}
