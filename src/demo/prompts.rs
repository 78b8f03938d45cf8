//! Prompts that the simulated upstream takes: each runs at once, for a second, and saves its pictures.

use super::{
    board::{Board, Job, Reply, Rules, is_uuid},
    jobs::{Asked, told_by},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// How long a prompt runs, in ms: a client that polls sees it run, and does not wait for long.
const RUNS_FOR: i64 = 1_000;

/// What every picture is: a PNG of 64 x 64, in one colour.
pub(super) const PICTURE: &[u8] =
    b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00@\x00\x00\x00@\x01\x03\x00\x00\x00\x90\xa7\
    \xe3\x9d\x00\x00\x00\x03PLTE:n\xa5\xd3DL\xd2\x00\x00\x00\x0fIDATx\xdac`\x18\x05\xa3\x80|\x00\x00\x02\
    @\x00\x01\xe0M\x1dD\x00\x00\x00\x00IEND\xaeB`\x82";

/// The prompts that were taken.
#[derive(Default)]
pub(super) struct Prompts {
    running: Vec<Running>,
    taken: i64,
}

/// A job that runs, and what it will be.
struct Running {
    ends: i64,
    ended: Job,
}

impl Prompts {
    /// `POST /prompt`; `now` in ms.
    pub(super) fn take(&mut self, board: &mut Board, body: &[u8], now: i64) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(prompt) = body.get("prompt").and_then(Value::as_object) else {
            return refusal("no_prompt", "No prompt provided");
        };
        let sent = body.get("prompt_id").and_then(Value::as_str);
        if let Some(id) = sent.filter(|id| !takes(board.rules, id)) {
            return refusal("invalid_prompt_id", &format!("prompt_id {id:?} is no lowercase UUID"));
        }
        let outputs = pictures(board, prompt, self.taken + 1);
        if outputs.is_empty() {
            return refusal("prompt_no_outputs", "Prompt has no outputs");
        }
        self.taken += 1;
        let id = sent.map_or_else(|| self.id(), str::to_owned);
        let number = self.number(board);
        let asked = Asked {
            workflow: json!({"prompt": prompt, "extra_data": extra_data(&body, now)}),
            id,
            number,
            created: now,
        };
        let ends = now + RUNS_FOR;
        let told = |job: Option<Job>| told_by(board.rules, job?);
        let ended = told(asked.completed(now, ends, Value::Object(outputs)));
        let (Some(running), Some(ended)) = (told(asked.queued("in_progress")), ended) else {
            return (500, String::new());
        };
        board.add(running);
        self.running.push(Running { ends, ended });
        let answer = json!({"prompt_id": asked.id, "number": number, "node_errors": {}});
        (200, answer.to_string())
    }

    /// Jobs whose time is over have ended, but for those that were stopped.
    pub(super) fn end_due(&mut self, board: &mut Board, now: i64) {
        for over in self.running.extract_if(.., |job| job.ends <= now) {
            if board.in_state("in_progress").contains(&over.ended.id) {
                board.replace(over.ended);
            }
        }
    }

    /// No id of the demo's own jobs, which have a decimal number there.
    fn id(&self) -> String {
        format!("d{:07x}-0000-4000-8000-000000000000", self.taken)
    }

    /// Beyond those of the jobs that were there from the start.
    fn number(&self, board: &Board) -> i64 {
        let known = i64::try_from(board.jobs.len()).unwrap_or(i64::MAX);
        known.saturating_add(self.taken)
    }
}

/// Whether a server takes this id from a client: before 0.25 any text was one (docs/contract.md section 6).
fn takes(rules: Rules, id: &str) -> bool {
    rules == Rules::ComfyuiEarly || (is_uuid(id) && id.bytes().all(|byte| !byte.is_ascii_uppercase()))
}

fn refusal(kind: &str, message: &str) -> Reply {
    let error = json!({"type": kind, "message": message, "details": message, "extra_info": {}});
    (400, json!({"error": error, "node_errors": {}}).to_string())
}

/// What the nodes that save something make: a picture each, by the prefix that they were given.
fn pictures(board: &Board, prompt: &Map<String, Value>, nth: i64) -> Map<String, Value> {
    let saves = |class: &str| {
        let described: Option<Value> = board
            .classes
            .get(class)
            .and_then(|text| serde_json::from_str(text).ok());
        described.is_some_and(|class| class.get("output_node") == Some(&Value::Bool(true)))
    };
    let nodes = prompt
        .iter()
        .filter(|(_, node)| node.get("class_type").and_then(Value::as_str).is_some_and(saves));
    let picture = |(node, asked): (&String, &Value)| {
        let prefix = asked.pointer("/inputs/filename_prefix").and_then(Value::as_str);
        let prefix = prefix.unwrap_or("ComfyUI");
        let (subfolder, name) = file_of(prefix, nth);
        let file = json!({"filename": name, "subfolder": subfolder, "type": "output"});
        (node.clone(), json!({"images": [file]}))
    };
    nodes.map(picture).collect()
}

/// The subfolder and the name of the picture with this number, by the prefix that its node was given.
pub(super) fn file_of(prefix: &str, nth: i64) -> (&str, String) {
    let (subfolder, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    (subfolder, format!("{name}_{nth:05}_.png"))
}

/// What a server keeps of what came with a prompt: all but keys.
fn extra_data(body: &Value, now: i64) -> Value {
    let sent = body.get("extra_data").and_then(Value::as_object);
    let mut kept: Map<String, Value> = sent.cloned().unwrap_or_default();
    kept.retain(|name, _| !name.ends_with("_comfy_org"));
    if let Some(client) = body.get("client_id") {
        kept.insert("client_id".to_owned(), client.clone());
    }
    kept.insert("create_time".to_owned(), json!(now));
    Value::Object(kept)
}

/// `GET /view`: whether a job made the picture that the query names.
pub(super) fn is_made(board: &Board, query: &str) -> bool {
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("filename="));
    let Some(wanted) = wanted.map(|name| percent_decode_str(name).decode_utf8_lossy()) else {
        return false;
    };
    wanted.ends_with(".png") && board.jobs.iter().any(|job| has_made(job, &wanted))
}

fn has_made(job: &Job, name: &str) -> bool {
    let detail: Value = serde_json::from_str(&job.detail).unwrap_or_default();
    let nodes = detail.get("outputs").and_then(Value::as_object).into_iter().flatten();
    let lists = nodes.filter_map(|(_, node)| node.as_object()).flatten();
    let mut files = lists.filter_map(|(_, files)| files.as_array()).flatten();
    files.any(|file| file.get("filename").and_then(Value::as_str) == Some(name))
}
