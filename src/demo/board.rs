//! The simulated upstream's jobs, and the Jobs API's rules for listing them (docs/contract.md section 2).

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most ids that the cloud takes in one cancel call.
const MAX_CANCELLED: usize = 100;

/// Whose rules the simulated upstream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// ComfyUI 0.9.0 and later.
    Comfyui,
    /// ComfyUI before 0.9.0: `status=cancelled` is refused.
    ComfyuiEarly,
    /// The cloud's published contract.
    Cloud,
}

/// One job: the exact texts that are served, and what listing needs to know of them.
#[derive(Clone, Debug)]
pub struct Job {
    /// The job's id.
    pub id: String,
    /// Its list entry, as served.
    pub entry: String,
    /// Its detail, as served.
    pub detail: String,
    status: String,
    created: i64,
    duration: i64,
    workflow: Option<String>,
    unlistable: bool,
}

impl Job {
    /// Takes the texts apart as far as listing needs; `None` when they are no job.
    pub fn new(entry: &str, detail: &str) -> Option<Self> {
        let parsed: Value = serde_json::from_str(entry).ok()?;
        let time = |key: &str| parsed.get(key).and_then(Value::as_i64);
        Some(Self {
            id: parsed.get("id")?.as_str()?.to_owned(),
            status: parsed.get("status")?.as_str()?.to_owned(),
            created: time("create_time").unwrap_or(0),
            duration: time("execution_end_time").unwrap_or(0) - time("execution_start_time").unwrap_or(0),
            workflow: parsed.get("workflow_id").and_then(Value::as_str).map(str::to_owned),
            entry: entry.to_owned(),
            detail: detail.to_owned(),
            unlistable: false,
        })
    }

    /// The same, as one that a self-hosted server fails at wherever it looks at it (docs/contract.md section 6).
    pub fn unlistable(self) -> Self {
        Self {
            unlistable: true,
            ..self
        }
    }

    fn is_queued(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "in_progress")
    }

    /// The job as it is once it was stopped at `now`, in ms.
    fn stopped(&self, rules: Rules, now: i64) -> Option<Self> {
        let stopped = |text: &str, ended: &str| {
            let mut job: Value = serde_json::from_str(text).ok()?;
            let members = job.as_object_mut()?;
            members.insert("status".to_owned(), json!("cancelled"));
            members.insert(ended.to_owned(), json!(now));
            Some(job.to_string())
        };
        let ended_in_detail = match rules {
            Rules::Cloud => "update_time",
            Rules::Comfyui | Rules::ComfyuiEarly => "execution_end_time",
        };
        let stopped = Self::new(
            &stopped(&self.entry, "execution_end_time")?,
            &stopped(&self.detail, ended_in_detail)?,
        )?;
        Some(Self {
            unlistable: self.unlistable,
            ..stopped
        })
    }
}

/// All jobs, newest created first, and the node classes.
#[derive(Clone, Debug)]
pub struct Board {
    /// Whose rules hold.
    pub rules: Rules,
    /// Newest created first.
    pub jobs: Vec<Job>,
    /// Class name to its description, as served.
    pub classes: BTreeMap<String, String>,
}

/// A status and a body.
pub type Reply = (u16, String);

