//! Names that clients give their jobs, where servers take UUIDs alone (docs/contract.md section 6): the server knows such a job by
//! a UUID that is made from the scope and the name, and its client by the name.
//!
//! A UUID is worked out from its name, whenever a client says it. The way back is held in memory; where it is not there any more,
//! it is learnt again from the name that travels with the job. So a name is of one scope: to another one the same name
//! means another UUID, and this UUID is one without a name.

mod uuid;

pub use uuid::Uuid;

use crate::{
    auth::scope::Scope,
    config::Ids,
    mapping::json::{MemberPath, find, string_value},
    store::{Store, Table},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The most memory for the names of all scopes together, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// What a name costs besides its text: its key, and the cache's own bookkeeping.
const OVERHEAD: usize = 256;
/// The most UUIDs that are known to have no name.
const MAX_NAMELESS: u64 = 1 << 14;
/// How many answers are looked through for names while none is known.
const MOST_LOOKED_THROUGH: u32 = 16;
/// How long a UUID is taken for one without a name of this scope, once a finished job has told none.
const NAMELESS_FOR: Duration = Duration::from_secs(3600);
/// The same of a job that may tell its name when it has ended.
const NAMELESS_WHILE_QUEUED: Duration = Duration::from_secs(30);
/// The longest name, in bytes.
const LONGEST: usize = 4 << 10;
/// The namespace of clients without credentials, whom nothing tells apart: it is the same after a restart without a store.
const NOBODY: [u8; 16] = 0x9d1f4c0e_6a0b_4b57_8f5e_3c2d7a86b419_u128.to_be_bytes();

/// The names that jobs have been given lately, as the jobshims of a shared store tell each other.
pub(super) const NAMES: Table<(Scope, String), ()> =
    Table::new("names", "the name of a job").expiring_after(Duration::from_secs(7 * 86_400), 4 << 20);

/// What the server makes of names, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Server {
    Unknown,
    Takes,
    Refuses,
}

/// What the server knows the job by that a client calls by an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerId {
    /// The same id.
    Same,
    /// This one.
    Uuid(String),
    /// This one, if it has a job of it, and otherwise the same id.
    UuidIfThere(String),
}

/// The names of all scopes, and what is known of the server.
pub struct Names {
    choice: Ids,
    /// Knows the scope of those who show no credential.
    store: Arc<Store>,
    server: AtomicU8,
    /// Some job has a name: where none has, nothing is looked through.
    in_play: AtomicBool,
    /// How many more answers are looked through for names while none is known.
    looks: AtomicU32,
    held: Cache<(Scope, Uuid), Arc<str>>,
    /// Each until when it is taken for one.
    nameless: Cache<(Scope, Uuid), Instant>,
}

impl Names {
    /// Nothing is held yet.
    pub fn new(choice: Ids, store: Arc<Store>) -> Self {
        let weigh = |_: &(Scope, Uuid), name: &Arc<str>| u32::try_from(name.len() + OVERHEAD).unwrap_or(u32::MAX);
        Self {
            choice,
            store,
            server: AtomicU8::new(Server::Unknown as u8),
            in_play: AtomicBool::new(false),
            looks: AtomicU32::new(MOST_LOOKED_THROUGH),
            held: Cache::builder()
                .max_capacity(MAX_BYTES)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            nameless: Cache::builder()
                .max_capacity(MAX_NAMELESS)
                .time_to_live(NAMELESS_FOR)
                .build(),
        }
    }

    /// Whether jobs may have names at all.
    pub fn is_on(&self) -> bool {
        self.choice != Ids::Off
    }

    /// Whether `id` is a name, which the server may refuse.
    pub fn is_name(&self, id: &str) -> bool {
        self.is_on() && !id.is_empty() && id.len() <= LONGEST && Uuid::parse(id.as_bytes()).is_none()
    }

    /// Whether it is to be found out yet whether jobs have names, from before a restart: until a whole list was looked
    /// through, or some parts.
    pub fn are_looked_for(&self) -> bool {
        self.is_on() && self.looks.load(Relaxed) > 0
    }

