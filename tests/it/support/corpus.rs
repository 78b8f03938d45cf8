//! The corpus: recordings of real servers, and a simulated upstream for each.

use jobshim::{
    demo::{Board, Job, Rules},
    mapping::json::members,
};
use serde_json::{Value, json, value::RawValue};
use std::{collections::BTreeMap, fs, path::Path};

/// One file of the corpus.
pub struct Case {
    pub server: String,
    pub name: String,
    pub jobs: String,
    pub details: BTreeMap<String, String>,
    pub classes: BTreeMap<String, String>,
    pub legacy: Vec<Legacy>,
    pub steps: Vec<Step>,
}

/// A legacy write, and what the legacy surface showed before and after it.
pub struct Step {
    pub before: Option<Legacy>,
    pub write: Legacy,
    pub request_body: String,
    pub after: Option<Legacy>,
}

/// What a legacy endpoint answered.
pub struct Legacy {
    pub target: String,
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Every case of one server's folder.
pub fn cases(server: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(server);
    let mut cases: Vec<Case> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| read(server, &entry.expect("an entry").path()))
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!cases.is_empty(), "{server} has no cases");
    cases
}

/// One case.
pub fn case(server: &str, name: &str) -> Case {
    cases(server)
        .into_iter()
        .find(|case| case.name == name)
        .expect("the case")
}

fn read(server: &str, path: &Path) -> Case {
    let text = fs::read_to_string(path).expect("a case");
    let case: Value = serde_json::from_str(&text).expect("JSON");
    let texts = |value: &Value| -> BTreeMap<String, String> {
        let members = value.as_object().expect("an object").iter();
        members
            .map(|(key, value)| (key.clone(), value.as_str().map_or(value.to_string(), str::to_owned)))
            .collect()
    };
    let string = |value: &Value| value.as_str().expect("a text").to_owned();
    let answer = |answer: &Value| Legacy {
        target: string(&answer["request"])
            .split_once(' ')
            .expect("a method and a target")
            .1
            .to_owned(),
        status: answer["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .expect("a status"),
        content_type: string(&answer["content_type"]),
        body: string(&answer["body"]),
    };
    // A step is a write with what was seen around it, or the write alone.
    let step = |step: &Value| {
        let write = step.get("write").unwrap_or(step);
        Step {
            before: step.get("before").map(answer),
            write: answer(write),
            request_body: write["request_body"].to_string(),
            after: step.get("after").map(answer),
        }
    };
    let steps = case.get("steps").and_then(Value::as_array);
    Case {
        server: server.to_owned(),
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        jobs: string(&case["upstream"]["jobs"]),
        details: texts(&case["upstream"]["details"]),
        classes: texts(&case["upstream"]["object_info"]),
        legacy: case["legacy"].as_array().expect("a list").iter().map(answer).collect(),
        steps: steps.into_iter().flatten().map(step).collect(),
    }
}

impl Case {
    /// A simulated upstream's jobs, every text as recorded.
    pub fn board(&self) -> Board {
        let rules = match self.server.as_str() {
            "cloud-contract" => Rules::Cloud,
            "comfyui-0.8" => Rules::ComfyuiEarly,
            _ => Rules::Comfyui,
        };
        let list: BTreeMap<&str, &RawValue> = serde_json::from_str(&self.jobs).expect("a list");
        let entries: Vec<&RawValue> = serde_json::from_str(list["jobs"].get()).expect("jobs");
        let mut board = Board::new(rules);
        board.classes = self.classes.clone();
        for entry in entries {
            let parsed: Value = serde_json::from_str(entry.get()).expect("a job");
            let detail = &self.details[parsed["id"].as_str().expect("an id")];
            board.jobs.push(Job::new(entry.get(), detail).expect("a job"));
        }
        board
    }
}

/// A finished job, told from its recorded history entry.
pub fn finished(id: &str, status: &str, entry: &str) -> Job {
    let parts = parts(entry);
    let items = items(&parts["prompt"]);
    let times: Value = serde_json::from_str(&parts["status"]).expect("a status");
    let messages = times["messages"].as_array().expect("messages");
    let time = |message: Option<&Value>| message.map_or(json!(0), |message| message[1]["timestamp"].clone());
    let extra_data: Value = serde_json::from_str(&items[3]).expect("extra_data");
    let head = format!(
        r#""id": "{id}", "status": "{status}", "priority": {}, "create_time": {}, "execution_start_time": {}, "execution_end_time": {}"#,
        items[0],
        extra_data["create_time"],
        time(messages.first()),
        time(messages.last())
    );
    let detail = format!(
        r#"{{{head}, "outputs": {}, "execution_status": {}, "workflow": {{"prompt": {}, "extra_data": {}}}}}"#,
        parts["outputs"], parts["status"], items[2], items[3]
    );
    Job::new(&format!("{{{head}}}"), &detail).expect("a job")
}

/// The members of an object, as written.
pub fn parts(object: &str) -> BTreeMap<String, String> {
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(object).expect("an object");
    raw.into_iter()
        .map(|(key, value)| (key, value.get().to_owned()))
        .collect()
}

/// The items of a list, as written.
pub fn items(list: &str) -> Vec<String> {
    let raw: Vec<&RawValue> = serde_json::from_str(list).expect("a list");
    raw.into_iter().map(|item| item.get().to_owned()).collect()
}

/// What was submitted for a recorded queue item.
pub fn submission(item: &str) -> String {
    let items = items(item);
    let mut extra_data = Vec::new();
    let mut client_id = String::from("null");
    members(items[3].as_bytes(), |key, value| {
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        match &*key {
            "client_id" => client_id = value.into_owned(),
            "create_time" => {}
            _ => extra_data.push(format!("\"{key}\": {value}")),
        }
    })
    .expect("extra_data");
    format!(
        r#"{{"prompt": {}, "number": {}, "client_id": {client_id}, "extra_data": {{{}}}}}"#,
        items[2],
        items[0],
        extra_data.join(", ")
    )
}
