//! `POST /api/v2/jobs`: what is refused, and what becomes of the rest.

use super::{
    assets::Assets,
    job::{Job, Status},
    jobs::{Ids, Jobs},
    options::{Options, Variant},
    script::{Counter, Invalid, ServerFacts, compile},
};
use serde_json::{Map, Value, json, value::RawValue};
use std::collections::{BTreeMap, VecDeque};

/// The longest `Idempotency-Key`, and how many are remembered.
const MAX_KEY_LENGTH: usize = 255;
const MAX_KEYS: usize = 10_000;

/// All that the server has: what a restart forgets.
pub(super) struct State {
    pub jobs: Jobs,
    pub assets: Assets,
    counter: Counter,
    /// Used idempotency keys, each of its owner.
    keys: VecDeque<(String, String)>,
}

/// Why something is refused.
pub(super) struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub details: Value,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Value::Null,
        }
    }
}

type Members<'b> = BTreeMap<String, &'b RawValue>;

impl State {
    pub(super) fn new(seed: i64) -> Self {
        Self {
            jobs: Jobs::new(Ids::new(seed)),
            assets: Assets::default(),
            counter: Counter::default(),
            keys: VecDeque::new(),
        }
    }

    /// Forgets everything. Ids are not used again.
    pub(super) fn forget(&mut self) {
        self.jobs.clear();
        self.assets = Assets::default();
        self.counter = Counter::default();
        self.keys.clear();
    }

    /// Queues what was submitted, and gives its id; `now` in µs.
    pub(super) fn submit(
        &mut self,
        options: &Options,
        owner: &str,
        key: Option<&str>,
        body: &[u8],
        now: i64,
    ) -> Result<String, Refusal> {
        let asked = read(options, body)?;
        let (workflow, text) = self.resolve(owner, asked)?;
        self.claim(owner, key)?;
        let queued = self.queue(options, owner, &workflow, text, now);
        // What is refused for sure has made no job, and may be sent again under the same key.
        if queued.is_err() && key.is_some() {
            self.keys.pop_back();
        }
        queued
    }

    fn queue(
        &mut self,
        options: &Options,
        owner: &str,
        workflow: &Map<String, Value>,
        text: String,
        now: i64,
    ) -> Result<String, Refusal> {
        if self.jobs.in_state(Status::Queued).len() >= options.max_queued {
            return Err(Refusal::new(429, "queue_full", "The queue is full; try again later."));
        }
        let around = ServerFacts {
            classes: &options.classes,
            has_file: &|name| self.assets.has_file(owner, name),
        };
        let script = compile(workflow, &around, &mut self.counter).map_err(|invalid| told(options, invalid))?;
        let id = self.jobs.ids.uuid();
        let job = Job::new(id.clone(), owner.to_owned(), text, script, options.variant, now);
        self.jobs.add(job);
        Ok(id)
    }

    /// The graph that runs: references to assets are the names of their files. Without any, its text stays as it was sent.
    fn resolve(&self, owner: &str, asked: &RawValue) -> Result<(Map<String, Value>, String), Refusal> {
        let mut workflow: Map<String, Value> = serde_json::from_str(asked.get()).map_err(|_| no_workflow())?;
        if workflow.get("nodes").is_some_and(Value::is_array) && workflow.contains_key("links") {
            let reason = "This is a UI-export graph. Export the workflow in API format instead.";
            return Err(Refusal::new(422, "workflow_format_ui", reason));
        }
        let (mut found, mut missing) = (false, Vec::new());
        for node in workflow.values_mut() {
            found |= self.resolve_in(owner, node, &mut missing);
        }
        if !missing.is_empty() {
            let reason = format!("Unresolvable core/ASSET reference(s): {}", missing.join(", "));
            return Err(Refusal {
                details: json!({"missing_ids": missing}),
                ..Refusal::new(422, "missing_asset", reason)
            });
        }
        let text = match found {
            true => json!(workflow).to_string(),
            false => asked.get().to_owned(),
        };
        Ok((workflow, text))
    }

