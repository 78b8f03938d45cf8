//! The demo's jobs: a few of every kind, made up as a later ComfyUI would tell them, or the cloud.

use super::board::{Board, Job, Rules};
use serde_json::{Value, json};

/// What became of a job.
#[derive(Clone, Copy)]
enum Outcome {
    Image,
    Video,
    Expanded,
    Failed,
    Cancelled,
}

/// The id of the `nth` job; the same in every run, so that printed curl lines can be copied.
pub fn id(nth: i64) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// What a job is known by, and what it was asked to do.
pub(super) struct Asked {
    pub id: String,
    pub number: i64,
    pub created: i64,
    /// The prompt and what was sent with it.
    pub workflow: Value,
}

/// How a job ended.
struct Ending {
    status: &'static str,
    started: i64,
    ended: i64,
    outputs: Value,
    /// The last of the messages.
    event: &'static str,
    message: Value,
    error: bool,
}

impl Asked {
    /// The demo's own `nth` job.
    fn nth(nth: i64, created: i64) -> Self {
        let workflow = json!({
            "prompt": {
                "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": nth}},
                "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "demo"}},
            },
            "extra_data": {"client_id": "demo", "create_time": created},
        });
        Self {
            id: id(nth),
            number: nth,
            created,
            workflow,
        }
    }

    fn told(&self, status: &str, more: &[(&str, Value)], detail_only: &[(&str, Value)]) -> Option<Job> {
        let mut entry = json!({"id": self.id, "status": status, "priority": self.number, "create_time": self.created});
        let fields = entry.as_object_mut()?;
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let entry_text = entry.to_string();
        let fields = entry.as_object_mut()?;
        fields.extend(
            detail_only
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        fields.insert("workflow".to_owned(), self.workflow.clone());
        Job::new(&entry_text, &entry.to_string())
    }

    /// While it waits or runs.
    pub(super) fn queued(&self, status: &str) -> Option<Job> {
        self.told(status, &[("outputs_count", json!(0))], &[])
    }

    /// Once it has made `outputs`.
    pub(super) fn completed(&self, started: i64, ended: i64, outputs: Value) -> Option<Job> {
        self.ended(Ending {
            status: "completed",
            started,
            ended,
            outputs,
            event: "execution_success",
            message: json!({"prompt_id": self.id, "timestamp": ended}),
            error: false,
        })
    }

    fn ended(&self, ending: Ending) -> Option<Job> {
        let id = &self.id;
        let Ending {
            status,
            started,
            ended,
            outputs,
            ..
        } = ending;
        let mut more = vec![
            ("execution_start_time", json!(started)),
            ("execution_end_time", json!(ended)),
            (
                "outputs_count",
                json!(outputs.as_object().map_or(0, |outputs| outputs.len())),
            ),
        ];
        if ending.error {
            more.push(("execution_error", ending.message.clone()));
        }
        let success = status == "completed";
        let state = json!({
            "status_str": if success { "success" } else { "error" },
            "completed": success,
            "messages": [
                ["execution_start", {"prompt_id": id, "timestamp": started}],
                ["execution_cached", {"nodes": [], "prompt_id": id, "timestamp": started}],
                [ending.event, ending.message],
            ],
        });
        self.told(status, &more, &[("outputs", outputs), ("execution_status", state)])
    }
}

fn finished(nth: i64, created: i64, outcome: Outcome) -> Option<Job> {
    let (started, ended) = (created + 20, created + 1_500);
    let asked = Asked::nth(nth, created);
    let file =
        |name: &str, kind: &str| json!({"filename": format!("demo_{nth:05}_.{name}"), "subfolder": "", "type": kind});
    let outputs = match outcome {
        Outcome::Image => json!({"9": {"images": [file("png", "output")]}}),
        Outcome::Video => json!({"9": {"gifs": [file("mp4", "output")], "text": ["a clip"]}}),
        Outcome::Expanded => {
            json!({"5.0.0.2": {"images": [file("png", "temp")]}, "9": {"images": [file("png", "output")]}})
        }
        Outcome::Failed => {
            return asked.ended(Ending {
                status: "failed",
                started,
                ended,
                outputs: json!({}),
                event: "execution_error",
                message: json!({
                    "prompt_id": asked.id, "node_id": "9", "node_type": "SaveImage", "executed": ["1"],
                    "exception_message": "no space left on device\n", "exception_type": "OSError",
                    "traceback": ["  File \"nodes.py\", line 1, in save_images\n"], "current_inputs": {},
                    "current_outputs": ["9"], "timestamp": ended,
                }),
                error: true,
            });
        }
        Outcome::Cancelled => {
            return asked.ended(Ending {
                status: "cancelled",
                started,
                ended,
                outputs: json!({}),
                event: "execution_interrupted",
                message: json!({"prompt_id": asked.id, "timestamp": ended}),
                error: false,
            });
        }
    };
    asked.completed(started, ended, outputs)
}

