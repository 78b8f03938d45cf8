//! The corpus: recordings of real servers, and a simulated upstream for each.

use jobshim::demo::{Board, Job, Rules};
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, fs, path::Path};

/// One file of the corpus.
pub struct Case {
    pub server: String,
    pub name: String,
    pub jobs: String,
    pub details: BTreeMap<String, String>,
    pub classes: BTreeMap<String, String>,
    pub legacy: Vec<Legacy>,
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
    let legacy = case["legacy"].as_array().expect("a list").iter();
    Case {
        server: server.to_owned(),
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        jobs: string(&case["upstream"]["jobs"]),
        details: texts(&case["upstream"]["details"]),
        classes: texts(&case["upstream"]["object_info"]),
        legacy: legacy
            .map(|answer| Legacy {
                target: string(&answer["request"])
                    .strip_prefix("GET ")
                    .expect("a GET")
                    .to_owned(),
                status: answer["status"]
                    .as_u64()
                    .and_then(|status| u16::try_from(status).ok())
                    .expect("a status"),
                content_type: string(&answer["content_type"]),
                body: string(&answer["body"]),
            })
            .collect(),
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