    /// Whether a client may be about to name a job that the server refuses.
    pub fn is_expected(&self) -> bool {
        match self.choice {
            Ids::Any => true,
            Ids::Auto => self.in_play.load(Relaxed) || self.server() == Server::Refuses,
            Ids::Off => false,
        }
    }

    /// Whether some job has a name.
    pub fn are_in_play(&self) -> bool {
        self.in_play.load(Relaxed)
    }

    /// An answer was looked through, which may have been the list of all jobs.
    pub(super) fn looked_through(&self, is_whole_list: bool) {
        let left = |left: u32| Some(if is_whole_list { 0 } else { left.saturating_sub(1) });
        // It always says how many are left.
        let _ = self.looks.fetch_update(Relaxed, Relaxed, left);
    }

    fn server(&self) -> Server {
        let now = self.server.load(Relaxed);
        let known = [Server::Takes, Server::Refuses]
            .into_iter()
            .find(|known| *known as u8 == now);
        known.unwrap_or(Server::Unknown)
    }

    /// The server took a job of this name.
    pub fn taken(&self, scope: Scope, name: &str) {
        self.server.store(Server::Takes as u8, Relaxed);
        self.forget(scope, name);
    }

    /// There is no job of this name that has a UUID.
    pub fn forget(&self, scope: Scope, name: &str) {
        self.held.invalidate(&(scope, self.uuid(scope, name)));
    }

    /// The server refused a name that it then took a UUID for.
    pub fn refused(&self) {
        if self.server.swap(Server::Refuses as u8, Relaxed) != Server::Refuses as u8 {
            tracing::info!("the server refuses ids that are no UUIDs: jobs with other ids are submitted under UUIDs");
        }
    }

    /// What a job of this name is submitted under; `None` where it is first tried as it is.
    pub fn submitted_under(&self, scope: Scope, name: &str) -> Option<String> {
        let at_once = self.choice == Ids::Any || self.server() == Server::Refuses;
        at_once.then(|| self.hold(scope, name).0)
    }

    /// What the server knows the job by that is `id` to this scope.
    pub fn at_server(&self, scope: Scope, id: &str) -> ServerId {
        if !self.is_name(id) {
            return ServerId::Same;
        }
        let uuid = self.uuid(scope, id);
        let is_held = || self.held.contains_key(&(scope, uuid));
        match (self.choice, self.server()) {
            (Ids::Any, _) | (_, Server::Refuses) => ServerId::Uuid(uuid.to_string()),
            _ if is_held() => ServerId::Uuid(uuid.to_string()),
            (_, Server::Takes) => ServerId::Same,
            (_, Server::Unknown) => ServerId::UuidIfThere(uuid.to_string()),
        }
    }

    /// Holds the name of a job, and gives its UUID, and whether it was not held before.
    pub fn hold(&self, scope: Scope, name: &str) -> (String, bool) {
        let uuid = self.uuid(scope, name);
        let key = (scope, uuid);
        let is_new = self.held.get(&key).is_none();
        if is_new {
            self.held.insert(key, name.into());
            self.nameless.invalidate(&key);
            self.in_play.store(true, Relaxed);
        }
        (uuid.to_string(), is_new)
    }

    /// The name that a job of this UUID is held to have.
    pub fn held(&self, scope: Scope, uuid: Uuid) -> Option<Arc<str>> {
        self.held.get(&(scope, uuid))
    }

    /// The name of the job `id`, which `detail` is what the server tells of, and may have at `path`.
    pub(super) fn told(&self, scope: Scope, id: &str, detail: &[u8], path: Option<&MemberPath>) -> Option<Arc<str>> {
        let uuid = self.may_have_name(id)?;
        if let Some(name) = self.held(scope, uuid) {
            return Some(name);
        }
        let [name] = find(detail, [path?]).ok()?;
        let name = string_value(name?)?;
        // Another scope's has another UUID here.
        if self.uuid(scope, &name) != uuid {
            return None;
        }
        self.hold(scope, &name);
        Some(name.into())
    }

    /// `id` as a UUID, if that may have been made from a name.
    fn may_have_name(&self, id: &str) -> Option<Uuid> {
        if !self.is_on() {
            return None;
        }
        Uuid::parse(id.as_bytes()).filter(|uuid| uuid.is_named())
    }

