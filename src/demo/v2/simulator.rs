//! The simulated server itself, and how a test steers it.

use super::{
    answers::{answer, answer_signed},
    job::Status,
    options::{Call, Fault, Options},
    shared::{Planned, Shared, now},
};
use crate::demo::{
    Seen,
    listening::{Answering, serve},
};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Any free port of this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running simulated server of Comfy API v2; it stops when dropped.
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    /// Listens on a port of the system's choice.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        Self::start_at(ANY, options).await
    }

    /// Listens on `address`, such as that of one that was dropped.
    ///
    /// # Errors
    ///
    /// If it cannot be had.
    pub async fn start_at(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let storage = TcpListener::bind(ANY).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options, storage.local_addr()?));
        let mut tasks = JoinSet::new();
        let api = Arc::clone(&shared);
        let api = move |request: Request<Incoming>| Box::pin(answer(Arc::clone(&api), request)) as Answering;
        tasks.spawn(serve(listener, Arc::new(api)));
        let blobs = Arc::clone(&shared);
        let blobs = move |request: Request<Incoming>| Box::pin(answer_signed(Arc::clone(&blobs), request)) as Answering;
        tasks.spawn(serve(storage, Arc::new(blobs)));
        if shared.options.runs_for.is_some() {
            let clock = Arc::clone(&shared);
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(TICK).await;
                    clock.tick();
                }
            });
        }
        Ok(Self {
            address,
            shared,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with the prefix.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.options.prefix)
    }

    /// Where signed URLs lead.
    pub fn storage_address(&self) -> SocketAddr {
        self.shared.storage
    }

    /// One step on: the job that runs does its next step, or the oldest that waits starts. Whether there was one.
    pub fn step(&self) -> bool {
        let stepped = self.shared.state.lock().jobs.step(now());
        self.shared.tell();
        stepped
    }

    /// Runs a job to its end at once, whatever else waits. Whether it had not ended before.
    pub fn finish(&self, id: &str) -> bool {
        let finished = self.shared.state.lock().jobs.finish(id, now());
        self.shared.tell();
        finished
    }

    /// Runs all jobs to their end, one after the other.
    pub fn finish_all(&self) {
        while self.step() {}
    }

    /// Ids of the jobs in a state, of all keys, oldest first.
    pub fn in_state(&self, status: Status) -> Vec<String> {
        self.shared.state.lock().jobs.in_state(status)
    }

    /// The bytes of an asset, an upload or an output.
    pub fn content(&self, asset: &str) -> Option<Bytes> {
        let state = self.shared.state.lock();
        let upload = state.assets.of_any_owner(asset).map(|asset| asset.bytes.clone());
        upload.or_else(|| {
            state
                .jobs
                .output_of_any_owner(asset)
                .map(|output| output.made.bytes.clone())
        })
    }

    /// Forgets a job, which is 404 from then on. Whether there was one.
    pub fn forget(&self, id: &str) -> bool {
        let forgotten = self.shared.state.lock().jobs.forget(id);
        self.shared.tell();
        forgotten
    }

    /// A job's time is over: it is `expired`, and its outputs are gone. Whether there is one.
    pub fn expire(&self, id: &str) -> bool {
        let expired = self.shared.state.lock().jobs.get_mut(id).map(|job| job.expire(now()));
        self.shared.tell();
        expired.is_some()
    }

    /// As if it had been started anew: it knows no job, no asset and no idempotency key, and event streams are cut. Ids of jobs
    /// are not used again.
    pub fn restart(&self) {
        self.shared.state.lock().forget();
        self.cut_streams();
    }

    /// Cuts all event streams in the middle.
    pub fn cut_streams(&self) {
        let _no_stream_opens = self.shared.state.lock();
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many event streams are open.
    pub fn open_streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }

    /// The next `times` requests, those about `call` where one is given, end in `fault`. Faults that were asked for earlier
    /// come first.
    pub fn fail_next(&self, call: Option<Call>, times: usize, fault: Fault) {
        if times > 0 {
            self.shared.planned.lock().push(Planned { call, times, fault });
        }
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.planned.lock().clear();
    }

    /// How many requests of a kind arrived.
    pub fn count(&self, call: Call) -> usize {
        self.shared.arrived.lock().counts.get(&call).copied().unwrap_or(0)
    }

    /// How many requests arrived, signed URLs included.
    pub fn count_all(&self) -> usize {
        self.shared.arrived.lock().counts.values().sum()
    }

    /// The latest requests, oldest first. Long bodies are left out.
    pub fn seen(&self) -> Vec<(Call, Seen)> {
        self.shared.arrived.lock().latest.iter().cloned().collect()
    }
}