    /// Whether there was a reference. The depth is limited by what serde_json reads.
    fn resolve_in(&self, owner: &str, value: &mut Value, missing: &mut Vec<String>) -> bool {
        if value.get("__type").and_then(Value::as_str) == Some("core/ASSET") {
            let id = value.pointer("/info/id").and_then(Value::as_str);
            match id.and_then(|id| self.assets.get(owner, id)) {
                Some(asset) => *value = json!(asset.file_path),
                None => missing.push(id.unwrap_or("<no id>").to_owned()),
            }
            return true;
        }
        let mut found = false;
        match value {
            Value::Object(members) => {
                for inner in members.values_mut() {
                    found |= self.resolve_in(owner, inner, missing);
                }
            }
            Value::Array(items) => {
                for inner in items {
                    found |= self.resolve_in(owner, inner, missing);
                }
            }
            _ => {}
        }
        found
    }

    /// A key is used once.
    fn claim(&mut self, owner: &str, key: Option<&str>) -> Result<(), Refusal> {
        let Some(key) = key else {
            return Ok(());
        };
        if key.is_empty() || key.len() > MAX_KEY_LENGTH {
            let reason = format!("Idempotency-Key must be 1-{MAX_KEY_LENGTH} characters.");
            return Err(Refusal::new(400, "invalid_request", reason));
        }
        if self.keys.iter().any(|(of, used)| of == owner && used == key) {
            let reason = "This Idempotency-Key has already been used. Keys are single-use.";
            return Err(Refusal::new(422, "idempotency_key_reuse", reason));
        }
        if self.keys.len() >= MAX_KEYS {
            self.keys.pop_front();
        }
        self.keys.push_back((owner.to_owned(), key.to_owned()));
        Ok(())
    }
}

fn no_workflow() -> Refusal {
    Refusal::new(422, "invalid_workflow", "Missing 'workflow' (API-format graph).")
}

/// The workflow of a body that has nothing which is not accepted.
fn read<'b>(options: &Options, body: &'b [u8]) -> Result<&'b RawValue, Refusal> {
    let invalid = |reason: &str| Refusal::new(400, "invalid_request", reason);
    let members: Members<'_> = serde_json::from_slice(body).map_err(|_| invalid("Body must be JSON."))?;
    let given = |name: &str| members.get(name).filter(|value| value.get() != "null");
    if given("webhook_url").is_some() || given("inputs").is_some() {
        let reason = "'webhook_url' and 'inputs' are reserved and not accepted.";
        return Err(Refusal::new(422, "invalid_workflow", reason));
    }
    let accepted: &[&str] = match options.variant {
        Variant::Deployment => &["workflow", "extra_data", "webhook_url", "inputs"],
        Variant::ApiProxy => &[
            "workflow",
            "extra_data",
            "webhook_url",
            "inputs",
            "metadata",
            "priority",
        ],
    };
    if let Some(other) = members.keys().find(|name| !accepted.contains(&name.as_str())) {
        return Err(invalid(&format!("'{other}' is not accepted.")));
    }
    let workflow = given("workflow").filter(|workflow| workflow.get().starts_with('{'));
    let workflow = workflow.ok_or_else(no_workflow)?;
    if let Some(extra_data) = given("extra_data") {
        let closed = || invalid("'extra_data' accepts only the 'api_key_comfy_org' field.");
        let members: Map<String, Value> = serde_json::from_str(extra_data.get()).map_err(|_| closed())?;
        if members.keys().any(|name| name != "api_key_comfy_org") {
            return Err(closed());
        }
        if members.values().any(|value| !value.is_string()) {
            return Err(invalid("'extra_data.api_key_comfy_org' must be a string."));
        }
    }
    Ok(workflow)
}

fn told(options: &Options, invalid: Invalid) -> Refusal {
    let short = |(node, error): (String, Value)| {
        let reasons = error.get("errors").and_then(Value::as_array).into_iter().flatten();
        let reasons = reasons.map(|reason| {
            let missing = reason.get("type").and_then(Value::as_str) == Some("required_input_missing");
            let why = if missing { "missing_input" } else { "invalid_value" };
            json!({"field": reason.pointer("/extra_info/input_name"), "reason": why})
        });
        (node, Value::Array(reasons.collect()))
    };
    let node_errors = match options.short_node_errors {
        true => invalid.node_errors.into_iter().map(short).collect(),
        false => invalid.node_errors,
    };
    Refusal {
        details: json!({"node_errors": node_errors}),
        ..Refusal::new(422, "invalid_workflow", invalid.message)
    }
}
