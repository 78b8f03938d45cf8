//! The calls that a store in a Valkey is made of. All its keys have one hash tag, as one change is of several of them.

use super::{connection::Connection, entry, status::LEASE};
use crate::store::{
    StoreError,
    backend::{Row, Rows},
    change::{Action, Step},
};
use redis::{RedisError, RedisResult, Script, Value, cmd};
use std::{sync::LazyLock, time::Duration};

/// The form that rows are written in. A store of another one is refused.
const FORMAT: u32 = 1;
const PROGRAM: &str = "jobshim";

const ABOUT: &str = "{jobshim}:about";
const CHANGES: &str = "{jobshim}:changes";
const REPLICAS: &str = "{jobshim}:replicas";
const HEARD: &str = "{jobshim}:heard";

/// How many rows are read at a time.
const SOME: usize = 1_000;
/// How many changes are read at a time.
const SOME_CHANGES: usize = 200;
/// How long a call waits for a change.
pub(super) const WAIT: Duration = Duration::from_secs(5);

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("begin.lua")));
static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
static BEHIND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("behind.lua")));

/// The key of a table's rows.
fn rows_of(table: &str) -> String {
    format!("{{jobshim}}:rows:{table}")
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server, or the way to it.
    Redis(RedisError),
    /// What is there is no store that this jobshim can use.
    Refused(Refusal),
    /// A row is not what a change expects it to be.
    Changed,
}

/// Why a store cannot be used.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is of another program.
    Foreign,
    /// A later jobshim has made it.
    Newer(u32),
    /// Something of it is gone, or is none of what is written.
    Damaged(String),
    /// It is not the one that it was.
    Replaced,
    /// It was brought back from an older copy.
    Older,
}

impl From<RedisError> for CallError {
    fn from(error: RedisError) -> Self {
        let said = error.detail().unwrap_or_default();
        match error.code() {
            Some("WRONGTYPE") => Self::Refused(Refusal::Foreign),
            Some("REMAINS") => Self::Refused(Refusal::Damaged(said.to_owned())),
            Some("REPLACED") => Self::Refused(Refusal::Replaced),
            Some("CHANGED") => Self::Changed,
            _ => Self::Redis(error),
        }
    }
}

impl CallError {
    pub(super) fn at(self, place: &str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Redis(error) => StoreError::Unreachable(place, error.to_string()),
            Self::Changed => StoreError::Changed,
            Self::Refused(Refusal::Foreign) => StoreError::Foreign(place),
            Self::Refused(Refusal::Newer(format)) => StoreError::Newer(place, format),
            Self::Refused(Refusal::Damaged(what)) => StoreError::Damaged(place, what),
            Self::Refused(Refusal::Replaced) => StoreError::Replaced(place),
            Self::Refused(Refusal::Older) => {
                StoreError::Unreachable(place, "it has lost its latest changes".to_owned())
            }
        }
    }
}

/// A change: its number, and a mark that no other one has. After a store was brought back from an older copy, numbers come again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    pub number: u64,
    pub mark: String,
}

impl Version {
    /// Whether a store whose last change is `last` may have had this one before.
    pub(super) fn may_lead_to(&self, last: &Self) -> bool {
        self.number < last.number || self == last
    }
}

/// What the store says of itself: which one it is, and its latest change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub id: String,
    pub last: Version,
}

impl About {
    fn read([program, format, id, last, mark]: [Option<String>; 5]) -> Result<Self, CallError> {
        if program.as_deref() != Some(PROGRAM) {
            return Err(CallError::Refused(match (&program, &format, &id) {
                (None, None, None) => Refusal::Replaced,
                _ => Refusal::Foreign,
            }));
        }
        match format.and_then(|format| format.parse().ok()) {
            Some(FORMAT) => {}
            Some(newer) => return Err(CallError::Refused(Refusal::Newer(newer))),
            None => return Err(damaged("it does not say in which form it is")),
        }
        let last = last.and_then(|last| last.parse().ok());
        match (id, last) {
            (Some(id), Some(number)) => Ok(Self {
                id,
                last: Version {
                    number,
                    mark: mark.unwrap_or_default(),
                },
            }),
            _ => Err(damaged("it does not say which one it is, or how often it was changed")),
        }
    }
}

