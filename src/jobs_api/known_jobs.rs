//! The jobs that were submitted through jobshim to a server which lists none: in the store, for each scope, with what the server
//! will not tell of them later, and what those that have ended ended as.

use super::scope_listeners::ScopeListeners;
use crate::{
    auth::scope::Scope,
    mapping::json::{quoted, string_value},
    store::{Change, Event, Store, StoreError, Table},
    telemetry::now_ms,
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};
use tokio::sync::watch;

/// The most jobs of one scope: as many as ComfyUI has in its history. The oldest go first.
const MAX_OF_SCOPE: usize = 10_000;
/// The most jobs of all scopes.
const MAX_JOBS: usize = 50_000;
/// What all of them may take, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// What a job takes besides its texts, in bytes.
const OVERHEAD: usize = 256;
/// The longest `extra_data` that is kept, in bytes: a longer one is told as long as its note is in memory.
const LONGEST_EXTRA_DATA: usize = 32 << 10;

/// How old a job must be for a server that does not know it to have it no more, in ms.
const GONE_AFTER_MS: i64 = 600_000;

/// The jobs of each scope by the ids that their clients know.
const JOBS: Table<(Scope, String), KnownJob> = Table::new("jobs", "a job that was submitted");

/// A job, as far as the server does not tell it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KnownJob {
    /// What the server calls it, where its client chose another id.
    pub server_id: Option<String>,
    /// Its place in the queue, as JSON.
    pub number: String,
    /// When it was submitted, in ms since 1970.
    pub submitted_ms: i64,
    /// When it was created by the server's word, in the same; 0 where it has none.
    pub created_ms: i64,
    /// What its client sent beside the prompt, as JSON, without keys.
    pub extra_data: Option<String>,
    /// Whose WebSocket hears of it, as JSON.
    pub client_id: Option<String>,
    /// Once it has ended, how a list tells of it, as JSON; empty once the server has it no more.
    pub end: Option<String>,
}

impl KnownJob {
    /// A job that was submitted now; a number that its client did not choose is to be [counted](KnownJobs::next_number).
    pub fn new(number: String, extra_data: Option<String>, client_id: Option<String>) -> Self {
        Self {
            server_id: None,
            number,
            submitted_ms: now(),
            created_ms: 0,
            extra_data: extra_data.filter(|text| text.len() <= LONGEST_EXTRA_DATA),
            client_id,
            end: None,
        }
    }

    /// Whether the server has it no more where it says so: a younger one may not be everywhere yet.
    pub(super) fn may_be_gone(&self) -> bool {
        now().saturating_sub(self.submitted_ms) > GONE_AFTER_MS
    }

    /// What tables read as `observed.*`, as JSON; `id` is what its client calls it.
    pub(super) fn observed(&self, id: &str) -> String {
        let Self { number, created_ms, .. } = self;
        let id = quoted(id);
        let mut text = format!("{{\"id\": {id}, \"number\": {number}, \"create_time\": {created_ms}");
        for (name, value) in [("extra_data", &self.extra_data), ("client_id", &self.client_id)] {
            if let Some(value) = value {
                text += &format!(", \"{name}\": {value}");
            }
        }
        text + "}"
    }

    /// Whether `other` tells of the same submission.
    fn is_submission(&self, other: &Self) -> bool {
        (self.submitted_ms, &self.server_id) == (other.submitted_ms, &other.server_id)
    }

    fn bytes(&self) -> usize {
        let texts = [&self.server_id, &self.extra_data, &self.client_id, &self.end];
        let texts = texts.into_iter().flatten().map(String::len);
        OVERHEAD + self.number.len() + texts.sum::<usize>()
    }
}

/// A job that a client hears of: its client may give its id to another one later, which the server calls something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeardJob {
    /// What its client calls it.
    pub id: Arc<str>,
    /// What the server calls it.
    pub server_id: Arc<str>,
}

impl HeardJob {
    fn new(id: &Arc<str>, job: &KnownJob) -> Self {
        let server_id = job.server_id.as_deref();
        Self {
            id: Arc::clone(id),
            server_id: server_id.map_or_else(|| Arc::clone(id), Arc::from),
        }
    }

