//! `jobshim demo`: a small simulated upstream and the proxy in one process.

use crate::{
    config::{self, settings::UPSTREAM},
    demo::{Options, Simulator, jobs, now},
    proxy::{Proxy, StartError},
    server::{BindError, Server},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

/// How often the demo's queue moves on.
const STEP: Duration = Duration::from_secs(5);

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated upstream found no port.
    #[error("the simulated server could not start: {0}")]
    Simulator(io::Error),
    /// The proxy's address is taken, say.
    #[error("{0}; another address can be given with --listen")]
    Listen(#[from] BindError),
    /// Its curl lines could not reach it.
    #[error("the demo is for curl lines: --listen takes an address and a port here")]
    Socket,
    /// An option cannot be used.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// The tables are broken.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs by `options` until `stop` resolves.
pub async fn run(options: config::Options, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let simulator = Simulator::start(jobs::board(now()), Options::default())
        .await
        .map_err(DemoError::Simulator)?;
    let options = options.with(&UPSTREAM.url.key, simulator.url());
    let config = config::load(&options, |_| None)?.config;
    let live = Arc::new(Proxy::new(&config)?);
    let server = Server::bind(&config).await?;
    let address = server.local_addr().ok_or(DemoError::Socket)?;
    print!("{}", welcome(address, simulator.address()));
    let steps = async {
        loop {
            tokio::time::sleep(STEP).await;
            simulator.with_board(|board| jobs::advance(board, now()));
        }
    };
    tokio::select! {
        () = server.run(live, stop) => {}
        () = steps => {}
    }
    Ok(())
}

fn welcome(proxy: SocketAddr, upstream: SocketAddr) -> String {
    let (done, waiting) = (jobs::id(1), jobs::id(10));
    format!(
        "A simulated server that speaks only the Jobs API is on http://{upstream}, jobshim in front of it on http://{proxy}.\n\
         Its queue moves on every {} seconds. Try, in another terminal:\n\n  \
         curl http://{proxy}/queue                     what runs and what waits, as old clients read it\n  \
         curl http://{proxy}/history                   finished jobs, oldest finished first\n  \
         curl \"http://{proxy}/history?max_items=2\"      the newest two\n  \
         curl http://{proxy}/history/{done}\n                                                   one finished job: outputs, status, prompt\n  \
         curl http://{proxy}/history/{waiting}\n                                                   {{}} until that job has finished, then its entry\n  \
         curl http://{proxy}/api/history_v2            the same jobs as the cloud's old endpoint showed them\n  \
         curl -d '{{\"delete\": [\"{waiting}\"]}}' http://{proxy}/queue\n                                                   takes that job out of the queue\n  \
         curl -d '{{\"clear\": true}}' http://{proxy}/history\n                                                   hides the finished jobs: this server cannot forget them\n  \
         curl http://{proxy}/api/jobs                  everything else passes through: this is the new API itself\n  \
         curl -i http://{upstream}/history              the server alone: 404\n\n\
         Ctrl-C ends it.\n",
        STEP.as_secs()
    )
}
