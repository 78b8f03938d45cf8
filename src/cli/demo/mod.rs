//! `jobshim demo`: a small simulated upstream and the proxy in one process.

use super::output;
use crate::{
    admin::Admin,
    config::{self, DialectChoice, settings::UPSTREAM},
    demo::{Options, Rules, Simulator, jobs, now},
    proxy::{Proxy, STORE_EVERY, StartError, housekeeping},
    server::{BindError, Server, why_unbound},
};
use std::{fmt::Write as _, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

/// How often the demo's queue moves on. The job that waits last is over after four steps: time to read and try the lines that
/// name it.
const STEP: Duration = Duration::from_secs(30);

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated upstream found no port.
    #[error("the simulated server could not start: {0}")]
    Simulator(io::Error),
    /// The proxy's address is taken, say.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The address of the page is taken, say.
    #[error("cannot listen on {0}: {why}", why = why_unbound(.1, "--admin"))]
    Admin(SocketAddr, io::Error),
    /// Its curl lines could not reach it.
    #[error("the demo is for curl lines: --listen takes an address and a port here")]
    Socket,
    /// An option cannot be used.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// The tables are broken.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What there is to try cannot be shown.
    #[error("the output cannot be written: {0}")]
    Unwritten(io::Error),
}

/// Runs by `options` until `stop` resolves.
pub async fn run(options: config::Options, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let asked = config::load(&options, |_| None)?.config;
    let rules = match asked.upstream.dialect {
        DialectChoice::Auto | DialectChoice::Comfyui | DialectChoice::V2 => Rules::Comfyui,
        DialectChoice::Cloud => Rules::Cloud,
    };
    let simulator = Simulator::start(jobs::board_of(rules, now()), Options::default())
        .await
        .map_err(DemoError::Simulator)?;
    let config = config::load(&options.with(&UPSTREAM.url.key, simulator.url()), |_| None)?.config;
    let live = Arc::new(Proxy::new(&config)?);
    let server = Server::bind(&config).await?;
    let admin = match &config.admin {
        Some(admin) => {
            let bound = Admin::bind(admin).await;
            Some(bound.map_err(|error| DemoError::Admin(admin.address, error))?)
        }
        None => None,
    };
    let address = server.local_addr().ok_or(DemoError::Socket)?;
    let page = admin.as_ref().map(Admin::local_addr);
    output::write(&welcome(address, page, rules, simulator.address())).map_err(DemoError::Unwritten)?;
    let steps = async {
        loop {
            tokio::time::sleep(STEP).await;
            simulator.with_board(|board| jobs::advance(board, now()));
        }
    };
    let shown = async {
        match admin {
            Some(admin) => admin.run(Arc::clone(&live)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = server.run(Arc::clone(&live), stop) => {}
        () = steps => {}
        () = shown => {}
        () = housekeeping(Arc::clone(&live), STORE_EVERY) => {}
    }
    Ok(())
}

/// What there is to see, and lines to copy: all of it can be pasted into a shell.
fn welcome(proxy: SocketAddr, page: Option<SocketAddr>, rules: Rules, upstream: SocketAddr) -> String {
    let (done, waiting) = (jobs::id(1), jobs::id(10));
    let (server, alone) = match rules {
        Rules::Comfyui | Rules::ComfyuiEarly => ("a simulated ComfyUI, which speaks only the Jobs API", "/history"),
        Rules::Cloud => (
            "a simulated Comfy Cloud, which speaks only the Jobs API",
            "/api/history",
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
        "#\n# What you submit runs for a second and saves a picture: the scripts in examples/ do that.\n\
         # The queue moves on every {} seconds. Try, in another terminal:",
        STEP.as_secs()
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
        (
            "everything else passes through: this is the new API itself",
            format!("curl http://{proxy}/api/jobs"),
        ),
        ("the server alone: 404", format!("curl -i http://{upstream}{alone}")),
    ] {
        let _ = writeln!(text, "\n# {what}\n{command}");
    }
    text.push_str("\n# Ctrl-C ends it.\n");
    text
}
