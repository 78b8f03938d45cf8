//! The simulated server of the demo, and what it has when the demo starts.

use crate::{
    config::DialectChoice,
    demo::{Options, Rules, Simulator, jobs, now, v2},
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How often a queue of the Jobs API moves on. The job that waits last is over after four steps: time to read and try the lines
/// that name it.
const STEP: Duration = Duration::from_secs(30);
/// How long a job of Comfy API v2 runs: what is submitted waits for those before it.
const RUNS_FOR: Duration = Duration::from_secs(15);
/// How many jobs there are at the start, and how many of those of Comfy API v2 have ended.
const SUBMITTED: i64 = 10;
const ENDED: usize = 6;

/// A simulated server.
pub(super) enum Simulated {
    /// One that speaks the Jobs API, by these rules.
    JobsApi(Simulator, Rules),
    /// One that speaks Comfy API v2.
    V2(v2::Simulator),
}

impl Simulated {
    /// Starts one that speaks this dialect.
    pub(super) async fn start(dialect: DialectChoice) -> io::Result<Self> {
        let rules = match dialect {
            DialectChoice::Auto | DialectChoice::Comfyui => Rules::Comfyui,
            DialectChoice::Cloud => Rules::Cloud,
            DialectChoice::V2 => {
                let runs_for = Some(RUNS_FOR);
                let options = v2::Options {
                    runs_for,
                    ..v2::Options::default()
                };
                return Ok(Self::V2(v2::Simulator::start(options).await?));
            }
        };
        let simulator = Simulator::start(jobs::board_of(rules, now()), Options::default()).await?;
        Ok(Self::JobsApi(simulator, rules))
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::JobsApi(simulator, _) => simulator.url(),
            Self::V2(simulator) => simulator.url(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::JobsApi(simulator, _) => simulator.address(),
            Self::V2(simulator) => simulator.address(),
        }
    }

    /// How often its queue moves on.
    pub(super) fn step(&self) -> Duration {
        match self {
            Self::JobsApi(..) => STEP,
            Self::V2(_) => RUNS_FOR,
        }
    }

    /// The ids of a job that has ended, and of the one that waits last.
    pub(super) fn named() -> (String, String) {
        (jobs::id(1), jobs::id(SUBMITTED))
    }

    /// Submits the first jobs through the proxy at `proxy`, where only what went through it is listed.
    pub(super) async fn fill(&self, proxy: SocketAddr) {
        let Self::V2(simulator) = self else {
            return;
        };
        for nth in 1..=SUBMITTED {
            if let Err(error) = submit(proxy, nth).await {
                tracing::warn!(%error, "the demo starts without jobs");
                return;
            }
        }
        let [mut first, waiting] = [v2::Status::Running, v2::Status::Queued].map(|state| simulator.in_state(state));
        first.extend(waiting);
        for id in first.iter().take(ENDED) {
            simulator.finish(id);
        }
    }

    /// The queue moves on for ever.
    pub(super) async fn go_on<T>(&self) -> T {
        loop {
            tokio::time::sleep(STEP).await;
            // The other one has a clock of its own.
            if let Self::JobsApi(simulator, _) = self {
                simulator.with_board(|board| jobs::advance(board, now()));
            }
        }
    }
}

/// Sends the `nth` prompt, and reads the answer to its end.
async fn submit(proxy: SocketAddr, nth: i64) -> io::Result<()> {
    let prompt = serde_json::json!({
        "prompt": {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": nth}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "demo"}},
        },
        "prompt_id": jobs::id(nth),
        "client_id": "demo",
    });
    let prompt = prompt.to_string();
    let length = prompt.len();
    let head =
        format!("POST /prompt HTTP/1.1\r\nHost: {proxy}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(proxy).await?;
    stream.write_all((head + &prompt).as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
