//! The code in the guide for people who move theirs: what stands after says the same as what stood before.

#![cfg(unix)]

use crate::support::{browser::Browser, program::run, start_with};
use jobshim::{
    config::{Options as Settings, settings::UPSTREAM},
    demo::{Options, Simulator, jobs, now},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

/// A finished job of the demo's server.
const DONE: &str = "00000001-0000-4000-8000-000000000000";
/// One that waits.
const WAITING: &str = "00000010-0000-4000-8000-000000000000";

/// Runs each block's two halves and says which names have one value after both. Of the library that the blocks use it has
/// as much as they use.
const PYTHON: &str = r##"
import json, sys, time, urllib.parse, urllib.request

class Reply:
    def __init__(self, text): self.text = text
    def json(self): return json.loads(self.text)

class requests:
    def get(url, params=None):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        return Reply(urllib.request.urlopen(url + query, timeout=60).read())
    def post(url, json=None, dumps=json.dumps):
        body = dumps(json or {}).encode()
        return Reply(urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60).read())

server, prompt_id, other_id = sys.argv[1:4]
said = {}
for block in sys.stdin.read().split("```python\n")[1:]:
    before, after = block.split("```")[0].split("# after")
    halves = []
    for half in (before, "#" + after):
        names = dict(requests=requests, time=time, server=server, prompt_id=prompt_id, other_id=other_id)
        exec(half, names)
        halves.append(names)
    for name in ("outputs", "failed", "running", "pending"):
        if name in halves[0]: said[name] = halves[0][name] == halves[1][name]
    if "details" in halves[1]: said["history"] = set(halves[0]["history"]) == {job["id"] for job in halves[1]["details"]}
json.dump(said, sys.stdout)
"##;

async fn demo() -> (Simulator, crate::support::Running) {
    let simulator = Simulator::start(jobs::board(now()), Options::default());
    let simulator = simulator.await.expect("a simulator");
    let jobshim = start_with(Settings::default().with(&UPSTREAM.url.key, simulator.url())).await;
    (simulator, jobshim)
}

fn waits(simulator: &Simulator) -> bool {
    let pending = simulator.with_board(|board| board.in_state("pending"));
    pending.iter().any(|id| id == WAITING)
}

fn guide() -> String {
    String::from_utf8(run(&["mapping", "--format", "markdown"], &[]).stdout).expect("the guide")
}

fn python(address: SocketAddr) -> Value {
    let server = format!("http://{address}");
    let mut child = Command::new("python3")
        .args(["-c", PYTHON, &server, DONE, WAITING])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(guide().as_bytes()).expect("the guide is read");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    serde_json::from_slice(&output.stdout).expect("what the blocks said")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_before_and_after_says_the_same() {
    let (simulator, jobshim) = demo().await;
    assert!(waits(&simulator));
    let address = jobshim.address;
    let said = tokio::task::spawn_blocking(move || python(address)).await;
    let all = json!({"outputs": true, "failed": true, "running": true, "pending": true, "history": true});
    assert_eq!(said.expect("an end"), all);
    assert!(!waits(&simulator), "the last block takes it out");
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_before_and_after_says_the_same() {
    let Some(browser) = Browser::open().await else { return };
    let (_simulator, jobshim) = demo().await;
    let server = format!("http://{}", jobshim.address);
    browser.go(&format!("{server}/queue")).await;
    let guide = guide();
    let blocks = guide.split("```javascript\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|block| block.split("```").next()).collect();
    let mut said = Vec::new();
    for block in &blocks {
        let (before, after) = block.split_once("// after").expect("two halves");
        for half in [before, &format!("//{after}")] {
            let names = ["outputs", "queue_running", "running", "history", "details"]
                .map(|name| format!("typeof {name} === 'undefined' ? null : {name}"))
                .join(", ");
            let script = format!(
                "const server = '{server}', promptId = '{DONE}'; return (async () => {{ {half}\nreturn [{names}]; }})()"
            );
            said.push(browser.run(&script).await);
        }
    }
    assert_eq!(said.len(), 8, "{said:#?}");
    assert!(said[0][0].is_object(), "{said:#?}");
    assert_eq!(said[0][0], said[1][0], "the outputs");
    assert_eq!(said[2][1][0][1], said[3][2][0]["id"], "what runs");
    let before: BTreeSet<&str> = said[4][3]
        .as_object()
        .expect("entries")
        .keys()
        .map(String::as_str)
        .collect();
    let details = said[5][4].as_array().expect("jobs").iter();
    let after: BTreeSet<&str> = details.map(|job| job["id"].as_str().expect("an id")).collect();
    assert_eq!(before, after, "the last jobs");
    assert!(said[5][4][0]["outputs"].is_object(), "{said:#?}");
}

#[test]
fn every_state_has_its_word_in_each_endpoint_and_cells_are_english() {
    let guide = guide();
    let row = |state: &str| {
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| `{state}` | in ")));
        row.unwrap_or_else(|| panic!("{state}: {guide}"))
    };
    for (state, word) in [
        ("pending", "queued_waiting"),
        ("in_progress", "executing"),
        ("completed", "success"),
        ("failed", "error"),
        ("cancelled", "cancelled"),
    ] {
        assert!(row(state).ends_with(&format!(" | `{word}` |")), "{}", row(state));
    }
    assert!(!guide.contains(" a object"), "{guide}");
    assert!(guide.contains(" where it is an object"), "{guide}");
}
