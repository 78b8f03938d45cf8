//! Table files: read from TOML, checked whole, every complaint with file and line.

use super::{
    compile::compile,
    files::built_in_text,
    json::{Found, MemberPath, PathSet, ScanError},
    limits,
    plan::{Job, Plan, PreparedEntry},
    request::RequestRules,
    row::{Rows, Target},
    table_error::{Complaint, TableError},
};
use crate::config::field_path::FieldPath;
use http::HeaderValue;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The `[answer]` of a table file. Which keys a table needs depends on what it is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerKeys {
    #[serde(default, deserialize_with = "header_value")]
    content_type: Option<HeaderValue>,
    list: Option<String>,
    running: Option<String>,
    pending: Option<String>,
    entry_id: Option<Target>,
    not_found: Option<toml::Value>,
    count: Option<String>,
    skip: Option<String>,
    id: Option<MemberPath>,
    prompt: Option<String>,
    number: Option<MemberPath>,
}

/// A table file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    answer: AnswerKeys,
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
    /// `Content-Type` of a translated answer.
    pub content_type: HeaderValue,
    /// The rows as written, for people.
    pub rows: Rows,
    plan: Plan,
    /// What the plan, and whatever it was compiled beside, needs of a job.
    job: Arc<PathSet<Job>>,
}

/// The query parameters of a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaginationNames {
    /// How many entries are wanted.
    pub count: String,
    /// How many entries are passed over.
    pub skip: String,
}

/// A table whose entries are an object, by job id.
#[derive(Clone, Debug)]
pub struct HistoryTable {
    /// Makes the entries.
    pub table: Table,
    /// The parameters of a request.
    pub pagination: PaginationNames,
}

/// A table whose entries are a list in an object.
#[derive(Clone, Debug)]
pub struct ListTable {
    /// Makes the entries.
    pub table: Table,
    /// The parameters of a request.
    pub pagination: PaginationNames,
    /// The member that holds the list.
    pub list: String,
    /// Where an entry of the legacy endpoint has its job's id, whatever this table writes there.
    pub entry_id: FieldPath,
}

/// A table for one job alone.
#[derive(Clone, Debug)]
pub struct JobTable {
    /// Makes the entry.
    pub table: Table,
    /// The body of a 404.
    pub not_found: toml::Value,
}

/// A table for the items of a queue.
#[derive(Clone, Debug)]
pub struct QueueTable {
    /// Makes the items.
    pub table: Table,
    /// The member that holds running jobs.
    pub running: String,
    /// The member that holds pending jobs.
    pub pending: String,
    /// Where an item of the legacy endpoint has its job's id, whatever this table writes there.
    pub entry_id: FieldPath,
    /// The row of an item's prompt, as its `to` has it: without a value for it the item cannot be sent back.
    pub prompt: Option<String>,
}

/// The table of what is kept of a request for a new job.
#[derive(Clone, Debug)]
pub struct PromptTable {
    /// Makes a note of the request.
    pub table: Table,
    /// What is done to the request.
    pub request: RequestRules,
    /// The member of the answer that says which job the request became.
    pub id: MemberPath,
    /// The member of the answer that says which place in the queue that job has.
    pub number: Option<MemberPath>,
}

/// A table that is compiled, while others may still add to what jobs are searched for.
pub(super) struct CompiledTable<'a> {
    name: &'a str,
    complaint: Complaint<'a>,
    file: File,
    plan: Plan,
}

