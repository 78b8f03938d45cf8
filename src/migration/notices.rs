//! What legacy answers tell whoever looks: that the endpoint is deprecated, since and until when, and what comes after it.

use crate::{
    config::NoticesConfig,
    jobs_api::filling,
    mapping::dialect::{Dialect, State},
    routes::{LegacyRoute, LegacyWrite},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AGE, LINK},
};
use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

/// RFC 9745.
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
/// RFC 8594.
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// Which of three an empty `/history/{id}` is; its body has only one word for them.
const JOB_STATE: HeaderName = HeaderName::from_static("jobshim-job-state");

/// The headers in force.
pub struct Notices {
    deprecation: Option<HeaderValue>,
    sunset: Option<HeaderValue>,
    guide: Option<String>,
    successor: bool,
    job_state: bool,
}

impl Notices {
    /// As configured.
    pub fn new(config: &NoticesConfig) -> Self {
        let time = |seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        Self {
            deprecation: config.deprecation.map(|seconds| value(format!("@{seconds}"))),
            sunset: config.sunset.map(|seconds| value(time(seconds))),
            guide: config.guide.as_ref().map(ToString::to_string),
            successor: config.successor,
            job_state: config.job_state,
        }
    }

    /// Where the configured guide is.
    pub fn guide(&self) -> Option<&str> {
        self.guide.as_deref()
    }

    /// Adds them to a legacy answer. What the upstream says of the same stays, and browsers may read ours wherever they
    /// may read the answer.
    pub fn put<'a>(&self, headers: &mut HeaderMap, successor: impl FnOnce() -> Option<Target<'a>>) {
        if let Some(deprecation) = &self.deprecation {
            headers.entry(DEPRECATION).or_insert_with(|| deprecation.clone());
        }
        if let Some(sunset) = &self.sunset {
            headers.entry(SUNSET).or_insert_with(|| sunset.clone());
        }
        if self.successor
            && let Some([before, id, after]) = successor()
        {
            let link = ["<", &before, &id, &after, ">; rel=\"successor-version\""];
            headers.append(LINK, value(link.concat()));
        }
        if let Some(guide) = &self.guide {
            headers.append(LINK, value(["<", guide, ">; rel=\"deprecation\""].concat()));
        }
        if !self.job_state {
            headers.remove(JOB_STATE);
        }
        expose(headers);
    }
}

/// Adds which of three an empty `/history/{id}` is: `None` for a job that the server does not show.
pub fn put_job_state(headers: &mut HeaderMap, state: Option<State>) {
    let word = match state {
        Some(State::Pending) => "pending",
        Some(State::Running) => "in_progress",
        Some(State::Finished) | None => "unknown",
    };
    headers.insert(JOB_STATE, HeaderValue::from_static(word));
}

/// Marks an answer of which some is of jobs that the server has lost, with the time for which they have been kept at most
/// (RFC 9111 section 5.1).
pub fn put_kept(headers: &mut HeaderMap, kept_for: Duration) {
    headers.insert(JOB_STATE, HeaderValue::from_static("kept"));
    headers.insert(AGE, HeaderValue::from(kept_for.as_secs()));
}

/// Only visible ASCII gets here, as targets, dates and URLs are made of it.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Lets browsers read our headers (Fetch standard, section 3.3.5), where the upstream lets them read the answer at all.
fn expose(headers: &mut HeaderMap) {
    // In one pass, as hardly any answer has it.
    if !headers.keys().any(|name| *name == ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    let ours = [DEPRECATION, SUNSET, LINK, JOB_STATE];
    let names: Vec<&str> = ours
        .iter()
        .filter(|name| headers.contains_key(*name))
        .map(HeaderName::as_str)
        .collect();
    if !names.is_empty() {
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, value(names.join(", ")));
    }
}

/// A URL of the Jobs API, in pieces.
pub type Target<'a> = [Cow<'a, str>; 3];

fn target(path: &str) -> Target<'_> {
    [path.into(), "".into(), "".into()]
}

impl LegacyRoute {
    /// The Jobs API's URL for the same, in the words of `dialect`.
    pub fn successor<'a>(&'a self, dialect: &'a Dialect) -> Target<'a> {
        let names = &dialect.names;
        match self {
            Self::History | Self::HistoryV2 => target(&names.list.path),
            Self::HistoryOne(id) | Self::HistoryV2One(id) | Self::JobStatus(id) => filling(&names.detail.path, id),
            Self::Queue { .. } => [
                names.list.path.as_str().into(),
                "?".into(),
                dialect.queued_filter().into(),
            ],
        }
    }
}

impl LegacyWrite {
    /// The Jobs API's URL for the same; it has none to delete history.
    pub fn successor<'a>(&'a self, dialect: &'a Dialect) -> Option<Target<'a>> {
        let cancel = &dialect.names.cancel;
        match self {
            Self::Queue { .. } | Self::Interrupt => Some(target(&cancel.many)),
            Self::JobCancel(id) => Some(filling(&cancel.path, id)),
            Self::History => None,
        }
    }
}
