//! Table files: read from TOML, checked whole, every complaint with file and line.

use super::{
    compile::compile,
    derive::{Dropped, without},
    json::{Paths, ScanError, quoted, string_value},
    limits,
    plan::Plan,
    table_error::{Complaint, TableError},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderName};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{collections::BTreeMap, sync::Arc};
use toml::Spanned;

/// How true a legacy field is to what the legacy server would have said.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// The same value, byte for byte.
    Exact,
    /// Worked out from other fields; the same in all ordinary cases.
    Derived,
    /// The Jobs API does not carry it.
    Lost,
}

/// What is no difference when a comparison finds it in a field.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Allowance {
    /// The items of a list stand in another order: the legacy server's own is arbitrary.
    Order,
    /// A list has further items.
    More,
    /// A list or an object has only some of its items: the job did not tell.
    Fewer,
    /// `null` items of lists are gone.
    Nulls,
}

/// What stands around the entries of an answer. Which keys a table needs depends on its route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `Content-Type` of a translated answer.
    #[serde(default, deserialize_with = "header_value")]
    pub content_type: Option<HeaderValue>,
    /// The member that holds a list of entries.
    pub list: Option<String>,
    /// The member that holds running jobs.
    pub running: Option<String>,
    /// The member that holds pending jobs.
    pub pending: Option<String>,
    /// The body of a 404.
    pub not_found: Option<toml::Value>,
    /// The query parameter for how many entries are wanted.
    pub count: Option<String>,
    /// The query parameter for how many entries are passed over.
    pub skip: Option<String>,
    /// The member that says which job a request became.
    pub id: Option<String>,
    /// The row of an item's prompt, as its `to` has it: without a value for it the item cannot be sent back.
    pub prompt: Option<String>,
    /// The member that says which place in the queue that job has.
    pub number: Option<String>,
}

/// What is done to a request on its way to the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRules {
    drop: Vec<Dropped>,
    id: Option<String>,
    number: Option<String>,
    prompt: Option<String>,
    /// Headers that rows read as `observed.*`, by the name that they have there.
    #[serde(default)]
    headers: BTreeMap<String, HeaderField>,
}

/// The name of a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct HeaderField(HeaderName);

impl TryFrom<String> for HeaderField {
    type Error = InvalidHeaderName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        HeaderName::try_from(name).map(Self)
    }
}

/// What a request for a new job says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The id that the client chose.
    pub id: Option<String>,
    /// The client chose the number, too.
    pub numbered: bool,
    /// It has no nodes: an empty object.
    pub hollow: bool,
}

impl Chosen {
    /// Of a request that is not read: it may say anything.
    pub fn unread() -> Self {
        Self {
            numbered: true,
            ..Self::default()
        }
    }
}

impl RequestRules {
    /// Writes `body` without the members that never go on; every other byte as it was.
    pub fn apply(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
        without(body, &self.drop, out)
    }

    /// The members that it is about.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.drop.iter().map(|member| member.path.as_str())
    }

    /// What `body` says of the job that it asks for; nothing where it is no JSON object.
    pub fn chosen(&self, body: &[u8]) -> Chosen {
        let mut paths = Paths::default();
        let slots = [&self.id, &self.number, &self.prompt];
        let [id, number, prompt] = slots.map(|path| path.as_deref().map(|path| paths.add(path)));
        let Ok(spans) = paths.find(body) else {
            return Chosen::default();
        };
        let value = |slot: Option<usize>| Some(spans.get(slot?)?.as_ref()?.of(body));
        Chosen {
            id: value(id).and_then(string_value),
            numbered: value(number).is_some(),
            hollow: value(prompt).is_some_and(is_empty_object),
        }
    }

    /// What of a request's headers is kept, as a JSON object; `None` where there is nothing of it. An empty header is none,
    /// and of a repeated one the first counts.
    pub fn observed(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let text = |field: &HeaderField| std::str::from_utf8(headers.get(&field.0)?.as_bytes()).ok();
        let kept: Vec<_> = self
            .headers
            .iter()
            .filter_map(|(name, field)| Some((name, text(field).filter(|text| !text.is_empty())?)))
            .map(|(name, text)| format!("{}: {}", quoted(name), quoted(text)))
            .collect();
        (!kept.is_empty()).then(|| format!("{{{}}}", kept.join(", ")).into_bytes())
    }
}