    /// Whether `job`, which its client calls the same, is this one.
    pub(super) fn is(&self, job: &KnownJob) -> bool {
        job.server_id.as_deref().unwrap_or(&self.id) == &*self.server_id
    }
}

/// Now, in ms since 1970.
fn now() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}

/// What the store has, at hand.
#[derive(Default)]
struct Copy {
    of: HashMap<Scope, HashMap<Arc<str>, Arc<KnownJob>>>,
    /// Those that have not ended as far as is known, with the clients that hear of them.
    open: HashMap<Scope, HashMap<Arc<str>, Option<Box<str>>>>,
    jobs: usize,
    bytes: usize,
}

impl Copy {
    fn put(&mut self, scope: Scope, id: &str, job: KnownJob) {
        self.remove(scope, id);
        self.jobs += 1;
        self.bytes += id.len() + job.bytes();
        let id = Arc::<str>::from(id);
        if job.end.is_none() {
            let client = job
                .client_id
                .as_ref()
                .and_then(|client| string_value(client.as_bytes()));
            let open = self.open.entry(scope).or_default();
            open.insert(Arc::clone(&id), client.map(String::into_boxed_str));
        }
        self.of.entry(scope).or_default().insert(id, Arc::new(job));
    }

    fn remove(&mut self, scope: Scope, id: &str) {
        let Some(of) = self.of.get_mut(&scope) else {
            return;
        };
        if let Some(job) = of.remove(id) {
            self.jobs -= 1;
            self.bytes -= id.len() + job.bytes();
        }
        if of.is_empty() {
            self.of.remove(&scope);
        }
        if let Some(open) = self.open.get_mut(&scope) {
            open.remove(id);
            if open.is_empty() {
                self.open.remove(&scope);
            }
        }
    }

    fn hear(&mut self, event: Event<(Scope, String), KnownJob>) {
        match event {
            Event::All(rows) => {
                let before = std::mem::take(self);
                for ((scope, id), job) in rows {
                    let job = before.not_reopened(scope, &id, job);
                    self.put(scope, &id, job);
                }
            }
            Event::Put((scope, id), job) => {
                let job = self.not_reopened(scope, &id, job);
                self.put(scope, &id, job);
            }
            Event::Gone((scope, id)) => self.remove(scope, &id),
        }
    }

    /// A job as the store tells of it; as it stands here, where the store tells late that it has not ended.
    fn not_reopened(&self, scope: Scope, id: &str, job: KnownJob) -> KnownJob {
        let known = self.of.get(&scope).and_then(|of| of.get(id));
        match known {
            Some(known) if job.end.is_none() && known.end.is_some() && known.is_submission(&job) => (**known).clone(),
            _ => job,
        }
    }

    /// The oldest jobs, where `scope` or all together have as many as they may: somewhat more than need go, as they are looked
    /// for among all.
    fn surplus(&self, scope: Scope) -> Vec<(Scope, String)> {
        let of_scope = self.of.get(&scope).map_or(0, HashMap::len);
        let is_meant = match (
            of_scope >= MAX_OF_SCOPE,
            self.jobs >= MAX_JOBS || self.bytes >= MAX_BYTES,
        ) {
            (_, true) => None,
            (true, false) => Some(scope),
            (false, false) => return Vec::new(),
        };
        let scopes = self
            .of
            .iter()
            .filter(|(scope, _)| is_meant.is_none_or(|meant| meant == **scope));
        let mut jobs: Vec<(i64, Scope, &Arc<str>)> = scopes
            .flat_map(|(scope, of)| of.iter().map(|(id, job)| (job.submitted_ms, *scope, id)))
            .collect();
        jobs.sort_unstable_by_key(|(submitted, ..)| *submitted);
        let count = jobs.len() / 50 + 1;
        let oldest = jobs.into_iter().take(count);
        oldest.map(|(_, scope, id)| (scope, id.to_string())).collect()
    }
}

/// The jobs of all scopes.
pub struct KnownJobs {
    store: Arc<Store>,
    copy: Arc<RwLock<Copy>>,
    /// They are told whenever that is another.
    listeners: Arc<ScopeListeners>,
    /// The number that was given last.
    last: AtomicI64,
}

