//! What the demo says at its start.

use super::simulated::Simulated;
use crate::demo::Rules;
use std::{fmt::Write as _, net::SocketAddr};

/// What there is to see, and lines to copy: all of it can be pasted into a shell.
pub(super) fn welcome(proxy: SocketAddr, page: Option<SocketAddr>, simulated: &Simulated) -> String {
    let (done, waiting) = Simulated::named();
    let upstream = simulated.address();
    let (server, alone) = match simulated {
        Simulated::JobsApi(_, Rules::Cloud) => (
            "a simulated Comfy Cloud, which speaks only the Jobs API",
            "/api/history",
        ),
        Simulated::JobsApi(..) => ("a simulated ComfyUI, which speaks only the Jobs API", "/history"),
        Simulated::V2(_) => ("a simulated deployment, which speaks only Comfy API v2", "/history"),
    };
    let (runs, (passes, passing)) = match simulated {
        Simulated::JobsApi(..) => (
            "runs for a second",
            (
                "everything else passes through: this is the new API itself",
                format!("curl http://{proxy}/api/jobs"),
            ),
        ),
        Simulated::V2(_) => (
            "waits for its turn",
            (
                "what the server has nothing for is a 501 that says what to use",
                format!("curl -i http://{proxy}/object_info"),
            ),
        ),
    };
    let mut text = String::new();
    let page = page.map(|page| (format!("http://{page}/"), "who calls what: open it in a browser"));
    let proxied = (format!("http://{proxy}"), "jobshim, which old clients talk to");
    let behind = (format!("http://{upstream}"), server);
    let places: Vec<(String, &str)> = page.into_iter().chain([proxied, behind]).collect();
    let width = places.iter().map(|(url, _)| url.len()).max().unwrap_or(0);
    for (url, what) in places {
        let _ = writeln!(text, "# {url:<width$}  {what}");
    }
    let _ = writeln!(
        text,
        "#\n# What you submit {runs} and saves a picture: the scripts in examples/ do that.\n\
         # The queue moves on every {} seconds. Try, in another terminal:",
        simulated.step().as_secs()
    );
    for (what, command) in [
        (
            "what runs and what waits, as old clients read it",
            format!("curl http://{proxy}/queue"),
        ),
        (
            "finished jobs, oldest finished first",
            format!("curl http://{proxy}/history"),
        ),
        ("the newest two", format!("curl \"http://{proxy}/history?max_items=2\"")),
        (
            "one finished job: outputs, status, prompt",
            format!("curl http://{proxy}/history/{done}"),
        ),
        (
            "{} until that job has finished, then its entry",
            format!("curl http://{proxy}/history/{waiting}"),
        ),
        (
            "the same jobs as the cloud's old endpoint showed them",
            format!("curl http://{proxy}/api/history_v2"),
        ),
        (
            "takes that job out of the queue",
            format!("curl -d '{{\"delete\": [\"{waiting}\"]}}' http://{proxy}/queue"),
        ),
        (
            "hides the finished jobs: this server cannot forget them",
            format!("curl -d '{{\"clear\": true}}' http://{proxy}/history"),
        ),
        (passes, passing),
        ("the server alone: 404", format!("curl -i http://{upstream}{alone}")),
    ] {
        let _ = writeln!(text, "\n# {what}\n{command}");
    }
    text.push_str("\n# Ctrl-C ends it.\n");
    text
}