fn damaged(what: &str) -> CallError {
    CallError::Refused(Refusal::Damaged(what.to_owned()))
}

/// A change as it was committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Committed {
    pub number: u64,
    /// How many others are to hear of it.
    pub others: i64,
}

/// A change to hear of: which one it is, the mark of the one before it, and of which rows it is.
pub(super) struct Heard {
    pub version: Version,
    pub after: String,
    pub rows: Vec<(String, Vec<u8>)>,
}

impl Connection {
    /// What the store says of itself; it is made with these first rows, and that id, if there is none.
    pub(super) async fn begin(&self, id: &str, first: &[Step]) -> Result<About, CallError> {
        let mut script = BEGIN.prepare_invoke();
        script.key(ABOUT).key(CHANGES).arg(PROGRAM).arg(FORMAT).arg(id);
        for step in first {
            if let Action::Put(value) | Action::PutNew(value) = &step.action {
                script
                    .key(rows_of(step.table))
                    .arg(step.key.as_slice())
                    .arg(value.as_slice());
            }
        }
        About::read(self.run(&script).await?)
    }

    /// What the store says of itself; none is made.
    pub(super) async fn about(&self) -> Result<About, CallError> {
        About::read(
            self.call(cmd("HMGET").arg(ABOUT).arg(&["program", "format", "id", "seq", "mark"]))
                .await?,
        )
    }

    /// Does a change of the store `id`.
    pub(super) async fn commit(&self, id: &str, who: &str, mark: &str, steps: &[Step]) -> Result<Committed, CallError> {
        let mut script = COMMIT.prepare_invoke();
        script
            .key(ABOUT)
            .key(CHANGES)
            .key(REPLICAS)
            .arg(FORMAT)
            .arg(id)
            .arg(who)
            .arg(entry::write(steps))
            .arg(mark);
        let mut tables: Vec<&str> = Vec::new();
        for step in steps {
            let (action, value) = match &step.action {
                Action::Put(value) => ("put".to_owned(), value.as_slice()),
                Action::PutFor(value, bound) => (
                    format!("for:{}:{}", bound.lifetime.as_millis(), bound.most),
                    value.as_slice(),
                ),
                Action::PutNew(value) => ("new".to_owned(), value.as_slice()),
                Action::Remove => ("remove".to_owned(), &[][..]),
                Action::RemoveIf(value) => ("if".to_owned(), value.as_slice()),
                Action::Expect(Some(value)) => ("expect".to_owned(), value.as_slice()),
                Action::Expect(None) => ("absent".to_owned(), &[][..]),
                Action::Tell => continue,
            };
            let place = tables.iter().position(|table| *table == step.table).unwrap_or_else(|| {
                tables.push(step.table);
                tables.len() - 1
            });
            // Of Lua, which counts from 1, after those of the store.
            script.arg(place + 4).arg(action).arg(step.key.as_slice()).arg(value);
        }
        for table in tables {
            script.key(rows_of(table));
        }
        let (number, others) = self.run(&script).await?;
        Ok(Committed { number, others })
    }

    /// Says how far `who` has heard, and that it is to be waited for.
    pub(super) async fn renew(&self, who: &str, heard: u64) -> Result<About, CallError> {
        let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let mut script = RENEW.prepare_invoke();
        script
            .key(ABOUT)
            .key(REPLICAS)
            .key(HEARD)
            .arg(who)
            .arg(heard)
            .arg(lease);
        About::read(self.run(&script).await?)
    }

    /// How many others have not heard of this change yet.
    pub(super) async fn behind(&self, who: &str, number: u64) -> RedisResult<u64> {
        let mut script = BEHIND.prepare_invoke();
        self.run(script.key(REPLICAS).key(HEARD).arg(who).arg(number)).await
    }

