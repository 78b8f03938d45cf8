//! How an upstream speaks the Jobs API: the names it uses, read from a dialect table.

use crate::{
    config::field_path::line_of,
    mapping::{Complaint, InputNames, Paths, RequestRules, TableError, limits},
};
use http::{HeaderName, StatusCode};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{collections::BTreeMap, sync::Arc};

/// A dialect table, checked.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The names as written.
    pub names: Names,
    /// Finds the members of a list entry.
    pub(crate) entry: EntryPaths,
    /// Finds what a detail says, for whoever reads it.
    pub(crate) detail: DetailPaths,
}

/// The names as a dialect table writes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// One line on who speaks so.
    pub about: String,
    /// The list call.
    pub list: ListNames,
    /// The detail call; `{id}` stands for the job's id.
    pub detail: DetailNames,
    /// Members of `POST /prompt` that make a job which the server cannot list: they do not go on. Where there are some,
    /// a list call that fails (500) may do so for one job.
    pub prompt: Option<RequestRules>,
    /// The cancel calls.
    pub cancel: CancelNames,
    /// What paths get in front on their way to the server.
    pub paths: Option<PathRules>,
    /// The WebSocket, where it takes the key as a parameter.
    pub socket: Option<SocketNames>,
    /// What a key looks like, where it has a header of its own.
    pub key: Option<KeyNames>,
    /// Where node classes are described; `{class}` stands for the class.
    pub classes: ClassNames,
    /// Where a server says what it is, if it does.
    pub server: Option<ServerNames>,
    /// Members of a job.
    pub job: JobNames,
    /// The words for states.
    pub states: States,
    /// The question that tells this dialect from the others.
    pub probe: Probe,
}

/// Parameters and members of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListNames {
    /// The path below the upstream's base path.
    pub path: String,
    /// Parameter: comma-separated states.
    pub status: String,
    /// Parameter: the most jobs wanted.
    pub limit: String,
    /// Parameter: jobs to pass over, where pages are counted.
    pub offset: Option<String>,
    /// Parameter: the cursor of the page before, where pages are chained.
    pub after: Option<String>,
    /// The most jobs that one answer may hold; absent when there is no bound.
    pub page: Option<usize>,
    /// How many jobs are asked for at once where some of the newest may do; absent: all at once, or by the page.
    pub part: Option<usize>,
    /// Parameter: what the list is sorted by.
    pub sort: String,
    /// Its words.
    pub sort_words: SortWords,
    /// The member that holds the list.
    pub jobs: String,
    /// The member that says whether there are further pages.
    pub more: String,
    /// The member that holds the next cursor.
    pub cursor: Option<String>,
}

/// The detail call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailNames {
    /// The path, with `{id}`.
    pub path: String,
    /// The member that some servers leave out while a job is queued: its prompt.
    pub prompt: Option<String>,
    /// The body of a 404: there is no such job.
    pub unknown: Option<toml::Value>,
}

/// Where a server says what it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerNames {
    /// The path.
    pub path: String,
    /// The member that holds its version.
    pub version: String,
}

/// What a list can be sorted by, in a dialect's words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SortWords {
    /// When a job was created.
    pub creation: String,
    /// How long it ran.
    pub duration: String,
}

/// The cancel calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelNames {
    /// The call for one job, with `{id}`.
    pub path: String,
    /// The call for many.
    pub many: String,
    /// The member of its body that lists the ids.
    pub ids: String,
    /// The most ids that one call may name.
    pub batch: usize,
    /// The member of the answer that says what was cancelled: whether any was, or a list of ids.
    pub cancelled: String,
}

/// What paths get in front on their way to the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRules {
    /// Such as `/api`; a path that begins with it stays as it is.
    pub prefix: String,
    /// Paths that are at the root, without it.
    pub except: Vec<String>,
    /// Paths that are elsewhere here, with all that is below them: from and to, both without the prefix.
    #[serde(default)]
    pub moved: BTreeMap<String, String>,
}

/// The WebSocket, where it takes the key as a parameter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketNames {
    /// Its path.
    pub path: String,
    /// Parameter: the key.
    pub token: String,
    /// The header whose value is the key.
    pub header: String,
}

/// What a key looks like, where it has a header of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyNames {
    /// The header whose value is the key.
    #[serde(deserialize_with = "header_name")]
    pub header: HeaderName,
    /// What all keys begin with.
    pub begins: String,
}

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    HeaderName::try_from(text).map_err(D::Error::custom)
}

/// The class description call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassNames {
    /// The path, with `{class}`.
    pub path: String,
    /// The member, inside the class's own object, that marks an output node.
    pub output: String,
    /// How it describes its inputs, where the server converts their values.
    pub inputs: Option<InputNames>,
}

/// Members of a job.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobNames {
    id: String,
    state: String,
    number: String,
    created: String,
    started: String,
    /// When it ended, tried in order.
    ended: Vec<String>,
}

/// The words for states.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    pending: String,
    running: String,
    completed: String,
    failed: String,
    cancelled: String,
}

/// A state as the list is asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Waiting.
    Pending,
    /// Being worked on.
    Running,
    /// Ended well.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by a cancel; servers before 0.9.0 refuse the word (docs/contract.md section 2).
    Cancelled,
}