    /// Whether the server need not be asked for the name of a job that is not held.
    pub(super) fn is_nameless(&self, scope: Scope, uuid: Uuid) -> bool {
        let until = self.nameless.get(&(scope, uuid));
        until.is_some_and(|until| until > Instant::now())
    }

    /// The server has told no name of a job, which may have ended.
    pub(super) fn told_none(&self, scope: Scope, uuid: Uuid, has_ended: bool) {
        let lasts = if has_ended { NAMELESS_FOR } else { NAMELESS_WHILE_QUEUED };
        self.nameless.insert((scope, uuid), Instant::now() + lasts);
    }

    fn uuid(&self, scope: Scope, name: &str) -> Uuid {
        let namespace = match self.store.scope_key().is_nobody(&scope) {
            true => NOBODY,
            // As different from scope to scope as the whole.
            false => scope.0.first_chunk().copied().unwrap_or_default(),
        };
        Uuid::named(&namespace, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "my job/1";
    const ONE: Scope = Scope([1; 32]);

    fn names(choice: Ids) -> Names {
        Names::new(choice, Arc::new(Store::in_memory().expect("a store")))
    }

    fn uuid(id: &str) -> Uuid {
        Uuid::parse(id.as_bytes()).expect("a UUID")
    }

    #[test]
    fn a_name_is_of_one_scope() {
        let names = names(Ids::Any);
        let (id, is_new) = names.hold(ONE, NAME);
        assert!(is_new && !names.hold(ONE, NAME).1);
        assert_eq!(names.held(ONE, uuid(&id)).as_deref(), Some(NAME));
        for other in [Scope([2; 32]), names.store.scope_key().nobody()] {
            assert_eq!(names.held(other, uuid(&id)), None);
            assert_ne!(names.at_server(other, NAME), ServerId::Uuid(id.clone()));
            let detail = format!(r#"{{"extra_data": {{"name": "{NAME}"}}}}"#);
            let path = MemberPath::parse("extra_data.name").expect("a path");
            assert_eq!(names.told(other, &id, detail.as_bytes(), Some(&path)), None);
        }
    }

    #[test]
    fn those_without_credentials_have_the_same_uuids_whatever_the_key_of_scopes_is() {
        let of = |names: Names| names.hold(names.store.scope_key().nobody(), NAME).0;
        assert_eq!(of(names(Ids::Any)), of(names(Ids::Any)));
    }

    #[test]
    fn what_is_called_by_a_name_is_decided_by_the_setting_and_the_server() {
        let names = names(Ids::Auto);
        assert!(matches!(names.at_server(ONE, NAME), ServerId::UuidIfThere(_)));
        assert_eq!(names.submitted_under(ONE, NAME), None);
        names.taken(ONE, NAME);
        assert_eq!(names.at_server(ONE, NAME), ServerId::Same);
        let (id, _) = names.hold(ONE, NAME);
        assert_eq!(
            names.at_server(ONE, NAME),
            ServerId::Uuid(id.clone()),
            "it has that name"
        );
        names.refused();
        assert_eq!(names.submitted_under(ONE, NAME), Some(id));
        assert!(matches!(names.at_server(ONE, "another"), ServerId::Uuid(_)));
        for id in ["", "00000000-0000-4000-8000-00000000000a", &"x".repeat(LONGEST + 1)] {
            assert_eq!(names.at_server(ONE, id), ServerId::Same, "{id:.40}");
        }
        assert_eq!(self::names(Ids::Off).at_server(ONE, NAME), ServerId::Same);
    }

    #[test]
    fn all_names_together_take_no_more_than_their_room() {
        let names = names(Ids::Any);
        for nth in 0..10_000 {
            names.hold(ONE, &format!("{nth:04000}"));
        }
        names.held.run_pending_tasks();
        assert!(names.held.weighted_size() <= MAX_BYTES);
        assert!(names.held.entry_count() < 5_000);
        let (id, _) = names.hold(ONE, "last");
        assert!(names.held(ONE, uuid(&id)).is_some());
    }
}
