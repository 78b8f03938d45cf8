//! Where two legacy answers differ, field by field as the tables have them: what is unordered, and what the Jobs API
//! cannot carry, is no difference.

use super::{
    answer::{Envelope, Taken},
    entries::{inside, is_within, list, listed, object, said, told_apart},
};
use crate::{
    config::field_path::{FieldPath, Segment},
    mapping::{
        Allowance, Fidelity, Table,
        json::{check, decode},
    },
    telemetry::{Comparison, Finding, Kind, Sample},
};
use std::collections::{HashMap, HashSet};
use twox_hash::XxHash3_64;

/// How deep two values are compared; what lies deeper is compared as text.
const DEPTH: usize = 64;
/// The most characters of a path that are shown.
const LONGEST_PATH: usize = 120;

/// What it is called that entries are in one of two answers alone.
pub(super) const ENTRIES: &str = "(entries)";

/// What a comparison goes by.
pub(super) struct Rules<'a> {
    rows: Vec<Row<'a>>,
    envelope: Envelope<'a>,
    ignored: &'a [FieldPath],
    /// The job that was asked for, where the answer does not name it.
    asked: Option<&'a str>,
}

/// The entries of the legacy answer have no ids by which they could be paired with others.
#[derive(Debug)]
pub(super) struct Unpaired;

struct Row<'a> {
    path: &'a FieldPath,
    allow: &'a [Allowance],
    is_lost: bool,
}

impl<'a> Rules<'a> {
    /// Entries as `table` has them, in `envelope`; what lies at or below an `ignored` path is not looked at, where `*`
    /// is any one segment. `asked` is the job of an answer that does not name it.
    pub(super) fn new(
        table: &'a Table,
        envelope: Envelope<'a>,
        ignored: &'a [FieldPath],
        asked: Option<&'a str>,
    ) -> Self {
        let rows = table.rows.iter().map(|row| {
            let line = row.get_ref();
            Row {
                path: line.to.get_ref().path(),
                allow: &line.allow,
                is_lost: line.fidelity == Fidelity::Lost,
            }
        });
        Self {
            rows: rows.collect(),
            envelope,
            ignored,
            asked,
        }
    }

    /// The same, where all that differs counts, but for an order that is arbitrary: both answers were made by tables.
    pub(super) fn strict(mut self) -> Self {
        for row in &mut self.rows {
            row.allow = if row.allow.contains(&Allowance::Order) {
                &[Allowance::Order]
            } else {
                &[]
            };
            row.is_lost = false;
        }
        self
    }

    /// Whether a row has this field, or some of it.
    pub(super) fn covers(&self, field: &str) -> bool {
        let Ok(path) = FieldPath::parse(field) else {
            return false;
        };
        let path = path.segments();
        let mut rows = self.rows.iter().map(|row| row.path.segments());
        rows.any(|row| path.starts_with(row) || row.starts_with(path))
    }

    /// What of `legacy` the answer `translated` has otherwise: status, content type, and the body where both have one.
    pub(super) fn compare(&self, legacy: &Taken, translated: &Taken) -> Result<Comparison, Unpaired> {
        let mut found = Found {
            rules: self,
            comparison: Comparison::default(),
            job: None,
            exactly: false,
        };
        if legacy.status != translated.status {
            found.is_of_asked();
            found.around("(status)", &legacy.status.to_string(), &translated.status.to_string());
            return Ok(found.comparison);
        }
        if legacy.status != 200 {
            return Ok(found.comparison);
        }
        if legacy.content_type != translated.content_type {
            found.around("(content type)", &legacy.content_type, &translated.content_type);
        }
        let (Some(legacy), Some(translated)) = (&legacy.body, &translated.body) else {
            return Ok(found.comparison);
        };
        let (Ok(one), Ok(other)) = (check(legacy), check(translated)) else {
            found.is_of_asked();
            found.around("(not JSON)", "", "");
            return Ok(found.comparison);
        };
        found.envelopes(one.of(legacy), other.of(translated))?;
        Ok(found.comparison)
    }

    fn is_ignored(&self, path: &[Segment]) -> bool {
        let is_any = |wanted: &Segment| matches!(wanted, Segment::Name(name) if name == "*");
        self.ignored.iter().map(FieldPath::segments).any(|ignored| {
            let fits = |(wanted, segment): (&Segment, &Segment)| is_any(wanted) || wanted == segment;
            ignored.len() <= path.len() && ignored.iter().zip(path).all(fits)
        })
    }

