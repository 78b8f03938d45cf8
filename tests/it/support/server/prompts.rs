//! Prompts that a simulated server takes, and the jobs that they become.

use super::{PICTURE, Setup, State};
use bytes::Bytes;
use jobshim::{
    demo::{Job, Rules},
    mapping::json::{members, string_value},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn refusal(kind: &str) -> (u16, String) {
    let error = json!({"type": kind, "message": kind});
    (400, json!({"error": error, "node_errors": {}}).to_string())
}

/// As servers since 0.25 want ids.
fn is_lowercase_uuid(id: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && id.bytes().all(|byte| byte == b'-' || digit(byte))
}

/// A prompt that arrived.
pub struct Submitted {
    id: String,
    pub(super) number: String,
    created: i64,
    prompt: String,
    extra_data: String,
    client_id: String,
    outputs: Value,
    started: i64,
    ended: i64,
}

impl State {
    pub(super) fn submit(&mut self, setup: &Setup, body: &[u8], key: Option<String>) -> (u16, String) {
        let mut parts: BTreeMap<String, String> = BTreeMap::new();
        let read = members(body, |key, value| {
            let key = String::from_utf8_lossy(key).into_owned();
            parts.insert(key, String::from_utf8_lossy(value).into_owned());
        });
        let (Ok(()), Some(prompt)) = (read, parts.remove("prompt")) else {
            return refusal("no_prompt");
        };
        let chosen = parts.get("prompt_id").and_then(|id| string_value(id.as_bytes()));
        if chosen
            .as_deref()
            .is_some_and(|id| !setup.takes_any_id && !is_lowercase_uuid(id))
        {
            return refusal("invalid_prompt_id");
        }
        if prompt == "null" {
            return refusal("prompt_no_outputs");
        }
        let created = self.now();
        let id = chosen.or_else(|| self.ids.pop());
        let id = id.unwrap_or_else(|| format!("{:08}-0000-4000-8000-000000000000", self.count));
        let front = parts.get("front").is_some_and(|front| front == "true");
        let counted = if front { -self.count } else { self.count };
        let number = parts.remove("number").unwrap_or_else(|| counted.to_string());
        let client_id = parts
            .get("client_id")
            .and_then(|id| string_value(id.as_bytes()))
            .unwrap_or_default();
        let mut extra_data: Vec<String> = Vec::new();
        if let Some(sent) = parts.get("extra_data") {
            members(sent.as_bytes(), |key, value| {
                let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
                if !key.ends_with("_comfy_org") {
                    extra_data.push(format!("\"{key}\": {value}"));
                }
            })
            .expect("extra_data");
        }
        if self.is_cloud() {
            extra_data.push(r#""api_key_comfy_org": "[REDACTED]""#.to_owned());
        }
        if let Some(client_id) = parts.get("client_id") {
            extra_data.push(format!("\"client_id\": {client_id}"));
        }
        extra_data.push(format!("\"create_time\": {created}"));
        let nodes: Value = serde_json::from_str(&prompt).unwrap_or_default();
        let saves = nodes
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, node)| node["class_type"] == "SaveImage");
        let outputs = saves.map(|(node, _)| {
            let image =
                json!({"filename": format!("{node}_{:05}_.png", self.count), "subfolder": "", "type": "output"});
            (node.clone(), json!({"images": [image]}))
        });
        let submitted = Submitted {
            outputs: Value::Object(outputs.collect()),
            extra_data: format!("{{{}}}", extra_data.join(", ")),
            id: id.clone(),
            number: number.clone(),
            created,
            prompt,
            client_id,
            started: created,
            ended: created,
        };
        self.owners.extend(key.map(|key| (id.clone(), key)));
        let job = submitted.job("pending", self.board.rules, setup);
        self.submitted.insert(id.clone(), submitted);
        // A recorded job stays as it was recorded.
        if !self.board.jobs.iter().any(|known| known.id == id) {
            self.board.add(job);
        }
        (
            200,
            format!(r#"{{"prompt_id": "{id}", "number": {number}, "node_errors": {{}}}}"#),
        )
    }

    pub(super) fn put_in_state(&mut self, id: &str, status: &str, setup: &Setup) {
        let now = self.now();
        let Some(submitted) = self.submitted.get_mut(id) else {
            return;
        };
        match status {
            "in_progress" => submitted.started = now,
            _ => submitted.ended = now,
        }
        self.board.replace(submitted.job(status, self.board.rules, setup));
        if status == "completed" {
            let images = submitted.outputs.as_object().into_iter().flatten();
            let names = images.filter_map(|(_, output)| output["images"][0]["filename"].as_str());
            self.files
                .extend(names.map(|name| (format!("output/{name}"), Bytes::from_static(PICTURE))));
        }
    }

    /// Tells the client of a job what became of it.
    pub(super) fn tell(&self, id: &str, kind: &str, event: &Value) {
        let client = self.submitted.get(id).map_or("", |job| job.client_id.as_str());
        self.sockets.tell(client, self.owners.get(id), kind, event);
    }
}

impl Submitted {
    fn job(&self, status: &str, rules: Rules, setup: &Setup) -> Job {
        let Self {
            id,
            created,
            number,
            started,
            ended,
            ..
        } = self;
        let cloud = rules == Rules::Cloud;
        let mut entry = format!(r#""id": "{id}", "status": "{status}", "create_time": {created}"#);
        if !cloud {
            entry += &format!(r#", "priority": {number}"#);
        }
        let mut detail = entry.clone();
        let finished = !matches!(status, "pending" | "in_progress");
        if finished {
            let times = format!(r#", "execution_start_time": {started}, "execution_end_time": {ended}"#);
            entry += &times;
            let outputs = &self.outputs;
            let state = json!({"status_str": "success", "completed": true, "messages": [
                ["execution_start", {"prompt_id": id, "timestamp": started}],
                ["execution_success", {"prompt_id": id, "timestamp": ended}],
            ]});
            detail += &format!(r#", "outputs": {outputs}, "execution_status": {state}"#);
            detail += &match cloud {
                false => times,
                true => format!(r#", "update_time": {ended}, "execution_meta": {}"#, self.meta()),
            };
        }
        if finished || cloud || setup.workflow_while_queued {
            let (prompt, extra_data) = (&self.prompt, &self.extra_data);
            detail += &format!(r#", "workflow": {{"prompt": {prompt}, "extra_data": {extra_data}}}"#);
        }
        let job = Job::new(&format!("{{{entry}}}"), &format!("{{{detail}}}")).expect("a job");
        match self.is_listable() {
            true => job,
            false => job.unlistable(),
        }
    }

    /// The server's list reads `extra_pnginfo` and its `workflow` as objects where they are there.
    fn is_listable(&self) -> bool {
        let extra_data: Value = serde_json::from_str(&self.extra_data).unwrap_or_default();
        let none = json!({});
        let pnginfo = extra_data.get("extra_pnginfo").unwrap_or(&none);
        pnginfo.is_object() && pnginfo.get("workflow").unwrap_or(&none).is_object()
    }

    fn meta(&self) -> Value {
        let nodes = self.outputs.as_object().into_iter().flatten();
        let meta =
            |node: &String| json!({"node_id": node, "display_node": node, "parent_node": null, "real_node_id": node});
        Value::Object(nodes.map(|(node, _)| (node.clone(), meta(node))).collect())
    }
}