impl Board {
    /// A server that has run nothing.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            jobs: Vec::new(),
            classes: BTreeMap::new(),
        }
    }

    /// `GET /api/jobs/{id}`.
    pub fn detail(&self, id: &str) -> Reply {
        // An id that is used again stands for its finished run first.
        let of_id = || self.jobs.iter().filter(|job| job.id == id);
        let ended = of_id().find(|job| !job.is_queued());
        match ended.or_else(|| self.queued(id)) {
            Some(job) if self.fails_at(job) => failure(),
            Some(job) => (200, job.detail.clone()),
            None => self.unknown(),
        }
    }

    fn fails_at(&self, job: &Job) -> bool {
        job.unlistable && self.rules != Rules::Cloud
    }

    /// Whether a list of jobs in these states fails: of a job that has ended the server finds out in which way by reading
    /// all of it, but for early ones, which look first.
    fn fails_listing(&self, wanted: &[&str]) -> bool {
        let ended = |word: &&str| !matches!(*word, "pending" | "in_progress");
        let reads = |job: &Job| match job.is_queued() || self.rules == Rules::ComfyuiEarly {
            true => wanted.contains(&job.status.as_str()),
            false => wanted.iter().any(ended),
        };
        self.jobs.iter().any(|job| self.fails_at(job) && reads(job))
    }

    /// The job of an id that runs, or the oldest that waits.
    fn queued(&self, id: &str) -> Option<&Job> {
        let queued = || self.jobs.iter().rev().filter(|job| job.id == id && job.is_queued());
        queued().find(|job| job.status != "pending").or_else(|| queued().next())
    }

    fn unknown(&self) -> Reply {
        let body = match self.rules {
            Rules::Cloud => r#"{"code": "NOT_FOUND", "message": "Job not found"}"#,
            Rules::Comfyui | Rules::ComfyuiEarly => r#"{"error": "Job not found"}"#,
        };
        (404, body.to_owned())
    }

    /// `POST /api/jobs/{id}/cancel`; `now` in ms.
    pub fn cancel(&mut self, id: &str, now: i64) -> Reply {
        let known = self.jobs.iter().any(|job| job.id == id);
        match self.rules {
            Rules::ComfyuiEarly => (405, String::new()),
            Rules::Cloud if !known => self.unknown(),
            Rules::Comfyui | Rules::Cloud => (200, json!({"cancelled": self.stop(id, now)}).to_string()),
        }
    }

    /// `POST /api/jobs/cancel`; `now` in ms.
    pub fn cancel_many(&mut self, body: &[u8], now: i64) -> Reply {
        let ids = serde_json::from_slice(body)
            .ok()
            .and_then(|mut body: Value| serde_json::from_value::<Vec<String>>(body.get_mut("job_ids")?.take()).ok());
        match (self.rules, ids) {
            (Rules::ComfyuiEarly, _) => (405, String::new()),
            (_, None) => self.refusal("job_ids must be a list of ids"),
            (Rules::Comfyui, Some(ids)) => {
                if let Some(id) = ids.iter().find(|id| !is_uuid(id)) {
                    return self.refusal(&format!("{id} is not a UUID"));
                }
                let stopped = ids.iter().filter(|id| self.stop(id, now)).count();
                (200, json!({"cancelled": stopped > 0}).to_string())
            }
            (Rules::Cloud, Some(ids)) => {
                if ids.len() > MAX_CANCELLED {
                    return self.refusal("too many ids");
                }
                if ids.iter().any(|id| !self.jobs.iter().any(|job| job.id == *id)) {
                    return self.unknown();
                }
                let stopped: Vec<_> = ids.into_iter().filter(|id| self.stop(id, now)).collect();
                (200, json!({"cancelled": stopped}).to_string())
            }
        }
    }

    /// Stops a queued job. Self-hosted, one that had not started leaves no trace.
    fn stop(&mut self, id: &str, now: i64) -> bool {
        let Some(job) = self.queued(id) else {
            return false;
        };
        match self.rules {
            Rules::Comfyui | Rules::ComfyuiEarly if job.status == "pending" => self.dequeue(id),
            rules => job
                .stopped(rules, now)
                .into_iter()
                .for_each(|stopped| self.replace(stopped)),
        }
        true
    }

    /// Takes the oldest waiting job of an id out of the queue.
    pub fn dequeue(&mut self, id: &str) {
        let waits = |job: &Job| job.id == id && job.status == "pending";
        if let Some(place) = self.jobs.iter().rposition(waits) {
            self.jobs.remove(place);
        }
    }

    fn refusal(&self, reason: &str) -> Reply {
        let body = match self.rules {
            Rules::Cloud => json!({"code": "BAD_REQUEST", "message": reason}),
            Rules::Comfyui | Rules::ComfyuiEarly => json!({"error": reason}),
        };
        (400, body.to_string())
    }

    /// `GET /object_info/{class}`: an unknown class is an empty object.
    pub fn class(&self, class: &str) -> Reply {
        match self.classes.get(class) {
            Some(description) => (200, format!("{{{}: {description}}}", Value::from(class))),
            None => (200, "{}".to_owned()),
        }
    }

    /// `GET /api/jobs`.
    pub fn list(&self, query: &str) -> Reply {
        self.page(query).unwrap_or_else(|reason| self.refusal(&reason))
    }

    fn page(&self, query: &str) -> Result<Reply, String> {
        let parameters = parse_query(query);
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let cloud = self.rules == Rules::Cloud;
        let mut jobs: Vec<&Job> = self.jobs.iter().collect();
        let known: &[&str] = match self.rules {
            Rules::ComfyuiEarly => &["pending", "in_progress", "completed", "failed"],
            Rules::Comfyui | Rules::Cloud => &["pending", "in_progress", "completed", "failed", "cancelled"],
        };
        let mut fails = self.fails_listing(known);
        if let Some(wanted) = parameter("status") {
            let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
            if let Some(unknown) = wanted.iter().find(|status| !known.contains(status)) {
                return Err(format!(
                    "Invalid status value(s): {unknown}. Valid values: {}",
                    known.join(", ")
                ));
            }
            jobs.retain(|job| wanted.contains(&job.status.as_str()));
            fails = self.fails_listing(&wanted);
        }
        if let Some(workflow) = parameter("workflow_id") {
            jobs.retain(|job| job.workflow.as_deref() == Some(workflow));
        }
        let (by_creation, by_duration) = if cloud {
            ("create_time", "execution_time")
        } else {
            ("created_at", "execution_duration")
        };
        match parameter("sort_by").unwrap_or(by_creation) {
            word if word == by_creation => {}
            word if word == by_duration => jobs.sort_by_key(|job| std::cmp::Reverse(job.duration)),
            _ => return Err(format!("sort_by must be one of: {by_creation}, {by_duration}")),
        }
        match parameter("sort_order").unwrap_or("desc") {
            "desc" => {}
            "asc" => jobs.reverse(),
            _ => return Err("sort_order must be one of: asc, desc".to_owned()),
        }
        let number = |name: &str| match parameter(name) {
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| format!("{name} must be an integer")),
            None => Ok(None),
        };
        let most = if cloud { 1000 } else { usize::MAX };
        let limit = match number("limit")? {
            Some(limit) if !(1..=most).contains(&limit) => return Err("limit is out of range".to_owned()),
            None if cloud => Some(100),
            limit => limit,
        };
        // All jobs are read before some of them are taken.
        if fails {
            return Ok(failure());
        }
        let after = parameter("after").filter(|_| cloud);
        let offset = match after {
            Some(cursor) => self.after(cursor, &jobs)?,
            None => number("offset")?.unwrap_or(0),
        };
        let start = offset.min(jobs.len());
        let end = limit.map_or(jobs.len(), |limit| start.saturating_add(limit).min(jobs.len()));
        let shown = jobs.get(start..end).unwrap_or_default();
        let more = end < jobs.len();
        let entries: Vec<&str> = shown.iter().map(|job| job.entry.as_str()).collect();
        let limit = limit.map_or("null".to_owned(), |limit| limit.to_string());
        let total = if after.is_some() { 0 } else { jobs.len() };
        let cursor = shown.last().filter(|_| cloud && more);
        let cursor = cursor.map_or(String::new(), |job| format!(r#", "next_cursor": "c={}/+""#, job.id));
        let body = format!(
            r#"{{"jobs": [{}], "pagination": {{"offset": {offset}, "limit": {limit}, "total": {total}, "has_more": {more}{cursor}}}}}"#,
            entries.join(", ")
        );
        Ok((200, body))
    }

    /// A cursor names the last job of the page before. Its odd characters are there to be encoded.
    fn after(&self, cursor: &str, jobs: &[&Job]) -> Result<usize, String> {
        let id = cursor.strip_prefix("c=").and_then(|rest| rest.strip_suffix("/+"));
        let place = id.and_then(|id| jobs.iter().position(|job| job.id == id));
        place.map(|place| place + 1).ok_or_else(|| "invalid cursor".to_owned())
    }

    /// Adds a job as the newest.
    pub fn add(&mut self, job: Job) {
        self.forget_before(&job);
        let place = self
            .jobs
            .iter()
            .position(|other| other.created <= job.created)
            .unwrap_or(self.jobs.len());
        self.jobs.insert(place, job);
    }

    /// Puts another job in the place of the one with the same id: of that which runs or waits, if there is one.
    pub fn replace(&mut self, job: Job) {
        let (id, created) = match self.queued(&job.id) {
            Some(queued) => (queued.id.clone(), Some(queued.created)),
            None => (job.id.clone(), None),
        };
        let is_it =
            |other: &Job| other.id == id && created.is_none_or(|created| other.created == created && other.is_queued());
        let Some(place) = self.jobs.iter().position(is_it) else {
            return;
        };
        if let Some(before) = self.jobs.get_mut(place) {
            *before = job.clone();
        }
        if created.is_some() && !job.is_queued() {
            let earlier = |other: &Job| other.id == id && !other.is_queued() && other.created != job.created;
            self.jobs.retain(|other| !earlier(other));
        }
    }

    /// History has one entry an id: that of the run which ended last.
    fn forget_before(&mut self, job: &Job) {
        if !job.is_queued() {
            self.jobs.retain(|other| other.id != job.id || other.is_queued());
        }
    }

    /// Ids of the jobs in a state, newest created first.
    pub fn in_state(&self, status: &str) -> Vec<String> {
        let jobs = self.jobs.iter().filter(|job| job.status == status);
        jobs.map(|job| job.id.clone()).collect()
    }
}

/// An exception in the server's own code.
fn failure() -> Reply {
    (500, String::new())
}

/// As Python's `uuid.UUID` reads one that is written with its hyphens.
pub(super) fn is_uuid(id: &str) -> bool {
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().all(|group| digits(group)) && groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}