    fn row(&self, path: &[Segment]) -> Option<&Row<'a>> {
        let rows = self.rows.iter().filter(|row| path.starts_with(row.path.segments()));
        rows.max_by_key(|row| row.path.segments().len())
    }
}

/// A value without its texts.
fn redacted(value: Option<&[u8]>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    match value.first() {
        Some(b'{') => format!("an object of {}", object(value).len()),
        Some(b'[') => format!("a list of {}", list(value).len()),
        Some(b'"') => format!("a text of {} bytes", value.len().saturating_sub(2)),
        _ => String::from_utf8_lossy(value).chars().take(40).collect(),
    }
}

struct Found<'a> {
    rules: &'a Rules<'a>,
    comparison: Comparison,
    /// The job that is compared.
    job: Option<u64>,
    /// Nothing that a row allows as a loss is passed over. It is so within what a loss is told by, or each level of a value
    /// would be gone through twice as often as the one above.
    exactly: bool,
}

/// A job's id as a number.
fn numbered(id: &str) -> u64 {
    XxHash3_64::oneshot(id.as_bytes())
}

impl Found<'_> {
    /// What is compared is the job that was asked for.
    fn is_of_asked(&mut self) {
        self.job = self.rules.asked.map(numbered);
        self.comparison.jobs.extend(self.job);
    }

    fn around(&mut self, field: &str, legacy: &str, translated: &str) {
        self.comparison.findings.push(Finding {
            job: self.job,
            field: field.to_owned(),
            kind: Kind::Difference,
            sample: Sample {
                path: field.to_owned(),
                forwarded: format!("{legacy:.60}"),
                translated: format!("{translated:.60}"),
            },
        });
    }

    fn envelopes(&mut self, one: &[u8], other: &[u8]) -> Result<(), Unpaired> {
        match self.rules.envelope {
            Envelope::Bare => {
                self.is_of_asked();
                self.values(&mut Vec::new(), one, other);
            }
            Envelope::ById => self.entries(object(one), object(other), true),
            Envelope::List(name, id) => self.members(one, other, name, id, true)?,
            Envelope::Queue(names, id) => {
                for name in names {
                    self.members(one, other, name, id, false)?;
                }
            }
        }
        Ok(())
    }

    /// The entries of a list in either answer. Those of the legacy one must have ids; what the other one lacks is paired
    /// with nothing.
    fn members(&mut self, one: &[u8], other: &[u8], name: &str, id: &FieldPath, ordered: bool) -> Result<(), Unpaired> {
        let legacy = listed(one, name, id).map(|(id, item)| Some((id?, item)));
        let legacy: Option<Vec<_>> = legacy.collect();
        let translated = listed(other, name, id).map(|(id, item)| (id.unwrap_or_default(), item));
        self.entries(legacy.ok_or(Unpaired)?, translated.collect(), ordered);
        Ok(())
    }

    fn entries(&mut self, legacy: Vec<(String, &[u8])>, translated: Vec<(String, &[u8])>, ordered: bool) {
        let (legacy, translated) = (told_apart(legacy), told_apart(translated));
        let known: HashMap<_, &[u8]> = translated.iter().map(|(key, entry)| (key, *entry)).collect();
        let had: HashSet<_> = legacy.iter().map(|(key, _)| key).collect();
        let mut unpaired = Vec::new();
        for (key, entry) in &legacy {
            let job = numbered(&key.0);
            self.comparison.jobs.push(job);
            self.job = Some(job);
            match known.get(key) {
                Some(other) => self.values(&mut Vec::new(), entry, other),
                None => unpaired.push(job),
            }
        }
        let missing = unpaired.len();
        let more = translated.iter().filter(|(key, _)| !had.contains(key));
        let more: Vec<u64> = more.map(|(key, _)| numbered(&key.0)).collect();
        self.comparison.jobs.extend(&more);
        unpaired.extend(more);
        self.job = None;
        if !unpaired.is_empty() || legacy.len() != translated.len() {
            let (had, has) = (
                legacy.len().to_string(),
                format!("{}, {missing} of those missing", translated.len()),
            );
            for job in unpaired {
                self.job = Some(job);
                self.around(ENTRIES, &had, &has);
            }
            self.job = None;
            if self.comparison.findings.is_empty() {
                self.around(ENTRIES, &had, &has);
            }
        } else if ordered
            && legacy
                .iter()
                .map(|(key, _)| key)
                .ne(translated.iter().map(|(key, _)| key))
        {
            self.around("(order)", "one", "another");
        }
    }

    fn differ(&mut self, path: &[Segment], legacy: Option<&[u8]>, translated: Option<&[u8]>, loss: bool) {
        let row = self.rules.row(path);
        let lost = loss || row.is_some_and(|row| row.is_lost);
        let unknown = || {
            format!(
                "(unknown) {:.40}",
                FieldPath::text_of(path.get(..1).unwrap_or_default())
            )
        };
        let shown = FieldPath::text_of(path);
        self.comparison.findings.push(Finding {
            job: self.job,
            field: row.map_or_else(unknown, |row| row.path.to_string()),
            kind: if lost { Kind::Loss } else { Kind::Difference },
            sample: Sample {
                path: shown.chars().take(LONGEST_PATH).collect(),
                forwarded: redacted(legacy),
                translated: redacted(translated),
            },
        });
    }

    // Recursion goes no deeper than `DEPTH`.
    fn values(&mut self, path: &mut Vec<Segment>, one: &[u8], other: &[u8]) {
        if one == other || self.rules.is_ignored(path) {
            return;
        }
        match (one.first(), other.first()) {
            (Some(b'{'), Some(b'{')) if path.len() < DEPTH => self.objects(path, one, other),
            (Some(b'['), Some(b'[')) if path.len() < DEPTH => self.lists(path, one, other),
            (Some(b'"'), Some(b'"')) if decode(inside(one)).is_some_and(|text| decode(inside(other)) == Some(text)) => {
            }
            _ => self.differ(path, Some(one), Some(other), false),
        }
    }

    fn allows(&self, path: &[Segment], allowance: Allowance) -> bool {
        let counts = allowance == Allowance::Order || !self.exactly;
        counts && self.rules.row(path).is_some_and(|row| row.allow.contains(&allowance))
    }

    /// Whether a member says the same in both answers, however it is written.
    fn is_same(&self, path: &[Segment], key: &str, one: &[u8], other: &[u8]) -> bool {
        let mut found = Found {
            rules: self.rules,
            comparison: Comparison::default(),
            job: None,
            exactly: true,
        };
        let mut path = [path, &[Segment::Name(key.to_owned())]].concat();
        found.values(&mut path, one, other);
        found.comparison.findings.is_empty()
    }

    fn objects(&mut self, path: &mut Vec<Segment>, one: &[u8], other: &[u8]) {
        let (legacy, translated) = (object(one), object(other));
        let known: HashMap<&str, &[u8]> = translated.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let had: HashMap<&str, &[u8]> = legacy.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let is_had =
            |(key, value): (&&str, &&[u8])| had.get(key).is_some_and(|had| self.is_same(path, key, had, value));
        let is_within = || known.iter().all(is_had);
        if self.allows(path, Allowance::Fewer) && known.len() < had.len() && is_within() {
            return self.differ(path, Some(one), Some(other), true);
        }
        for (key, value) in &had {
            path.push(Segment::Name((*key).to_owned()));
            match known.get(key) {
                Some(other) => self.values(path, value, other),
                None if self.rules.is_ignored(path) => {}
                None => self.differ(path, Some(value), None, false),
            }
            path.pop();
        }
        for (key, value) in known.iter().filter(|(key, _)| !had.contains_key(*key)) {
            path.push(Segment::Name((*key).to_owned()));
            if !self.rules.is_ignored(path) {
                self.differ(path, None, Some(value), false);
            }
            path.pop();
        }
    }

    fn lists(&mut self, path: &mut Vec<Segment>, one: &[u8], other: &[u8]) {
        let (mut legacy, mut translated) = (list(one), list(other));
        if self.allows(path, Allowance::Nulls) {
            let before = legacy.len();
            legacy.retain(|item| *item != b"null");
            translated.retain(|item| *item != b"null");
            if legacy.len() < before {
                self.differ(path, Some(one), Some(other), true);
            }
        }
        if self.allows(path, Allowance::Order) {
            legacy.sort_by_cached_key(|item| said(item));
            translated.sort_by_cached_key(|item| said(item));
        }
        let more = self.allows(path, Allowance::More) && is_within(&legacy, &translated);
        let fewer = self.allows(path, Allowance::Fewer) && is_within(&translated, &legacy);
        if legacy.len() == translated.len() {
            for (index, (one, other)) in legacy.iter().zip(&translated).enumerate() {
                path.push(Segment::Index(index));
                self.values(path, one, other);
                path.pop();
            }
        } else {
            self.differ(path, Some(one), Some(other), more || fewer);
        }
    }
}
