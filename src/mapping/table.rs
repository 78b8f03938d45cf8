//! Table files: read from TOML, checked whole, every complaint with file and line.

use super::{
    compile::compile,
    json::{Found, MemberPath, PathSet, ScanError},
    limits,
    plan::{Job, Plan, PreparedEntry},
    request::RequestRules,
    row::{Line, Rows},
    table_error::{Complaint, TableError},
};
use crate::config::field_path::FieldPath;
use http::HeaderValue;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};
use toml::Spanned;

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
    pub id: Option<MemberPath>,
    /// The row of an item's prompt, as its `to` has it: without a value for it the item cannot be sent back.
    pub prompt: Option<String>,
    /// The member that says which place in the queue that job has.
    pub number: Option<MemberPath>,
}

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
    plan: Plan,
    /// What the plan, and whatever it was compiled beside, needs of a job.
    job: Arc<PathSet<Job>>,
}

/// A table that is compiled, while others may still add to what jobs are searched for.
pub(super) struct CompiledTable {
    name: String,
    file: File,
    plan: Plan,
}

impl CompiledTable {
    /// Reads, checks and compiles a table, and adds what it needs of a job to `job`. `file` is what errors call it.
    pub fn parse(name: &str, file: &str, source: &str, job: &mut PathSet<Job>) -> Result<Self, TableError> {
        let complaint = Complaint { file, source };
        limits::check(&complaint)?;
        let file: File = toml::from_str(source)
            .map_err(|error| complaint.at(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        for (missing, key) in required(name, &file.answer) {
            if missing {
                return Err(complaint.at(0, format!("[answer] needs {key:?} in table {name:?}")));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            plan: compile(&file.field, &file.part, job, &complaint)?,
            file,
        })
    }

    /// The table, where jobs are searched for `job`, which it has added to.
    pub fn searching(self, job: Arc<PathSet<Job>>) -> Table {
        let Self { name, file, plan } = self;
        Table {
            name,
            about: file.about,
            answer: file.answer,
            request: file.request,
            rows: file.field,
            plan,
            job,
        }
    }
}

impl Table {
    /// Reads, checks and compiles a table. `file` is what errors call it.
    pub fn parse(name: &str, file: &str, source: &str) -> Result<Self, TableError> {
        let mut job = PathSet::default();
        let table = CompiledTable::parse(name, file, source, &mut job)?;
        Ok(table.searching(Arc::new(job)))
    }

    /// Passes once over a job's bytes, and over those of what was observed of it when it was submitted.
    pub fn prepare<'a>(&'a self, job: &'a [u8], observed: Option<&'a [u8]>) -> Result<PreparedEntry<'a>, ScanError> {
        self.plan.prepare(job, Cow::Owned(self.job.find(job)?), observed)
    }

    /// As [`Table::prepare`], of a job that has been searched for the paths of this table.
    pub(super) fn prepare_found<'a>(
        &'a self,
        job: &'a [u8],
        found: &'a Found<Job>,
        observed: Option<&'a [u8]>,
    ) -> Result<PreparedEntry<'a>, ScanError> {
        self.plan.prepare(job, Cow::Borrowed(found), observed)
    }

    /// Where an entry has what the Jobs API calls `name`.
    pub fn id_path(&self, name: &MemberPath) -> Option<&FieldPath> {
        let name = name.to_string();
        let is_it = |line: &Line| matches!(line.from.as_slice(), [only] if only.get_ref().as_str() == Some(&name));
        let row = self.rows.iter().map(Spanned::get_ref).find(|line| is_it(line))?;
        Some(row.to.get_ref().path())
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