fn queued(nth: i64, created: i64) -> Option<Job> {
    Asked::nth(nth, created).queued("pending")
}

fn running(nth: i64, created: i64) -> Option<Job> {
    Asked::nth(nth, created).queued("in_progress")
}

/// The same job as a server with `rules` tells it.
pub(super) fn told_by(rules: Rules, job: Job) -> Option<Job> {
    if rules != Rules::Cloud {
        return Some(job);
    }
    let (mut entry, mut detail): (Value, Value) = (
        serde_json::from_str(&job.entry).ok()?,
        serde_json::from_str(&job.detail).ok()?,
    );
    entry.as_object_mut()?.remove("priority");
    let members = detail.as_object_mut()?;
    members.remove("priority");
    members.remove("execution_start_time");
    let changed = members.remove("execution_end_time");
    let changed = changed.or_else(|| members.get("create_time").cloned());
    members.insert("update_time".to_owned(), changed.unwrap_or_default());
    if let Some(outputs) = members.get("outputs").and_then(Value::as_object) {
        let meta = outputs.keys().map(|node| {
            let parent = node.split_once('.').map(|(parent, _)| parent);
            let shown = parent.unwrap_or(node);
            let about = json!({"node_id": node, "display_node": shown, "parent_node": parent, "real_node_id": shown});
            (node.clone(), about)
        });
        let meta = Value::Object(meta.collect());
        members.insert("execution_meta".to_owned(), meta);
    }
    Job::new(&entry.to_string(), &detail.to_string())
}

/// Six finished jobs of a self-hosted server, one running, three pending. `now` is in ms.
pub fn board(now: i64) -> Board {
    board_of(Rules::Comfyui, now)
}

/// The same of a server with `rules`.
pub fn board_of(rules: Rules, now: i64) -> Board {
    let mut board = Board::new(rules);
    let outcomes = [
        Outcome::Image,
        Outcome::Failed,
        Outcome::Video,
        Outcome::Cancelled,
        Outcome::Expanded,
        Outcome::Image,
    ];
    for (nth, outcome) in (1..).zip(outcomes) {
        board.jobs.extend(finished(nth, now - 60_000 + nth * 2_000, outcome));
    }
    board.jobs.extend(running(7, now - 3_000));
    for nth in 8..=10 {
        board.jobs.extend(queued(nth, now - 2_000 + nth));
    }
    board.jobs.reverse();
    board.jobs = board.jobs.into_iter().filter_map(|job| told_by(rules, job)).collect();
    for (class, output) in [("EmptyImage", false), ("SaveImage", true)] {
        let description = json!({"name": class, "output_node": output}).to_string();
        board.classes.insert(class.to_owned(), description);
    }
    board
}

/// One step on: the running job ends, the oldest pending one starts, another one is queued.
pub fn advance(board: &mut Board, now: i64) {
    let rules = board.rules;
    let number = |id: &String| id.get(..8).and_then(|digits| digits.parse::<i64>().ok());
    for nth in board.in_state("in_progress").iter().filter_map(number) {
        finished(nth, now - 1_600, Outcome::Image)
            .and_then(|job| told_by(rules, job))
            .into_iter()
            .for_each(|job| board.replace(job));
    }
    if let Some(nth) = board.in_state("pending").last().and_then(number) {
        running(nth, now)
            .and_then(|job| told_by(rules, job))
            .into_iter()
            .for_each(|job| board.replace(job));
    }
    let newest = board.jobs.iter().filter_map(|job| number(&job.id)).max().unwrap_or(0);
    if let Some(job) = queued(newest + 1, now).and_then(|job| told_by(rules, job)) {
        board.add(job);
    }
}
