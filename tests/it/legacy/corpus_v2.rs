//! What a server of Comfy API v2 was recorded to say, told as the ComfyUI behind it told it at the same moment.

use super::corpus::{Loss, assert_losses};
use crate::support::{
    Client, Reply, Running,
    corpus::{items, parts},
    json::{Difference, Json, differences},
    start,
    upstream::{Arrived, Scripted, TestBody, reply},
};
use http::{Method, Response};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

const JSON: [(&str, &str); 1] = [("content-type", "application/json; charset=utf-8")];

/// The recording, as a server: it takes prompts by their workflows, and a cancel changes what it says.
struct Recorded {
    says: Value,
    cancelled: BTreeSet<String>,
}

impl Recorded {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/comfy-v2/jobs.json");
        let text = fs::read_to_string(path).expect("the recording");
        Self {
            says: serde_json::from_str(&text).expect("JSON"),
            cancelled: BTreeSet::new(),
        }
    }

    fn answer(&mut self, arrived: &Arrived) -> Response<TestBody> {
        let says = |answer: &Value| {
            let status = answer["status"].as_u64().expect("a status");
            let body = answer["body"].as_str().expect("a body").to_owned();
            reply(u16::try_from(status).expect("a status"), &JSON, body)
        };
        let Some(path) = arrived.path().strip_prefix("/api/v2/jobs") else {
            return reply(404, &[], "404: Not Found");
        };
        if path.is_empty() {
            if arrived.method == Method::GET {
                return reply(405, &[("allow", "POST")], "405: Method Not Allowed");
            }
            let sent: Value = serde_json::from_slice(&arrived.body).expect("JSON");
            assert_eq!(
                sent.as_object().expect("an object").len(),
                1,
                "the workflow alone: {sent}"
            );
            let mut submits = self.says["submit"].as_array().expect("submissions").iter();
            let submitted = submits.find(|submit| submit["request_body"] == sent);
            return says(submitted.expect("a recorded workflow"));
        }
        let (id, call) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let job = &self.says["jobs"][id];
        let busy = ["running", "queued"].map(|word| &self.says["busy"][word]);
        match call {
            "" if !job.is_null() => says(&job["detail"]),
            "" if self.cancelled.contains(id) => says(&self.says["cancelled"][id]["detail"]),
            "" => match busy
                .iter()
                .find(|answer| answer["request"].as_str().expect("a request").ends_with(id))
            {
                Some(answer) => says(answer),
                None => {
                    let error =
                        json!({"error": {"code": "not_found", "message": format!("No job {id}."), "details": null}});
                    reply(404, &JSON, error.to_string())
                }
            },
            "workflow" if !job.is_null() => says(&job["workflow"]),
            "workflow" => {
                // As it stands in the queue, in the order in which it was sent.
                let queue = parts(self.says["busy"]["legacy"]["body"].as_str().expect("a body"));
                let jobs = queue.values().flat_map(|list| items(list)).map(|item| items(&item));
                let job = jobs.into_iter().find(|job| job[1].contains(id)).expect("a queued job");
                reply(200, &JSON, format!(r#"{{"workflow": {}, "format": "api"}}"#, job[2]))
            }
            "cancel" => {
                self.cancelled.insert(id.to_owned());
                let mut cancels = self.says["cancel"].as_array().expect("cancels").iter();
                says(
                    cancels
                        .find(|cancel| cancel["request"].as_str().expect("a request").contains(id))
                        .expect("a cancel"),
                )
            }
            other => panic!("nobody asks for {other}"),
        }
    }
}

/// Submits the recorded prompt whose legacy entry or item is `entry`, as its client would have.
async fn submit(client: &Client, at: SocketAddr, entry: &Value) -> Reply {
    let body = json!({"prompt": entry[2], "number": entry[0], "client_id": entry[3]["client_id"]});
    let answer = client
        .send(Method::POST, at, "/prompt", &[], body.to_string())
        .await
        .expect("an answer");
    let said = json!({"prompt_id": entry[1], "number": entry[0], "node_errors": {}});
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, written(&said)),
        "{}",
        answer.text()
    );
    answer
}

/// As the table writes it: in this order.
fn written(said: &Value) -> String {
    format!(
        r#"{{"prompt_id": {}, "number": {}, "node_errors": {{}}}}"#,
        said["prompt_id"], said["number"]
    )
}

async fn recorded() -> (Scripted<Recorded>, Running, Client) {
    let server = Scripted::with_state(Recorded::read(), Recorded::answer).await;
    let jobshim = start(&server.url(), |_| {}).await;
    (server, jobshim, Client::new())
}

fn compared(what: &str, wanted: &str, given: &Reply) -> Vec<Difference> {
    assert_eq!(given.status, 200, "{what}: {}", given.text());
    let mut wanted = Json::parse(wanted.as_bytes()).expect("a recorded body");
    let mut given = Json::parse(&given.body).unwrap_or_else(|error| panic!("{what}: {error}"));
    wanted.settle();
    given.settle();
    let found = differences(&wanted, &given).into_iter();
    found
        .map(|found| Difference {
            path: format!("{what} {}", found.path),
            ..found
        })
        .collect()
}

/// The moment of the submission is that of comfy-api-proxy, which once was the same.
const SUBMITTED: Loss = Loss {
    case: "/history",
    path: ".prompt[3].create_time",
    wanted: "1795843",
    given: "1795843",
    times: 6,
};