fn is_empty_object(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// One row as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Where in the entry, such as `prompt[4]` or `prompt.extra_data`.
    pub to: Spanned<String>,
    /// Sources, tried in order: a path into the job, or a derivation.
    #[serde(default)]
    pub from: Vec<Spanned<toml::Value>>,
    /// Used when no source has a value.
    pub default: Option<toml::Value>,
    /// `null` is used when no source has a value.
    #[serde(default)]
    pub null: bool,
    /// The field is left out when no source has a value.
    #[serde(default)]
    pub optional: bool,
    /// The value is written as JSON text in a string, as servers do that keep records as text.
    #[serde(default)]
    pub text: bool,
    /// How true the field is.
    pub fidelity: Fidelity,
    /// What a comparison with the legacy endpoint does not count as a difference.
    #[serde(default)]
    pub allow: Vec<Allowance>,
    /// For the reader of the field-equivalence guide.
    pub note: Option<String>,
}

/// Rows of one entry or part, in the order in which they are written out.
pub type Rows = Vec<Spanned<Line>>;

/// A table file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    answer: Answer,
    #[serde(default)]
    request: RequestRules,
    field: Rows,
    #[serde(default)]
    part: BTreeMap<String, Rows>,
}

/// A checked table, and the plan that it compiles to.
#[derive(Clone, Debug)]
pub struct Table {
    /// Such as `history`.
    pub name: String,
    /// One line on what the table makes.
    pub about: String,
    /// What stands around the entries.
    pub answer: Answer,
    /// What is done to the request.
    pub request: RequestRules,
    /// The rows as written, for people.
    pub rows: Rows,
    /// What runs.
    pub plan: Plan,
}

impl Table {
    /// Reads, checks and compiles a table. `file` is what errors call it.
    pub fn parse(name: &str, file: &str, source: &str) -> Result<Self, TableError> {
        Self::parse_beside(name, file, source, Arc::default())
    }

    /// As [`Table::parse`], for jobs that are searched for `job` anyway.
    pub(super) fn parse_beside(name: &str, file: &str, source: &str, job: Arc<Paths>) -> Result<Self, TableError> {
        let complaint = Complaint { file, source };
        limits::check(&complaint)?;
        let raw: File = toml::from_str(source)
            .map_err(|error| complaint.at(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        for (missing, key) in required(name, &raw.answer) {
            if missing {
                return Err(complaint.at(0, format!("[answer] needs {key:?} in table {name:?}")));
            }
        }
        let plan = compile(&raw.field, &raw.part, job, &complaint)?;
        Ok(Self {
            name: name.to_owned(),
            about: raw.about,
            answer: raw.answer,
            request: raw.request,
            rows: raw.field,
            plan,
        })
    }
}

impl Table {
    /// Where an entry has what the Jobs API calls `name`, in segments.
    pub fn id_path(&self, name: &str) -> Option<Vec<String>> {
        let is_it = |line: &Line| matches!(line.from.as_slice(), [only] if only.get_ref().as_str() == Some(name));
        let row = self.rows.iter().map(Spanned::get_ref).find(|line| is_it(line))?;
        Some(crate::config::field_path::segments(row.to.get_ref()))
    }
}

/// What can stand in a header.
pub(super) fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderValue>, D::Error> {
    let text = String::deserialize(deserializer)?;
    HeaderValue::try_from(text).map(Some).map_err(D::Error::custom)
}

/// Which keys of `[answer]` the route of table `name` cannot do without, and whether they are missing.
fn required(name: &str, answer: &Answer) -> Vec<(bool, &'static str)> {
    let mut keys = vec![(answer.content_type.is_none(), "content_type")];
    match name {
        "history" => keys.extend([(answer.count.is_none(), "count"), (answer.skip.is_none(), "skip")]),
        "history_v2" => keys.extend([
            (answer.list.is_none(), "list"),
            (answer.count.is_none(), "count"),
            (answer.skip.is_none(), "skip"),
        ]),
        "history_v2_detail" | "job_status" => keys.push((answer.not_found.is_none(), "not_found")),
        "queue" | "queue_cloud" => keys.extend([
            (answer.running.is_none(), "running"),
            (answer.pending.is_none(), "pending"),
        ]),
        "prompt" => keys.push((answer.id.is_none(), "id")),
        _ => {}
    }
    keys
}
