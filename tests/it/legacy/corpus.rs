//! Every recorded legacy answer, made again from the recorded Jobs API alone.

use crate::support::{
    Client,
    corpus::{Case, cases},
    json::{Difference, Json, differences},
    start,
};
use jobshim::demo::{Options, Simulator};

/// Compares every legacy GET of a case; gives what differs, with the request in front of the path.
async fn replay(case: &Case) -> Vec<Difference> {
    let simulator = Simulator::start(case.board(), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&format!("http://{}", simulator.address()), |_| {}).await;
    let client = Client::new();
    let mut found = Vec::new();
    assert!(!case.legacy.is_empty(), "{}/{} has no requests", case.server, case.name);
    for legacy in &case.legacy {
        let reply = client.get(jobshim.address, &legacy.target).await;
        let head = |path: &str, wanted: &str, given: &str| Difference {
            path: path.to_owned(),
            wanted: wanted.to_owned(),
            given: given.to_owned(),
        };
        let mut differing = Vec::new();
        if reply.status.as_u16() != legacy.status {
            differing.push(head("status", &legacy.status.to_string(), reply.status.as_str()));
        }
        if reply.header("content-type") != legacy.content_type {
            differing.push(head("content-type", &legacy.content_type, reply.header("content-type")));
        }
        let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
        let mut given = Json::parse(&reply.body).unwrap_or_else(|error| panic!("{}: {error}", legacy.target));
        wanted.settle();
        given.settle();
        differing.extend(differences(&wanted, &given));
        found.extend(differing.into_iter().map(|difference| Difference {
            path: format!("{}/{} {} {}", case.server, case.name, legacy.target, difference.path),
            ..difference
        }));
    }
    for seen in simulator.seen() {
        let allowed = ["/api/jobs", "/object_info/", "/api/object_info/"];
        assert!(
            seen.method == "GET" && allowed.iter().any(|path| seen.target.starts_with(path)),
            "the upstream was asked {} {}",
            seen.method,
            seen.target
        );
    }
    found
}

async fn replay_all(server: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    for case in cases(server) {
        found.extend(replay(&case).await);
    }
    found
}

/// A loss of the Jobs API itself: where (the end of a path), and how what the legacy server said and what jobshim can
/// say begin.
pub(super) struct Loss {
    pub(super) case: &'static str,
    pub(super) path: &'static str,
    pub(super) wanted: &'static str,
    pub(super) given: &'static str,
    /// How often, over all requests of the case.
    pub(super) times: usize,
}

/// Every difference must be a listed loss, and every listed loss must still occur, as often as listed.
pub(super) fn assert_losses(found: &[Difference], losses: &[Loss]) {
    let is = |loss: &Loss, found: &Difference| {
        found.path.contains(loss.case)
            && found.path.ends_with(loss.path)
            && found.wanted.starts_with(loss.wanted)
            && found.given.starts_with(loss.given)
    };
    let unlisted: Vec<_> = found
        .iter()
        .filter(|found| !losses.iter().any(|loss| is(loss, found)))
        .collect();
    assert!(unlisted.is_empty(), "not like the recording: {unlisted:#?}");
    for loss in losses {
        let times = found.iter().filter(|found| is(loss, found)).count();
        assert_eq!(
            times, loss.times,
            "the loss {} {} occurs {times} times: {found:#?}",
            loss.case, loss.path
        );
    }
}

/// `null` items inside an output list: gone from the Jobs API of 0.27 and later.
const NULLS_IN_OUTPUTS: [Loss; 2] = [
    Loss {
        case: "/gallery",
        path: ".result",
        wanted: r#"["model_0001.glb", null, null]"#,
        given: r#"["model_0001.glb"]"#,
        times: 5,
    },
    Loss {
        case: "/gallery",
        path: ".value",
        wanted: r#"[1.0, 1e-07, 12345678901234567890, -0.0, true, null, {"nested": [[]]}]"#,
        given: r#"[1.0, 1e-07, 12345678901234567890, -0.0, true, {"nested": [[]]}]"#,
        times: 8,
    },
];

/// Which output nodes a partial execution asked for: nobody saw its `POST /prompt`.
const PARTIAL_EXECUTION: Loss = Loss {
    case: "/gallery",
    path: ".prompt[4]",
    wanted: r#"["8"]"#,
    given: r#"["8", "9"]"#,
    times: 5,
};

/// What a pending or running job was submitted with: its detail has no workflow up to 0.27.
const QUEUED_WORKFLOWS: [Loss; 3] = [
    Loss {
        case: "/busy",
        path: "][2]",
        wanted: r#"{""#,
        given: "{}",
        times: 10,
    },
    Loss {
        case: "/busy",
        path: "][3]",
        wanted: r#"{""#,
        given: r#"{"create_time": "#,
        times: 10,
    },
    Loss {
        case: "/busy",
        path: "][4]",
        wanted: r#"["#,
        given: "[]",
        times: 10,
    },
];

#[tokio::test]
async fn a_later_comfyui_reads_as_recorded_but_for_nulls_in_outputs_and_partial_executions() {
    let [result, value] = NULLS_IN_OUTPUTS;
    assert_losses(&replay_all("comfyui-next").await, &[result, value, PARTIAL_EXECUTION]);
}

#[tokio::test]
async fn comfyui_0_27_reads_as_recorded_but_for_the_workflows_of_queued_jobs_too() {
    let [result, value] = NULLS_IN_OUTPUTS;
    let [prompt, extra_data, nodes] = QUEUED_WORKFLOWS;
    let losses = [result, value, PARTIAL_EXECUTION, prompt, extra_data, nodes];
    assert_losses(&replay_all("comfyui-0.27").await, &losses);
}

#[tokio::test]
async fn comfyui_0_8_keeps_the_nulls_in_outputs() {
    let [prompt, extra_data, nodes] = QUEUED_WORKFLOWS;
    let losses = [PARTIAL_EXECUTION, prompt, extra_data, nodes];
    assert_losses(&replay_all("comfyui-0.8").await, &losses);
}

#[tokio::test]
async fn the_cloud_reads_by_its_contract_but_for_a_partial_execution() {
    let loss = Loss {
        path: ".outputs_to_execute",
        times: 1,
        ..PARTIAL_EXECUTION
    };
    assert_losses(&replay_all("cloud-contract").await, &[loss]);
}