    /// `who` is not waited for any more.
    pub(super) async fn leave(&self, who: &str) -> RedisResult<()> {
        self.call::<()>(cmd("ZREM").arg(REPLICAS).arg(who)).await?;
        self.call(cmd("HDEL").arg(HEARD).arg(who)).await
    }

    /// All rows of a table. One that is changed meanwhile is as it was before or after that.
    pub(super) async fn rows(&self, table: &str, which: Rows) -> RedisResult<Vec<Row>> {
        let key = rows_of(table);
        if which == Rows::None {
            return Ok(Vec::new());
        }
        if which == Rows::Expiring {
            let all = cmd("ZRANGE").arg(&key).arg(0).arg(-1).clone();
            let keys: Vec<Vec<u8>> = self.call(&all).await?;
            let rows = self.some_rows(table, which, &keys).await?;
            return Ok(keys
                .into_iter()
                .zip(rows)
                .filter_map(|(key, row)| Some((key, row?)))
                .collect());
        }
        let mut rows = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let scan = cmd("HSCAN").arg(&key).arg(cursor).arg("COUNT").arg(SOME).clone();
            let (next, some): (u64, Vec<Row>) = self.call(&scan).await?;
            rows.extend(some);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        // A row may come twice where the table grew or shrank.
        rows.sort_unstable();
        rows.dedup_by(|one, other| one.0 == other.0);
        Ok(rows)
    }

    /// Some rows of a table as they are now.
    pub(super) async fn some_rows(
        &self,
        table: &str,
        which: Rows,
        keys: &[Vec<u8>],
    ) -> RedisResult<Vec<Option<Vec<u8>>>> {
        let of_table = rows_of(table);
        let mut rows = Vec::with_capacity(keys.len());
        for keys in keys.chunks(SOME) {
            let get = match which {
                Rows::None => {
                    rows.resize(rows.len() + keys.len(), None);
                    continue;
                }
                Rows::Lasting => cmd("HMGET").arg(&of_table).arg(keys).clone(),
                Rows::Expiring => {
                    let of_row = |key: &Vec<u8>| [of_table.as_bytes(), b":", key].concat();
                    cmd("MGET").arg(keys.iter().map(of_row).collect::<Vec<_>>()).clone()
                }
            };
            rows.extend(self.call::<Vec<Option<Vec<u8>>>>(&get).await?);
        }
        Ok(rows)
    }

    /// The changes after this one, in their order. Waits for some time if there is none.
    pub(super) async fn changes(&self, after: u64) -> Result<Vec<Heard>, CallError> {
        let wait = u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX);
        let read = cmd("XREAD")
            .arg("COUNT")
            .arg(SOME_CHANGES)
            .arg("BLOCK")
            .arg(wait)
            .arg("STREAMS")
            .arg(CHANGES)
            .arg(format!("{after}-0"))
            .clone();
        type Entry = (String, Vec<Vec<u8>>);
        let streams: Option<Vec<(Value, Vec<Entry>)>> = self.call(&read).await?;
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let heard = entries.map(|(name, fields)| {
            let number = name.strip_suffix("-0").and_then(|number| number.parse().ok());
            let field = |name: &[u8]| {
                let mut pairs = fields.chunks_exact(2);
                let found = pairs.find(|pair| pair.first().is_some_and(|found| found == name));
                found.and_then(|pair| pair.get(1))
            };
            let text = |name| field(name).map(|text| String::from_utf8_lossy(text).into_owned());
            let heard = || {
                Some(Heard {
                    version: Version {
                        number: number?,
                        mark: text(b"mark")?,
                    },
                    after: text(b"after")?,
                    rows: entry::read(field(b"rows")?)?,
                })
            };
            heard().ok_or_else(|| damaged("a change in it cannot be read"))
        });
        heard.collect()
    }
}