impl<'a> CompiledTable<'a> {
    /// Reads, checks and compiles a table, and adds what it needs of a job to `job`. `file` is what errors call it.
    pub(super) fn parse(
        name: &'a str,
        file: &'a str,
        source: &'a str,
        job: &mut PathSet<Job>,
    ) -> Result<Self, TableError> {
        let complaint = Complaint { file, source };
        limits::check(&complaint)?;
        let file: File = toml::from_str(source)
            .map_err(|error| complaint.at(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        Ok(Self {
            name,
            plan: compile(&file.field, &file.part, job, &complaint)?,
            complaint,
            file,
        })
    }

    /// A key of `[answer]` that this table cannot do without.
    fn needed<T: Clone>(&self, key: &str, value: impl Fn(&AnswerKeys) -> &Option<T>) -> Result<T, TableError> {
        let missing = || format!("[answer] needs {key:?} in table {:?}", self.name);
        let value = value(&self.file.answer).clone();
        value.ok_or_else(|| self.complaint.at(0, missing()))
    }

    fn pagination(&self) -> Result<PaginationNames, TableError> {
        Ok(PaginationNames {
            count: self.needed("count", |answer| &answer.count)?,
            skip: self.needed("skip", |answer| &answer.skip)?,
        })
    }

    /// Where legacy entries have their ids. A table that does not say it is one of a list like the built-in one.
    fn entry_id(&self) -> Result<FieldPath, TableError> {
        let built_in = || {
            let file: File = toml::from_str(built_in_text(self.name)?).ok()?;
            file.answer.entry_id
        };
        let target = match self.file.answer.entry_id.clone().or_else(built_in) {
            Some(target) => target,
            None => self.needed("entry_id", |answer| &answer.entry_id)?,
        };
        Ok(target.path().clone())
    }

    /// The table, where jobs are searched for `job`, which it has added to.
    pub(super) fn into_table(self, job: &Arc<PathSet<Job>>) -> Result<Table, TableError> {
        Ok(Table {
            content_type: self.needed("content_type", |answer| &answer.content_type)?,
            name: self.name.to_owned(),
            about: self.file.about,
            rows: self.file.field,
            plan: self.plan,
            job: Arc::clone(job),
        })
    }

    /// As [`CompiledTable::into_table`], with what stands around its entries.
    pub(super) fn into_history(self, job: &Arc<PathSet<Job>>) -> Result<HistoryTable, TableError> {
        Ok(HistoryTable {
            pagination: self.pagination()?,
            table: self.into_table(job)?,
        })
    }

    /// As [`CompiledTable::into_table`], with what stands around its entries.
    pub(super) fn into_list(self, job: &Arc<PathSet<Job>>) -> Result<ListTable, TableError> {
        Ok(ListTable {
            list: self.needed("list", |answer| &answer.list)?,
            entry_id: self.entry_id()?,
            pagination: self.pagination()?,
            table: self.into_table(job)?,
        })
    }

    /// As [`CompiledTable::into_table`], with the answer where there is no such job.
    pub(super) fn into_job(self, job: &Arc<PathSet<Job>>) -> Result<JobTable, TableError> {
        Ok(JobTable {
            not_found: self.needed("not_found", |answer| &answer.not_found)?,
            table: self.into_table(job)?,
        })
    }

    /// As [`CompiledTable::into_table`], with what stands around its items.
    pub(super) fn into_queue(self, job: &Arc<PathSet<Job>>) -> Result<QueueTable, TableError> {
        Ok(QueueTable {
            running: self.needed("running", |answer| &answer.running)?,
            pending: self.needed("pending", |answer| &answer.pending)?,
            entry_id: self.entry_id()?,
            prompt: self.file.answer.prompt.clone(),
            table: self.into_table(job)?,
        })
    }
}

impl PromptTable {
    /// Reads, checks and compiles the table. `file` is what errors call it.
    pub fn parse(file: &str, source: &str) -> Result<Self, TableError> {
        let mut job = PathSet::default();
        let compiled = CompiledTable::parse("prompt", file, source, &mut job)?;
        Ok(Self {
            request: compiled.file.request.clone(),
            id: compiled.needed("id", |answer| &answer.id)?,
            number: compiled.file.answer.number.clone(),
            table: compiled.into_table(&Arc::new(job))?,
        })
    }
}

impl Table {
    /// Reads, checks and compiles a table. `file` is what errors call it.
    pub fn parse(name: &str, file: &str, source: &str) -> Result<Self, TableError> {
        let mut job = PathSet::default();
        let compiled = CompiledTable::parse(name, file, source, &mut job)?;
        compiled.into_table(&Arc::new(job))
    }

    /// The same table without the rows of one job by itself: what a list tells.
    pub(super) fn parse_list(name: &str, file: &str, source: &str) -> Result<Self, TableError> {
        let mut job = PathSet::default();
        let mut compiled = CompiledTable::parse(name, file, source, &mut PathSet::default())?;
        compiled.file.field.retain(|row| !row.get_ref().detail);
        compiled.plan = compile(&compiled.file.field, &compiled.file.part, &mut job, &compiled.complaint)?;
        compiled.into_table(&Arc::new(job))
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
}

/// What can stand in a header.
pub(super) fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderValue>, D::Error> {
    let text = String::deserialize(deserializer)?;
    HeaderValue::try_from(text).map(Some).map_err(D::Error::custom)
}
