//! The open WebSockets of clients, and the prompts under way whose events they are to hear of. The two connections of a client
//! are relayed independently: what the server says of a very short job would overtake the answer that names the job.

use crate::{auth::scope::Scope, http::body::Body};
use http::Response;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};
use twox_hash::XxHash3_128;

/// How long after its answer a prompt holds what is said: its client has read the answer by then, and listens.
const MOMENT: Duration = Duration::from_millis(50);

/// Whose a socket is: a hash of the client's name for itself, where the socket was opened with one.
type Client = (Scope, Option<u128>);

fn hashed(name: &str) -> u128 {
    XxHash3_128::oneshot(name.as_bytes())
}

/// All that are open; there are no more than connections.
#[derive(Default)]
pub struct ClientSockets(Mutex<HashMap<Client, Vec<Arc<Prompts>>>>);

impl ClientSockets {
    /// A socket that is being opened, by a client that calls itself `name`, or that the server will give a name to.
    pub fn open(self: &Arc<Self>, scope: Scope, name: Option<&str>) -> ClientSocket {
        let client = (scope, name.map(hashed));
        let prompts = Arc::new(Prompts::default());
        self.0.lock().entry(client).or_default().push(Arc::clone(&prompts));
        ClientSocket {
            all: Arc::clone(self),
            client,
            prompts,
        }
    }

    /// A prompt that is about to be sent in this scope.
    pub fn prompt(self: &Arc<Self>, scope: Scope) -> Arc<PromptUnderWay> {
        Arc::new(PromptUnderWay {
            all: Arc::clone(self),
            scope,
            held: Mutex::default(),
        })
    }
}

/// One open socket, until it is dropped.
pub struct ClientSocket {
    all: Arc<ClientSockets>,
    client: Client,
    prompts: Arc<Prompts>,
}

impl ClientSocket {
    /// Says which prompt is the newest: what is said then may belong to it, or to one before.
    pub fn newest_prompt(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let prompts = Arc::clone(&self.prompts);
        move || prompts.list.lock().newest
    }

    /// The prompts whose events it is to hear of.
    pub(super) fn prompts(&self) -> &Arc<Prompts> {
        &self.prompts
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        let mut open = self.all.0.lock();
        if let Some(sockets) = open.get_mut(&self.client) {
            sockets.retain(|one| !Arc::ptr_eq(one, &self.prompts));
            if sockets.is_empty() {
                open.remove(&self.client);
            }
        }
    }
}

/// A prompt on its way, and then its answer, until the last of it was handed over to be written.
pub struct PromptUnderWay {
    all: Arc<ClientSockets>,
    scope: Scope,
    held: Mutex<Vec<(Arc<Prompts>, u64)>>,
}

impl PromptUnderWay {
    /// Holds what the server says to this client from now on. This must come before the server can have read the prompt. A
    /// socket without a name was given one by the server, in a message that nobody has read: it may be this one. Of several
    /// clients in one prompt, the first with a socket counts.
    pub(super) fn is_of(&self, client: &str) {
        let mut held = self.held.lock();
        if !held.is_empty() {
            return;
        }
        let open = self.all.0.lock();
        let named = open.get(&(self.scope, Some(hashed(client))));
        let sockets = named.or_else(|| open.get(&(self.scope, None)));
        let sockets = sockets.into_iter().flatten();
        held.extend(sockets.map(|prompts| (Arc::clone(prompts), prompts.begin())));
    }

    /// Its answer; what is held waits until the last of it is taken to be written.
    pub(super) fn until_written(self: Arc<Self>, answer: Response<Body>) -> Response<Body> {
        if self.held.lock().is_empty() {
            return answer;
        }
        let held_by_body = move |error| {
            let _ = &self;
            error
        };
        answer.map(|body| body.map_err(held_by_body).boxed_unsync())
    }
}

impl Drop for PromptUnderWay {
    fn drop(&mut self) {
        for (prompts, number) in self.held.get_mut().drain(..) {
            prompts.answered(number);
        }
    }
}

/// The prompts of one socket that are under way, or were answered a moment ago, numbered as they came.
#[derive(Default)]
pub(super) struct Prompts {
    list: Mutex<List>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct List {
    /// The number of the newest.
    newest: u64,
    /// Each with the end of its moment, once it was answered.
    under_way: Vec<(u64, Option<Instant>)>,
}

impl List {
    fn forget_past(&mut self) {
        if !self.under_way.is_empty() {
            let now = Instant::now();
            self.under_way.retain(|(_, end)| end.is_none_or(|end| end > now));
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Nothing: what was said may be passed on.
    Nothing,
    /// An answer.
    Answer,
    /// The end of the moment after the last answer.
    Moment(Instant),
}

impl Prompts {
    fn begin(&self) -> u64 {
        let mut list = self.list.lock();
        list.forget_past();
        list.newest += 1;
        let number = list.newest;
        list.under_way.push((number, None));
        number
    }

    fn answered(&self, number: u64) {
        let mut list = self.list.lock();
        list.forget_past();
        if let Some((_, end)) = list.under_way.iter_mut().find(|(one, _)| *one == number) {
            *end = Some(Instant::now() + MOMENT);
        }
        drop(list);
        self.changed.notify_waiters();
    }

    /// The newest prompt, if any after `passed` is under way: what has just been said may belong to it.
    pub(super) fn newest_under_way(&self, passed: u64) -> Option<u64> {
        let mut list = self.list.lock();
        list.forget_past();
        list.under_way
            .iter()
            .any(|(number, _)| *number > passed)
            .then_some(list.newest)
    }

    /// What holds that which was said when `newest` was the newest prompt; those up to `passed` hold nothing any more.
    pub(super) fn waits_for(&self, passed: u64, newest: u64) -> WaitsFor {
        let mut list = self.list.lock();
        list.forget_past();
        let holding = list
            .under_way
            .iter()
            .filter(|(number, _)| (passed + 1..=newest).contains(number));
        holding.fold(WaitsFor::Nothing, |waits_for, (_, end)| match (waits_for, end) {
            (WaitsFor::Answer, _) | (_, None) => WaitsFor::Answer,
            (WaitsFor::Moment(other), Some(end)) => WaitsFor::Moment(other.max(*end)),
            (WaitsFor::Nothing, Some(end)) => WaitsFor::Moment(*end),
        })
    }

    /// Resolves when a prompt is answered from now on.
    pub(super) fn next_answer(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }
}
