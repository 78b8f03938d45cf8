//! The names that a dialect table writes down, and the check of such a table.

use super::{
    live::{LiveNames, LiveState},
    v2_files::V2FileNames,
};
use crate::mapping::{
    inputs::InputNames,
    json::{MemberPath, find, string_value},
    limits,
    request::RequestRules,
    table_error::{Complaint, TableError},
};
use http::{HeaderName, StatusCode};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;

/// The names as a dialect table writes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectNames {
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
    /// The calls of Comfy API v2, where the server speaks that.
    pub v2: Option<V2Names>,
}

/// The calls of Comfy API v2, and the words in their answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2Names {
    /// The path of a job's workflow, with `{id}`.
    pub workflow: String,
    /// The member of an error that says in a word what is wrong.
    pub code: MemberPath,
    /// That word, where there is no such job.
    pub unknown: String,
    /// The member of a job that says where it stands, in the server's own words.
    pub state: MemberPath,
    /// The words of states that stay.
    pub over: Vec<String>,
    /// The words of states of a job that was cancelled.
    pub stopped: Vec<String>,
    /// The query of the list, where there is one, of all jobs.
    pub unlisted: String,
    /// The query of the list of those that have not ended.
    pub queued: String,
    /// Paths that there is nothing for, with all that is below them, and what to use.
    absent: BTreeMap<String, String>,
    /// Paths that clients only knock at, and the JSON that they are answered.
    own: BTreeMap<String, String>,
    /// The path that says how many jobs have not ended, and what is around that number.
    remaining: (String, String, String),
    /// Uploads, and files that are shown.
    pub files: V2FileNames,
    /// What becomes of the WebSocket.
    pub live: LiveNames,
}

/// What a client is answered by jobshim itself.
#[derive(Clone, Copy, Debug)]
pub enum V2Instead<'a> {
    /// It sends a file.
    Upload,
    /// It wants to see a file.
    View,
    /// A WebSocket.
    Socket,
    /// An answer.
    Said(V2Said<'a>),
}

/// What jobshim says in the place of a server that has nothing for it.
#[derive(Clone, Copy, Debug)]
pub enum V2Said<'a> {
    /// There is nothing for it: what to use.
    Use(&'a str),
    /// This JSON.
    Own(&'a str),
    /// JSON with the number of jobs that have not ended in between.
    Remaining(&'a str, &'a str),
}

impl V2Names {
    /// Where a job stands of which the server has this word.
    pub fn live_state(&self, word: &str) -> LiveState {
        self.live.state(word, &self.over)
    }

    /// What stands in the place of `path`, which may begin with `/api`; `None` for what the server itself may have.
    pub fn instead(&self, path: &str) -> Option<V2Instead<'_>> {
        let below = path.strip_prefix("/api").filter(|rest| rest.starts_with('/'));
        let path = below.unwrap_or(path);
        if path == self.files.view {
            return Some(V2Instead::View);
        }
        if self.files.uploads.iter().any(|known| known == path) {
            return Some(V2Instead::Upload);
        }
        if path == self.live.socket {
            return Some(V2Instead::Socket);
        }
        self.said(path).map(V2Instead::Said)
    }

    fn said(&self, path: &str) -> Option<V2Said<'_>> {
        let (counting, before, after) = &self.remaining;
        if path == counting {
            return Some(V2Said::Remaining(before, after));
        }
        if let Some(text) = self.own.get(path) {
            return Some(V2Said::Own(text));
        }
        let is_at = |known: &str| {
            path.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut absent = self.absent.iter();
        absent.find_map(|(known, advice)| is_at(known).then_some(V2Said::Use(advice)))
    }
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
    pub jobs: MemberPath,
    /// The member that says whether there are further pages.
    pub more: MemberPath,
    /// The member that holds the next cursor.
    pub cursor: Option<MemberPath>,
    /// How a list is completed with jobs that the server has lost, if it is.
    pub completed: Option<CompletedNames>,
}