impl KnownJobs {
    /// Those that `store` has.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub fn new(store: Arc<Store>) -> Result<Self, StoreError> {
        let copy = Arc::<RwLock<Copy>>::default();
        let listeners = Arc::<ScopeListeners>::default();
        let hearing = (Arc::clone(&copy), Arc::clone(&listeners));
        store.follow(&JOBS, move |event| {
            let (copy, listeners) = &hearing;
            let scope = match &event {
                Event::Put((scope, _), _) | Event::Gone((scope, _)) => Some(*scope),
                Event::All(_) => None,
            };
            copy.write().hear(event);
            listeners.tell(scope);
        })?;
        Ok(Self {
            store,
            copy,
            listeners,
            last: AtomicI64::new(0),
        })
    }

    /// The next number of a job: higher than that of any job that is known.
    pub fn next_number(&self, scope: Scope) -> i64 {
        let copy = self.copy.read();
        let jobs = copy.of.get(&scope).into_iter().flat_map(HashMap::values);
        let counted = jobs.filter_map(|job| job.number.parse::<i64>().ok()?.checked_abs());
        let highest = counted.max().unwrap_or(-1).saturating_add(1);
        let last = self.last.fetch_max(highest, SeqCst).max(highest);
        // Two that are submitted at once have different ones.
        self.last.fetch_max(last.saturating_add(1), SeqCst);
        last
    }

    /// A job was submitted. When this returns, no crash makes it unknown.
    ///
    /// # Errors
    /// It could not be stored; it is known all the same, as long as a shared store does not come back without it.
    pub async fn submitted(&self, scope: Scope, id: &str, job: KnownJob) -> Result<(), StoreError> {
        let surplus = self.copy.read().surplus(scope);
        self.put(scope, id, &job);
        let change = Change::default().put(&JOBS, &(scope, id.to_owned()), &job);
        let change = surplus.iter().fold(change, |change, key| change.remove(&JOBS, key));
        self.store.commit_async(change).await
    }

    fn put(&self, scope: Scope, id: &str, job: &KnownJob) {
        self.copy.write().put(scope, id, job.clone());
        self.listeners.tell(Some(scope));
    }

    /// Hears that a job of `scope` was submitted, has ended or is not kept any more.
    pub fn changes(&self, scope: Scope) -> watch::Receiver<()> {
        self.listeners.add(scope)
    }

    /// The jobs of `scope` that `client` hears of and that have not ended as far as is known, oldest first.
    pub fn open_of(&self, scope: Scope, client: &str) -> Vec<HeardJob> {
        let copy = self.copy.read();
        let open = copy.open.get(&scope).into_iter().flatten();
        let of_client = open.filter(|(_, of)| of.as_deref() == Some(client));
        let known = |id: &Arc<str>| {
            let job = copy.of.get(&scope)?.get(id)?;
            Some((job.submitted_ms, HeardJob::new(id, job)))
        };
        let mut jobs: Vec<(i64, HeardJob)> = of_client.filter_map(|(id, _)| known(id)).collect();
        jobs.sort_unstable();
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// How many jobs of `scope` have not ended as far as is known; those in `also` count in any case.
    pub fn count_open<'i>(&self, scope: Scope, also: impl Iterator<Item = &'i Arc<str>>) -> usize {
        let copy = self.copy.read();
        let open = copy.open.get(&scope);
        let ended = also.filter(|id| !open.is_some_and(|open| open.contains_key(*id)));
        open.map_or(0, HashMap::len) + ended.count()
    }

    /// What is known of job `id` of `scope`.
    pub(super) fn get(&self, scope: Scope, id: &str) -> Option<Arc<KnownJob>> {
        self.copy.read().of.get(&scope)?.get(id).cloned()
    }

    /// The jobs of `scope`, in any order.
    pub(super) fn of(&self, scope: Scope) -> Vec<(Arc<str>, Arc<KnownJob>)> {
        let copy = self.copy.read();
        let of = copy.of.get(&scope).into_iter().flatten();
        of.map(|(id, job)| (Arc::clone(id), Arc::clone(job))).collect()
    }

    /// The server says that it has job `id` no more.
    pub(super) fn gone(&self, scope: Scope, id: &str) {
        if self.get(scope, id).is_some_and(|job| job.may_be_gone()) {
            self.ended(scope, id, "");
        }
    }

    /// Job `id` has ended, and a list tells of it so; or, where that is empty, the server has it no more. It is stored beside
    /// whatever goes on: where that fails, the server is asked again after a restart.
    pub(super) fn ended(&self, scope: Scope, id: &str, end: &str) {
        let job = match self.get(scope, id) {
            Some(job) if job.end.as_deref() != Some(end) => KnownJob {
                end: Some(end.to_owned()),
                ..(*job).clone()
            },
            _ => return,
        };
        self.put(scope, id, &job);
        let store = Arc::clone(&self.store);
        let change = Change::default().put(&JOBS, &(scope, id.to_owned()), &job);
        tokio::spawn(async move {
            if let Err(error) = store.commit_async(change).await {
                tracing::debug!(%error, "that a job has ended could not be stored");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: i64) -> KnownJob {
        KnownJob {
            submitted_ms: number,
            ..KnownJob::new(number.to_string(), None, None)
        }
    }

    #[tokio::test]
    async fn numbers_go_up_also_after_a_restart() {
        let store = Arc::new(Store::in_memory().expect("a store"));
        let (one, other) = (Scope([1; 32]), Scope([2; 32]));
        let jobs = KnownJobs::new(Arc::clone(&store)).expect("jobs");
        assert_eq!(jobs.next_number(one), 0);
        assert_eq!(jobs.next_number(other), 1, "both may be submitted at once");
        jobs.submitted(one, "a", job(7)).await.expect("stored");
        assert_eq!(jobs.next_number(one), 8);
        jobs.submitted(one, "b", job(-9)).await.expect("stored");
        let again = KnownJobs::new(store).expect("jobs");
        assert_eq!(again.next_number(one), 10, "a job in front counts, too");
        assert_eq!(again.get(one, "a").as_deref(), Some(&job(7)));
        assert_eq!(again.get(other, "a"), None, "another scope's");
    }

    #[test]
    fn what_the_store_tells_late_does_not_reopen_a_job() {
        let (mut copy, scope) = (Copy::default(), Scope([1; 32]));
        let key = || (scope, "a".to_owned());
        let ended = KnownJob {
            end: Some("{}".to_owned()),
            ..job(1)
        };
        copy.put(scope, "a", ended.clone());
        copy.hear(Event::Put(key(), job(1)));
        assert_eq!(copy.of[&scope]["a"].end, ended.end);
        copy.hear(Event::All(vec![(key(), job(1))]));
        assert_eq!(copy.of[&scope]["a"].end, ended.end);
        assert!(copy.open.is_empty());
        // The same id for another job.
        copy.hear(Event::Put(key(), job(2)));
        assert_eq!(copy.of[&scope]["a"].end, None);
    }

    #[tokio::test]
    async fn those_who_listen_hear_of_their_own_scope() {
        let jobs = KnownJobs::new(Arc::new(Store::in_memory().expect("a store"))).expect("jobs");
        let (one, other) = (Scope([1; 32]), Scope([2; 32]));
        let (mut of_one, mut of_other) = (jobs.changes(one), jobs.changes(other));
        of_one.borrow_and_update();
        of_other.borrow_and_update();
        jobs.submitted(one, "a", job(7)).await.expect("stored");
        assert!(of_one.has_changed().expect("a sender"));
        assert!(!of_other.has_changed().expect("a sender"));
    }

    #[test]
    fn the_oldest_go_once_there_are_too_many() {
        let mut copy = Copy::default();
        let scope = Scope([1; 32]);
        for nth in 0..MAX_OF_SCOPE as i64 {
            assert_eq!(copy.surplus(scope), []);
            copy.put(scope, &nth.to_string(), job(nth));
        }
        let surplus = copy.surplus(scope);
        assert_eq!(surplus.first().map(|(_, id)| id.as_str()), Some("0"));
        assert_eq!(copy.surplus(Scope([2; 32])), [], "another scope's jobs stay");
        for (scope, id) in surplus {
            copy.remove(scope, &id);
        }
        assert!(copy.jobs < MAX_OF_SCOPE && copy.surplus(scope).is_empty());
    }
}
