//! Event streams: what they say in which order, and how they end.

use super::{Api, code, picture, slow, told};
use crate::support::{
    Client,
    raw::raw_request,
    wait::{until, within},
};
use http::Method;
use jobshim::demo::v2::{Options, Simulator};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{io::AsyncReadExt, task::JoinHandle};

/// Reads a stream to its end, beside the test.
async fn listen(simulator: &Simulator, id: &str) -> JoinHandle<Result<String, String>> {
    let before = simulator.open_streams();
    let (at, target): (SocketAddr, _) = (simulator.address(), format!("/api/v2/jobs/{id}/events"));
    let listening = tokio::spawn(async move {
        let reply = Client::new().send(Method::GET, at, &target, &[], "").await?;
        Ok(reply.text())
    });
    until("the stream is open", async || simulator.open_streams() > before).await;
    listening
}

async fn heard(listening: JoinHandle<Result<String, String>>) -> String {
    within("the end of the stream", listening)
        .await
        .expect("no panic")
        .expect("a whole stream")
}

/// Each event in a word or two.
fn outline(stream: &str) -> Vec<String> {
    let frames = stream.split("\n\n").filter(|frame| !frame.is_empty());
    let outline = frames.map(|frame| {
        let (kind, data) = frame.split_once("\ndata: ").expect("an event");
        let data: Value = serde_json::from_str(data).expect("JSON");
        match kind {
            "event: status" => format!("{} {}", data["status"], data["queue_position"]).replace(" null", ""),
            "event: progress" => {
                let (done, total) = (&data["nodes_done"], &data["nodes_total"]);
                let step = format!("{}:{}/{}", data["current_node"], data["step"], data["steps"]);
                format!("{done} of {total} {step}").replace(" null:null/null", "")
            }
            "event: preview" => format!("preview {} {}", data["node_id"], data["content_type"]),
            "event: output" => format!("output {} {}", data["node_id"], data["type"]),
            other => panic!("{other}"),
        }
        .replace('"', "")
    });
    outline.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_all_that_happens_until_the_job_has_ended() {
    let to_the_last_node = [
        "queued 1",
        "running",
        "0 of 0",
        "1 of 3",
        "1 of 3 3:1/2",
        "preview 3 image/jpeg",
        "1 of 3 3:2/2",
        "preview 3 image/jpeg",
        "2 of 3",
    ];
    for (options, ending) in [
        (Options::default(), ["output 9 image", "3 of 3", "succeeded"]),
        (Options::api_proxy(), ["3 of 3", "succeeded", "output 9 image"]),
    ] {
        let api = Api::start(options).await;
        let id = api.submit(&slow(0.2)).await;
        let listening = listen(&api.simulator, &id).await;
        api.simulator.finish_all();
        let stream = heard(listening).await;
        assert_eq!(outline(&stream), [&to_the_last_node[..], &ending].concat(), "{stream}");
        let job = api.job(&id).await;
        assert!(
            stream.contains(job["outputs"][0]["id"].as_str().expect("an id")),
            "{stream}"
        );
        until("the stream is not counted any more", async || {
            api.simulator.open_streams() == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_opened_late_begins_with_what_holds() {
    let api = Api::start(Options::default()).await;
    let id = api.submit(&slow(0.2)).await;
    for _ in 0..3 {
        api.simulator.step();
    }
    let listening = listen(&api.simulator, &id).await;
    let (status, job) = api.post(&format!("/api/v2/jobs/{id}/cancel"), &Value::Null).await;
    assert_eq!((status, &job["status"]), (200, &"canceling".into()));
    assert_eq!(job["progress"]["step"], 1, "{job}");
    api.simulator.step();
    let wanted = ["running", "1 of 3 3:1/2", "canceling", "canceled"];
    assert_eq!(outline(&heard(listening).await), wanted);
    // And once it has ended with its end.
    assert_eq!(outline(&heard(listen_to_ended(&api, &id).await).await), ["canceled"]);
}

async fn listen_to_ended(api: &Api, id: &str) -> JoinHandle<Result<String, String>> {
    let reply = api
        .send(Method::GET, &format!("/api/v2/jobs/{id}/events"), &[], "")
        .await;
    tokio::spawn(async move { Ok(reply.text()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_streams_and_none_where_a_server_has_none() {
    let options = Options {
        max_streams: 2,
        ..Options::default()
    };
    let api = Api::start(options).await;
    let id = api.submit(&picture()).await;
    let target = format!("/api/v2/jobs/{id}/events");
    let listening = [listen(&api.simulator, &id).await, listen(&api.simulator, &id).await];
    let refused = api.send(Method::GET, &target, &[], "").await;
    assert_eq!(refused.header("retry-after"), "5");
    let (status, error) = told(&refused);
    assert_eq!((status, code(&error)), (429, "too_many_streams"));
    api.simulator.finish(&id);
    for listening in listening {
        assert!(heard(listening).await.contains("succeeded"));
    }
    assert_eq!(api.send(Method::GET, &target, &[], "").await.status, 200);
    let (status, error) = api.get("/api/v2/jobs/none/events").await;
    assert_eq!((status, code(&error)), (404, "not_found"));

    let options = Options {
        events: false,
        ..Options::default()
    };
    let api = Api::start(options).await;
    let id = api.submit(&picture()).await;
    let (status, error) = api.get(&format!("/api/v2/jobs/{id}/events")).await;
    assert_eq!((status, code(&error)), (501, "not_implemented"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_says_that_it_is_there_and_a_client_that_goes_is_noticed() {
    let options = Options {
        keepalive: Duration::from_millis(10),
        ..Options::default()
    };
    let api = Api::start(options).await;
    let id = api.submit(&picture()).await;
    let request = format!("GET /api/v2/jobs/{id}/events HTTP/1.1\r\nhost: a\r\n\r\n");
    let (mut stream, head) = raw_request(api.simulator.address(), &request).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(": keepalive\n\n") {
            assert!(stream.read_buf(&mut read).await.expect("bytes") > 0);
        }
    };
    within("a comment", reading).await;
    drop(stream);
    until("the stream is closed", async || api.simulator.open_streams() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_can_be_cut_in_the_middle() {
    let api = Api::start(Options::default()).await;
    let id = api.submit(&picture()).await;
    let listening = listen(&api.simulator, &id).await;
    api.simulator.cut_streams();
    let cut = within("the end of the stream", listening).await.expect("no panic");
    assert!(cut.is_err(), "{cut:?}");
    let listening = listen(&api.simulator, &id).await;
    api.simulator.finish(&id);
    assert!(heard(listening).await.contains("succeeded"));
    // Of a job that is forgotten nothing more is heard.
    let id = api.submit(&picture()).await;
    let listening = listen(&api.simulator, &id).await;
    assert!(api.simulator.forget(&id));
    assert_eq!(outline(&heard(listening).await), ["queued 1"]);
}