/// Parameters and members of a list that jobshim completes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletedNames {
    /// Parameter: the order.
    pub order: String,
    /// Its word for the lowest first; any other order has the highest first.
    pub ascending: String,
    /// Parameter, and member of a job: its workflow.
    pub workflow: MemberPath,
    /// What a list tells of a job, of the members of its detail.
    pub members: Vec<String>,
    /// The answer: texts `{jobs}`, `{offset}`, `{limit}`, `{total}` and `{more}` stand for what is its own.
    pub answer: toml::Value,
}

/// The detail call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailNames {
    /// The path, with `{id}`.
    pub path: String,
    /// The member that some servers leave out while a job is queued: its prompt.
    pub prompt: Option<MemberPath>,
    /// The member that holds the client's name for the job, where jobshim submitted it under another one.
    pub name: Option<MemberPath>,
    /// The body of a 404: there is no such job.
    pub unknown: Option<toml::Value>,
    /// A job that the server has lost before it had ended, as a detail: texts `{id}`, `{number}`, `{created}` and `{now}`
    /// stand for what is its own.
    pub lost: Option<toml::Value>,
}

/// Where a server says what it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerNames {
    /// The path.
    pub path: String,
    /// The member that holds its version.
    pub version: MemberPath,
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
    pub cancelled: MemberPath,
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
    /// The server takes it as a bearer token all the same.
    #[serde(default)]
    pub bearer: bool,
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
    pub output: MemberPath,
    /// How it describes its inputs, where the server converts their values.
    pub inputs: Option<InputNames>,
}

/// Members of a job.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobNames {
    /// Its id.
    pub id: MemberPath,
    /// The word for where it stands.
    pub state: MemberPath,
    /// Its place in the queue.
    pub number: MemberPath,
    /// When it was created.
    pub created: MemberPath,
    /// When it started.
    pub started: MemberPath,
    /// When it ended, tried in order.
    pub ended: Vec<MemberPath>,
}

/// The words for states.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    pub(in crate::mapping) pending: String,
    pub(in crate::mapping) running: String,
    pub(in crate::mapping) completed: String,
    pub(in crate::mapping) failed: String,
    pub(in crate::mapping) cancelled: String,
}

/// A call, and the status by which this dialect is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The path; the list's where there is none.
    pub path: Option<String>,
    /// The query.
    pub query: String,
    /// The status that this dialect answers it with.
    pub status: u16,
    /// The word for an error that is in that answer.
    pub code: Option<String>,
}

impl DialectNames {
    /// The path of the question that tells this dialect from the others.
    pub fn probe_path(&self) -> &str {
        self.probe.path.as_deref().unwrap_or(&self.list.path)
    }

    /// Whether an answer to that question is this dialect's. A web page with the same status is somebody else's.
    pub fn is_told_by(&self, body: &[u8], status: u16) -> bool {
        let code = || {
            let [code] = find(body, [&self.v2.as_ref()?.code]).ok()?;
            code.and_then(string_value)
        };
        let is_object = body.trim_ascii_start().starts_with(b"{");
        status == self.probe.status && is_object && (self.probe.code.is_none() || self.probe.code == code())
    }

    /// Reads and checks a dialect table. `file` is what errors call it.
    pub fn parse(file: &str, source: &str) -> Result<Self, TableError> {
        let complaint = Complaint { file, source };
        let refuse = |offset, reason: String| complaint.at(offset, reason);
        limits::check(&complaint)?;
        let names: Self = toml::from_str(source)
            .map_err(|error| refuse(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        for (path, hole) in [
            (&names.detail.path, "{id}"),
            (&names.classes.path, "{class}"),
            (&names.cancel.path, "{id}"),
            (&names.cancel.many, ""),
            (&names.list.path, ""),
            (names.v2.as_ref().map_or(&names.detail.path, |v2| &v2.workflow), "{id}"),
            (
                names.v2.as_ref().map_or(&names.detail.path, |v2| &v2.files.content),
                "{id}",
            ),
            (names.v2.as_ref().map_or(&names.list.path, |v2| &v2.files.take), ""),
            (names.v2.as_ref().map_or(&names.detail.path, |v2| &v2.live.path), "{id}"),
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
        Ok(names)
    }
}
