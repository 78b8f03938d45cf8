//! A store in a Valkey or Redis, which any number of jobshims share and all see alike.
//!
//! A change is one script there, which numbers it and appends it to a stream. Each jobshim follows the stream and says how far
//! it has heard, with a lease: for so long it may answer from its own copy without asking. Who makes a change waits until all
//! who have a lease have heard of it, or their lease has ended. So a change that is said to be done is in force everywhere, and
//! an answer costs no round trip.
//!
//! It has a thread of its own: whatever the server does, no request waits behind it.

mod call;
mod calls;
mod connection;
mod entry;
mod keeper;
mod status;

use super::{
    StoreError,
    backend::{Backend, Follower, Freshness, Row},
    change::Step,
};
use crate::config::{StateConfig, ValkeyUrl};
use call::{Call, Reply};
use connection::Connector;
use futures_util::future::BoxFuture;
use keeper::Keeper;
use parking_lot::Mutex;
use status::Status;
use std::{
    sync::{Arc, mpsc::sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
};

/// How many calls may wait for the thread.
const MAX_WAITING: usize = 1_024;
/// How long the start waits for a store.
const START: Duration = Duration::from_secs(3);

/// The store.
pub(super) struct Valkey {
    status: Arc<Status>,
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    /// One asks for all who want to know whether their copy is what the store holds.
    confirming: tokio::sync::Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Valkey {
    /// Connects; one that does not answer is waited for beside everything else. A new store begins with these `first` rows.
    ///
    /// # Errors
    /// What is there is no store that this jobshim can use.
    pub(super) fn open(
        url: &ValkeyUrl,
        config: &StateConfig,
        who: String,
        first: Vec<Step>,
    ) -> Result<Self, StoreError> {
        let status = Arc::new(Status::new(url.to_string(), config.max_stale));
        let connector = Connector::new(url, config)?;
        let unable = |error: std::io::Error| StoreError::Unreachable(url.to_string(), error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unable)?;
        let (calls, waiting) = mpsc::channel(MAX_WAITING);
        let (begun, begins) = sync_channel(1);
        let keeper = Keeper::new(connector, Arc::clone(&status), config.timeout, who, first);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || runtime.block_on(keeper.run(waiting, begun)))
            .map_err(unable)?;
        let store = Self {
            status,
            calls: Mutex::new(Some(calls)),
            confirming: tokio::sync::Mutex::default(),
            thread: Mutex::new(Some(thread)),
        };
        match begins.recv_timeout(START) {
            // At the start nothing is known yet that could be replaced.
            Ok(Err(error)) if !error.may_pass() => Err(error),
            _ => Ok(store),
        }
    }

    /// Sends the thread a call; false where too many wait already.
    fn send(&self, call: Call) -> Result<bool, StoreError> {
        let calls = self.calls.lock();
        let calls = calls.as_ref().ok_or(StoreError::Stopping)?;
        Ok(calls.try_send(call).is_ok())
    }

    /// Asks the thread, which answers in time whatever the server does.
    fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        if !self.send(call(reply))? {
            let place = self.status.place().to_owned();
            return Err(StoreError::Unreachable(place, "too many calls wait for it".to_owned()));
        }
        answer.recv().unwrap_or(Err(StoreError::Stopping))
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.close();
    }
}

impl Backend for Valkey {
    fn place(&self) -> String {
        self.status.place().to_owned()
    }

    fn rows(&self, table: &'static str) -> Result<Vec<Row>, StoreError> {
        self.ask(|reply| Call::Rows(table, reply))
    }

    fn row(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|reply| Call::Row(table, key.to_vec(), reply))
    }

    fn commit(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        self.ask(|reply| Call::Commit(steps, reply))
    }

    fn follow(&self, table: &'static str, follower: Arc<dyn Follower>) -> Result<(), StoreError> {
        self.ask(|reply| Call::Follow(table, follower, reply))
    }

    fn is_current(&self) -> bool {
        self.status.is_current()
    }

    fn standing(&self) -> Freshness {
        match self.status.is_there() {
            true => Freshness::Current,
            false => self.status.without_an_answer(),
        }
    }

    fn close(&self) {
        // The thread ends once nobody can ask it any more, and tells the others that it is not waited for.
        *self.calls.lock() = None;
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    fn confirm(&self) -> BoxFuture<'_, Freshness> {
        Box::pin(async {
            // All wait for the same attempt.
            self.status.try_again().await;
            if !self.status.is_there() {
                return self.status.without_an_answer();
            }
            let _confirming = self.confirming.lock().await;
            if self.status.is_current() {
                return Freshness::Current;
            }
            let (reply, answer) = oneshot::channel();
            if self.send(Call::Confirm(reply)).unwrap_or(false) {
                // What it says is in the status.
                let _ = answer.await;
            }
            match self.status.is_current() {
                true => Freshness::Current,
                false => self.status.without_an_answer(),
            }
        })
    }
}
