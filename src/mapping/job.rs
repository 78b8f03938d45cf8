//! What a job says of itself, in a list or by itself, and its legacy entries.

use super::{
    answers::AnswerTables,
    dialect::names::JobNames,
    json::{Found, PathSet, ScanError, Scanner, Slot, Span},
    plan::{Job, PreparedEntry},
    view::View,
};
use bytes::Bytes;
use std::sync::Arc;

/// Where a document has what a dialect says of a job.
#[derive(Clone, Debug)]
pub(super) struct JobSlots<D> {
    id: Slot<D>,
    state: Slot<D>,
    number: Slot<D>,
    created: Slot<D>,
    started: Slot<D>,
    ended: Vec<Slot<D>>,
}

impl<D> JobSlots<D> {
    /// Adds the paths to `paths`.
    pub(super) fn new(names: &JobNames, paths: &mut PathSet<D>) -> Self {
        Self {
            id: paths.add(&names.id),
            state: paths.add(&names.state),
            number: paths.add(&names.number),
            created: paths.add(&names.created),
            started: paths.add(&names.started),
            ended: names.ended.iter().map(|path| paths.add(path)).collect(),
        }
    }
}

/// What a job says of itself. Each value is JSON as sent.
pub struct JobFields<'t, 'f, D> {
    text: &'t [u8],
    found: &'f Found<D>,
    slots: &'f JobSlots<D>,
}

impl<'t, 'f, D: Copy> JobFields<'t, 'f, D> {
    fn value(&self, slot: Slot<D>) -> Option<&'t [u8]> {
        self.found.value(slot, self.text)
    }

    /// Its id.
    pub fn id(&self) -> Option<&'t [u8]> {
        self.value(self.slots.id)
    }

    /// The word for where it stands.
    pub fn state(&self) -> Option<&'t [u8]> {
        self.value(self.slots.state)
    }

    /// Its place in the queue.
    pub fn number(&self) -> Option<&'t [u8]> {
        self.value(self.slots.number)
    }

    /// When it was created.
    pub fn created(&self) -> Option<&'t [u8]> {
        self.value(self.slots.created)
    }

    /// When it started.
    pub fn started(&self) -> Option<&'t [u8]> {
        self.value(self.slots.started)
    }

    /// When it ended, by each of the members that may say it.
    pub fn ended(&self) -> impl Iterator<Item = Option<&'t [u8]>> {
        self.slots.ended.iter().map(|slot| self.value(*slot))
    }
}

/// How a dialect's jobs are read: what they say of themselves, and the tables that they are shown by.
#[derive(Debug)]
pub(super) struct JobReader {
    pub slots: JobSlots<Job>,
    pub answers: Arc<AnswerTables>,
}

/// A job's detail, searched once for all that its dialect and the tables need of it. It is shown by those very tables, so
/// that no slot can be another's.
#[derive(Debug)]
pub struct ParsedJob {
    text: Bytes,
    found: Found<Job>,
    reader: Arc<JobReader>,
}

impl ParsedJob {
    /// Searches `text`, which must be one whole JSON object.
    pub(super) fn parse(text: Bytes, reader: Arc<JobReader>) -> Result<Self, ScanError> {
        let found = reader.answers.job().find(&text)?;
        Ok(Self { text, found, reader })
    }

    /// As the server sent it.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// What it says of itself.
    pub fn fields(&self) -> JobFields<'_, '_, Job> {
        JobFields {
            text: &self.text,
            found: &self.found,
            slots: &self.reader.slots,
        }
    }

    /// Its entry in a legacy view, with what was observed of it when it was submitted.
    pub fn prepare<'a>(&'a self, view: View, observed: Option<&'a [u8]>) -> Result<PreparedEntry<'a>, ScanError> {
        let table = self.reader.answers.table(view);
        table.prepare_found(&self.text, &self.found, observed)
    }
}

/// A job as a list tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Listed;

/// Finds the members of list entries.
#[derive(Clone, Debug)]
pub(super) struct ListedPaths {
    paths: PathSet<Listed>,
    slots: JobSlots<Listed>,
}

impl ListedPaths {
    pub(super) fn new(names: &JobNames) -> Self {
        let mut paths = PathSet::default();
        let slots = JobSlots::new(names, &mut paths);
        Self { paths, slots }
    }
}

/// Reads list entries, one after the other.
pub struct ListedJobs<'a> {
    paths: &'a ListedPaths,
    scanner: Scanner<'a>,
    found: Found<Listed>,
    /// Before the first one.
    at_start: bool,
}

/// A job in a list.
pub struct ListedJob<'t, 'f> {
    /// As sent.
    pub text: &'t [u8],
    /// What it says of itself.
    pub fields: JobFields<'t, 'f, Listed>,
}

impl<'a> ListedJobs<'a> {
    /// Those of `text`, a list.
    pub(super) fn new(paths: &'a ListedPaths, text: &'a [u8]) -> Self {
        Self {
            paths,
            scanner: Scanner::new(text),
            found: paths.paths.nothing(),
            at_start: true,
        }
    }

    /// The next one; `None` behind the last.
    pub fn read_next(&mut self) -> Result<Option<ListedJob<'a, '_>>, ScanError> {
        if std::mem::take(&mut self.at_start) {
            self.scanner.expect(b'[', "expected a list")?;
            if self.scanner.take(b']') {
                return Ok(None);
            }
        } else if !self.scanner.take(b',') {
            return Ok(None);
        }
        self.read().map(Some)
    }

    /// The only one, where `text` is no list of them.
    pub fn read_only(&mut self) -> Result<ListedJob<'a, '_>, ScanError> {
        self.read()
    }

    fn read(&mut self) -> Result<ListedJob<'a, '_>, ScanError> {
        let text = self.scanner.text();
        self.scanner.peek();
        let start = self.scanner.position();
        self.paths.paths.find_next(&mut self.scanner, &mut self.found)?;
        let end = self.scanner.position();
        Ok(ListedJob {
            text: Span { start, end }.of(text),
            fields: JobFields {
                text,
                found: &self.found,
                slots: &self.paths.slots,
            },
        })
    }
}
