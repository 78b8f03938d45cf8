//! What legacy answers tell whoever looks: that the endpoint is deprecated, since and until when, and what comes after it.

use crate::{
    config::NoticesConfig,
    jobs::{Dialect, State, filled},
    route::{LegacyRoute, LegacyWrite},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, LINK},
};
use std::time::{Duration, UNIX_EPOCH};

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
    pub fn put(&self, headers: &mut HeaderMap, successor: Option<&str>) {
        if let Some(deprecation) = &self.deprecation {
            headers.entry(DEPRECATION).or_insert_with(|| deprecation.clone());
        }
        if let Some(sunset) = &self.sunset {
            headers.entry(SUNSET).or_insert_with(|| sunset.clone());
        }
        let mut link = |target: &str, relation: &str| {
            headers.append(LINK, value(["<", target, ">; rel=\"", relation, "\""].concat()));
        };
        if let Some(successor) = successor.filter(|_| self.successor) {
            link(successor, "successor-version");
        }
        if let Some(guide) = &self.guide {
            link(guide, "deprecation");
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

/// Only visible ASCII gets here, as targets, dates and URLs are made of it.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Lets browsers read our headers (Fetch standard, section 3.3.5), where the upstream lets them read the answer at all.
fn expose(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
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

impl LegacyRoute {
    /// The Jobs API's URL for the same, in the words of `dialect`.
    pub fn successor(&self, dialect: &Dialect) -> String {
        let names = &dialect.names;
        match self {
            Self::History | Self::HistoryV2 => names.list.path.clone(),
            Self::HistoryOne(id) | Self::HistoryV2One(id) | Self::JobStatus(id) => filled(&names.detail.path, id),
            Self::Queue { .. } => format!("{}?{}", names.list.path, dialect.queued_filter()),
        }
    }
}

impl LegacyWrite {
    /// The Jobs API's URL for the same; it has none to delete history.
    pub fn successor(&self, dialect: &Dialect) -> Option<String> {
        let cancel = &dialect.names.cancel;
        match self {
            Self::Queue { .. } | Self::Interrupt => Some(cancel.many.clone()),
            Self::JobCancel(id) => Some(filled(&cancel.path, id)),
            Self::History => None,
        }
    }
}