/// A list call, and the status by which this dialect is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The query of the list call.
    pub query: String,
    /// The status that this dialect answers it with.
    pub status: u16,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting.
    Pending,
    /// Being worked on.
    Running,
    /// Completed, failed or cancelled: it will not change any more.
    Finished,
}

impl State {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
        }
    }
}

/// The paths of a list entry, and the slot of each.
#[derive(Clone, Debug)]
pub(crate) struct EntryPaths {
    pub paths: Paths,
    pub id: usize,
    pub state: usize,
    pub number: usize,
    pub created: usize,
    pub started: usize,
    pub ended: Vec<usize>,
}

/// The paths of a detail, and the slot of each that is needed here.
#[derive(Clone, Debug)]
pub(crate) struct DetailPaths {
    pub paths: Arc<Paths>,
    pub id: usize,
    pub state: usize,
    pub created: usize,
    pub number: usize,
    pub ended: Vec<usize>,
}

impl DetailPaths {
    /// Adds to `paths` what a detail is searched for, for whoever sets [`DetailPaths::paths`].
    fn adding_to(paths: &mut Paths, job: &JobNames) -> Self {
        Self {
            id: paths.add(&job.id),
            state: paths.add(&job.state),
            created: paths.add(&job.created),
            number: paths.add(&job.number),
            ended: job.ended.iter().map(|path| paths.add(path)).collect(),
            paths: Arc::default(),
        }
    }
}

impl Dialect {
    /// Reads and checks a dialect table. `file` is what errors call it.
    pub fn parse(file: &str, source: &str) -> Result<Self, TableError> {
        let refuse = |offset, reason: String| TableError {
            file: file.to_owned(),
            line: line_of(source, offset),
            reason,
        };
        limits::check(&Complaint { file, source })?;
        let names: Names = toml::from_str(source)
            .map_err(|error| refuse(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        for (path, hole) in [
            (&names.detail.path, "{id}"),
            (&names.classes.path, "{class}"),
            (&names.cancel.path, "{id}"),
            (&names.cancel.many, ""),
            (&names.list.path, ""),
        ] {
            if !path.starts_with('/') || !path.contains(hole) {
                let offset = source.find(path.as_str()).unwrap_or(0);
                return Err(refuse(
                    offset,
                    format!("{path:?} must begin with / and contain {hole:?}"),
                ));
            }
        }
        for (number, key) in [(names.list.page, "page"), (Some(names.cancel.batch), "batch")] {
            if number == Some(0) {
                return Err(refuse(
                    source.find(key).unwrap_or(0),
                    format!("{key} must be 1 or more"),
                ));
            }
        }
        StatusCode::from_u16(names.probe.status)
            .map_err(|error| refuse(source.find("[probe]").unwrap_or(0), error.to_string()))?;
        let mut paths = Paths::default();
        let entry = EntryPaths {
            id: paths.add(&names.job.id),
            state: paths.add(&names.job.state),
            number: paths.add(&names.job.number),
            created: paths.add(&names.job.created),
            started: paths.add(&names.job.started),
            ended: names.job.ended.iter().map(|path| paths.add(path)).collect(),
            paths,
        };
        let mut searched = Paths::default();
        let mut detail = DetailPaths::adding_to(&mut searched, &names.job);
        detail.paths = Arc::new(searched);
        Ok(Self { names, entry, detail })
    }

    /// Adds to `paths` what this dialect needs to know of a detail, to search for it together with them.
    pub(crate) fn search_beside(&mut self, paths: &mut Paths) {
        self.detail = DetailPaths::adding_to(paths, &self.names.job);
    }

    /// Searches details for `paths`, which [`Dialect::search_beside`] has added to.
    pub(crate) fn search(&mut self, paths: Arc<Paths>) {
        self.detail.paths = paths;
    }

    /// The state that a word stands for; `None` for a word the dialect does not know.
    pub fn state(&self, word: &str) -> Option<State> {
        let states = &self.names.states;
        let is = |known: &String| known == word;
        if is(&states.pending) {
            Some(State::Pending)
        } else if is(&states.running) {
            Some(State::Running)
        } else {
            let ended = [&states.completed, &states.failed, &states.cancelled];
            ended.into_iter().any(is).then_some(State::Finished)
        }
    }

    /// The member that holds a job's id.
    pub fn id_name(&self) -> &str {
        &self.names.job.id
    }

    /// The `status` filter that finds queued jobs.
    pub fn queued_filter(&self) -> String {
        self.filter(&[Word::Pending, Word::Running])
    }

    /// The `status` filter that finds jobs in these states.
    pub(crate) fn filter(&self, words: &[Word]) -> String {
        let states = &self.names.states;
        let word = |word: &Word| match word {
            Word::Pending => states.pending.as_str(),
            Word::Running => &states.running,
            Word::Completed => &states.completed,
            Word::Failed => &states.failed,
            Word::Cancelled => &states.cancelled,
        };
        let words: Vec<&str> = words.iter().map(word).collect();
        format!("{}={}", self.names.list.status, words.join(","))
    }
}