/// What was found in a cache is not told, nor when a job started and ended.
const MESSAGES: Loss = Loss {
    case: "/history",
    path: ".status.messages",
    wanted: r#"[["execution_start", {"prompt_id": ""#,
    given: r#"[["execution_start", {"prompt_id": ""#,
    times: 7,
};

/// Node classes are not described: the nodes to execute are those with outputs.
const NODES: Loss = Loss {
    case: "/history",
    path: ".prompt[4]",
    wanted: r#"["9"]"#,
    given: "[",
    times: 2,
};

/// Texts that are no files are not told, nor what a node said of a file beside its name.
const TEXTS: Loss = Loss {
    case: "/history/288fe599",
    path: ".outputs.6",
    wanted: r#"{"text": ["hello", "é世"], "gifs": [{"filename": "a.mp4", "subfolder": "", "type": "output", "format""#,
    given: r#"{"gifs": [{"filename": "a.mp4", "subfolder": "", "type": "output"}]}"#,
    times: 1,
};

/// The folder of a file whose node has no `filename_prefix`.
const FOLDER: Loss = Loss {
    case: "/history/2bc6e12c",
    path: ".outputs.6.audio[0].subfolder",
    wanted: r#""audio""#,
    given: r#""""#,
    times: 1,
};

#[tokio::test]
async fn comfy_api_v2_reads_as_recorded_but_for_what_it_does_not_tell() {
    let (server, jobshim, client) = recorded().await;
    let jobs = server.with(|recorded| recorded.says["jobs"].clone());
    let jobs = jobs.as_object().expect("jobs");
    let mut found = Vec::new();
    for (id, job) in jobs {
        let body = job["legacy"]["body"].as_str().expect("a body");
        let legacy: Value = serde_json::from_str(body).expect("JSON");
        submit(&client, jobshim.address, &legacy[id]["prompt"]).await;
        let target = format!("/history/{id}");
        let answer = client.get(jobshim.address, &target).await;
        found.extend(compared(&target, body, &answer));
    }
    assert_losses(&found, &[SUBMITTED, MESSAGES, NODES, TEXTS, FOLDER]);
    let failed = client
        .get(jobshim.address, "/history/51c92393-aab0-4d06-9386-8e90f0d78130")
        .await
        .text();
    let error = r#"["execution_error", {"prompt_id": "51c92393-aab0-4d06-9386-8e90f0d78130", "node_id": "4", "node_type": "LabFail", "executed": [], "exception_message": "boom \u00e9\n", "exception_type": "", "traceback": [], "timestamp": 1795843020862}]"#;
    assert!(failed.contains(error), "{failed}");
    let all = client.get(jobshim.address, "/history").await;
    let all: Value = serde_json::from_slice(&all.body).expect("JSON");
    assert_eq!(all.as_object().expect("an object").len(), jobs.len(), "{all}");
    let asked = server.take();
    client.get(jobshim.address, "/history").await;
    let again = server.take();
    assert!(
        again.is_empty(),
        "what has ended is not asked for again: {again:#?} after {} calls",
        asked.len()
    );
}

#[tokio::test]
async fn the_queue_and_cancels_of_comfy_api_v2_are_as_recorded() {
    let (server, jobshim, client) = recorded().await;
    let body = server.with(|recorded| {
        recorded.says["busy"]["legacy"]["body"]
            .as_str()
            .expect("a body")
            .to_owned()
    });
    let queue: Value = serde_json::from_str(&body).expect("JSON");
    for list in ["queue_running", "queue_pending"] {
        submit(&client, jobshim.address, &queue[list][0]).await;
    }
    let answer = client.get(jobshim.address, "/queue").await;
    let found = compared("/queue", &body, &answer);
    let of_queue = |loss: Loss, path| Loss {
        case: "/queue",
        path,
        times: 2,
        ..loss
    };
    let losses = [of_queue(SUBMITTED, "[3].create_time"), of_queue(NODES, "[0][4]")];
    assert_losses(&found, &losses);
    let [running, queued] = ["queue_running", "queue_pending"].map(|list| queue[list][0][1].as_str().expect("an id"));
    let delete = json!({"delete": [queued]}).to_string();
    for (target, body) in [("/queue", delete.as_str()), ("/interrupt", "")] {
        let answer = client
            .send(Method::POST, jobshim.address, target, &[], body.to_owned())
            .await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""), "{target}");
    }
    let cancels: Vec<String> = server
        .all()
        .into_iter()
        .filter(|one| one.path().ends_with("/cancel"))
        .map(|one| one.target)
        .collect();
    assert_eq!(cancels, [queued, running].map(|id| format!("/api/v2/jobs/{id}/cancel")));
    let empty = client.get(jobshim.address, "/queue").await.text();
    assert_eq!(empty, r#"{"queue_running": [], "queue_pending": []}"#);
    let wanted = server.with(|recorded| {
        recorded.says["cancelled"][running]["legacy"]
            .as_str()
            .expect("a body")
            .to_owned()
    });
    let given = client.get(jobshim.address, &format!("/history/{running}")).await;
    let found = compared("/history/{id}", &wanted, &given);
    let losses = [SUBMITTED, MESSAGES, NODES].map(|loss| Loss { times: 1, ..loss });
    assert_losses(&found, &losses);
    // It waited, and is not in the history.
    assert_eq!(
        client.get(jobshim.address, &format!("/history/{queued}")).await.text(),
        "{}"
    );
    let all = client.get(jobshim.address, "/history").await.text();
    assert!(all.contains(running) && !all.contains(queued), "{all}");
}
