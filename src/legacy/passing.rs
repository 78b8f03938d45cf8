//! What is hidden from a scope is hidden in answers of the Jobs API, too, that pass through for it: current web interfaces
//! list by it what they delete by `POST /history`.
//!
//! `total` and the other numbers of a page stay the server's, which counts the hidden jobs: a page has fewer jobs than its
//! limit, and who follows offsets or cursors sees each job that is not hidden once.

use super::{Legacy, hidden::Hidden};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, BoxError, full},
        buffered::BufferBudget,
        outside::Outside,
        request_head::RequestHead,
    },
    jobs_api::{DialectKind, Jobs},
    mapping::{
        dialect::{Dialect, State},
        json::{ElementFilter, ListFilter, ObjectPrefix},
        json_text,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, SizeHint};
use percent_encoding::percent_decode_str;
use std::{
    borrow::Cow,
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// By these a client asks for less than all of an answer as it is.
pub(super) const CONDITIONS: [HeaderName; 7] = [
    ACCEPT_ENCODING,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];
/// These tell of the answer as the server sent it.
pub(super) const OF_THE_BYTES: [HeaderName; 7] = [
    CONTENT_LENGTH,
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// What of the Jobs API a request asks for.
pub(super) enum JobsEndpoint {
    List,
    /// One job, by its id.
    One(String),
}

/// A passing call of the Jobs API in which jobs may have names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobsCall {
    /// Some or all of the list.
    List,
    /// One job.
    One(String),
    /// A cancel of one job.
    Cancel(String),
    /// A cancel of those in the body.
    CancelMany,
}

impl JobsCall {
    /// The call that a request is, by the names that `dialect` has.
    pub fn of(method: &Method, path: &str, dialect: &Dialect) -> Option<Self> {
        // Most requests are seen not to be one of these without a copy.
        let near = dialect.names.list.path.rsplit('/').next().unwrap_or_default();
        if !path.contains(near) {
            return None;
        }
        let (path, names) = (in_full(path, dialect), &dialect.names);
        match *method {
            Method::GET | Method::HEAD if path == names.list.path => Some(Self::List),
            Method::GET | Method::HEAD => Some(Self::One(id_in(&path, &names.detail.path)?.into_owned())),
            Method::POST if path == names.cancel.many => Some(Self::CancelMany),
            Method::POST => Some(Self::Cancel(id_in(&path, &names.cancel.path)?.into_owned())),
            _ => None,
        }
    }
}

/// A passing answer that may have hidden jobs in it.
pub struct Hiding {
    judge: HiddenFilter,
    asked: JobsEndpoint,
    head_only: bool,
}

/// Tells hidden jobs from others.
#[derive(Clone)]
struct HiddenFilter {
    hidden: Arc<Hidden>,
    jobs: Arc<Jobs>,
    kind: DialectKind,
    scope: Scope,
}

impl HiddenFilter {
    fn dialect(&self) -> &Dialect {
        self.jobs.names(self.kind)
    }
}

impl ElementFilter for HiddenFilter {
    fn excludes(&self, job: &[u8], whole: bool) -> Option<bool> {
        let job = self.dialect().job_in(job);
        let known = job.filter(|job| whole || job.created > 0.0);
        let is_hidden =
            known.map(|job| job.state == State::Finished && self.hidden.is_hidden(self.scope, &job.id, job.created));
        is_hidden.or(whole.then_some(false))
    }
}

impl Legacy {
    /// The call that a passing request is, where jobs may have names in it.
    pub fn named_call(&self, head: &RequestHead) -> Option<JobsCall> {
        match self.names.is_on() {
            true => self.jobs_call(head),
            false => None,
        }
    }

    /// The call of the Jobs API that a passing request is.
    pub(super) fn jobs_call(&self, head: &RequestHead) -> Option<JobsCall> {
        JobsCall::of(head.method(), head.uri().path(), self.jobs.known_names())
    }

    /// Whether the answer to a passing request could have jobs in it that may be hidden from somebody, or lack some that are kept.
    pub fn may_hide_in(&self, head: &RequestHead) -> bool {
        let kind = self.jobs.known_dialect().unwrap_or(DialectKind::Comfyui);
        (self.hides_in_jobs_api || self.kept.is_some()) && self.jobs_endpoint(head, kind).is_some()
    }

    /// What of the Jobs API a passing request asks for.
    pub(super) fn jobs_endpoint(&self, head: &RequestHead, kind: DialectKind) -> Option<JobsEndpoint> {
        if !matches!(*head.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let dialect = self.jobs.names(kind);
        if dialect.names.v2.is_some() {
            // What is asked there is not the Jobs API.
            return None;
        }
        let path = in_full(head.uri().path(), dialect);
        if path == dialect.names.list.path {
            return Some(JobsEndpoint::List);
        }
        let id = id_in(&path, &dialect.names.detail.path)?;
        Some(JobsEndpoint::One(id.into_owned()))
    }

    /// Whether the answer to a passing request for `scope` may have hidden jobs in it. Its head is changed then: the answer
    /// must come whole, and as it is. Where nothing is hidden this is one look at a flag.
    pub fn hiding(&self, head: &mut RequestHead, scope: impl FnOnce(&RequestHead) -> Scope) -> Option<Hiding> {
        if !self.hides_in_jobs_api || !self.hidden.is_any() {
            return None;
        }
        let kind = self.jobs.known_dialect().unwrap_or(DialectKind::Comfyui);
        let asked = self.jobs_endpoint(head, kind)?;
        let scope = scope(head);
        let id = match &asked {
            JobsEndpoint::List => None,
            JobsEndpoint::One(id) => Some(id.as_str()),
        };
        if !self.hidden.may_hide(scope, id) {
            return None;
        }
        for name in CONDITIONS {
            head.headers_mut().remove(name);
        }
        let head_only = head.method() == Method::HEAD;
        if matches!(asked, JobsEndpoint::One(_)) {
            // Only the job itself tells whether it is hidden.
            head.parts_mut().method = Method::GET;
        }
        let judge = HiddenFilter {
            hidden: Arc::clone(&self.hidden),
            jobs: Arc::clone(&self.jobs),
            kind,
            scope,
        };
        Some(Hiding {
            judge,
            asked,
            head_only,
        })
    }
}

/// The id in `path`, which is one of `pattern`, decoded.
fn id_in<'p>(path: &'p str, pattern: &str) -> Option<Cow<'p, str>> {
    let (before, after) = pattern.split_once("{id}")?;
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    let id = (!id.is_empty() && !id.contains('/')).then_some(id)?;
    Some(percent_decode_str(id).decode_utf8_lossy())
}

/// A local client's path as a server with a prefix has it.
fn in_full<'a>(path: &'a str, dialect: &Dialect) -> Cow<'a, str> {
    match &dialect.names.paths {
        Some(rules) if !path.starts_with(&format!("{}/", rules.prefix)) => format!("{}{path}", rules.prefix).into(),
        _ => path.into(),
    }
}

impl Hiding {
    /// The answer without what is hidden.
    ///
    /// # Errors
    /// The answer broke off, or does not tell which job it is about; there is no room in `budget` to hold its beginning.
    pub async fn applied(self, response: Response<Body>, budget: &BufferBudget) -> Result<Response<Body>, BoxError> {
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        if let Some(coding) = response.headers().get(CONTENT_ENCODING)
            && coding != "identity"
        {
            tracing::warn!(
                coding = %Outside::new(String::from_utf8_lossy(coding.as_bytes())),
                "deleted jobs may be shown: the server compresses its job list unasked"
            );
            return Ok(response);
        }
        let (mut head, body) = response.into_parts();
        let body = match self.asked {
            JobsEndpoint::List => {
                without(&mut head.headers, &OF_THE_BYTES);
                let path = self.judge.dialect().names.list.jobs.clone();
                let elements = ListFilter::new(path, self.judge.clone(), budget);
                let body = FilteredList {
                    body,
                    elements: Some(elements),
                    ready: VecDeque::new(),
                };
                body.boxed_unsync()
            }
            JobsEndpoint::One(_) => match judged(body, &self.judge, budget).await? {
                (false, body) => body,
                (true, _) => {
                    without(&mut head.headers, &OF_THE_BYTES);
                    head.status = StatusCode::NOT_FOUND;
                    let unknown = self.judge.dialect().names.detail.unknown.as_ref();
                    let text = unknown.map(json_text).unwrap_or_default();
                    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
                    if text.is_empty() {
                        head.headers.remove(CONTENT_TYPE);
                    }
                    full(text)
                }
            },
        };
        let body = if self.head_only { full("") } else { body };
        Ok(Response::from_parts(head, body))
    }
}

pub(super) fn without(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

/// Whether a detail is that of a hidden job, and the detail: read as far as is needed to know, and no further.
async fn judged(mut body: Body, judge: &HiddenFilter, budget: &BufferBudget) -> Result<(bool, Body), BoxError> {
    let mut beginning = ObjectPrefix::new(budget);
    let mut rest: Option<Frame<Bytes>> = None;
    while rest.is_none()
        && let Some(frame) = body.frame().await.transpose()?
    {
        rest = match frame.into_data() {
            Ok(mut data) => {
                let taken = beginning.take(&data, judge)?;
                let untaken = data.split_off(taken);
                beginning.verdict().map(|_| Frame::data(untaken))
            }
            Err(other) => Some(other),
        };
    }
    let hidden = beginning.end(judge);
    let read = [Some(Frame::data(beginning.into_bytes())), rest];
    let again = stream::iter(read.into_iter().flatten().map(Ok)).chain(BodyStream::new(body));
    Ok((hidden, StreamBody::new(again).boxed_unsync()))
}

/// A list without its hidden jobs, as it comes.
struct FilteredList {
    body: Body,
    /// Until it has come to its end.
    elements: Option<ListFilter<HiddenFilter>>,
    /// What is to go on before anything else is read.
    ready: VecDeque<Frame<Bytes>>,
}

impl hyper::body::Body for FilteredList {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let list = &mut *self;
        loop {
            if let Some(frame) = list.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let Some(elements) = &mut list.elements else {
                return Poll::Ready(None);
            };
            let frame = ready!(Pin::new(&mut list.body).poll_frame(cx)).transpose()?;
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => match elements.copy(&data) {
                    Ok(pieces) => list.ready = pieces.into_iter().map(Frame::data).collect(),
                    Err(error) => {
                        tracing::warn!(%error, "a list that passes through is cut short: hidden jobs in it cannot be left out");
                        list.elements = None;
                        return Poll::Ready(Some(Err(error.into())));
                    }
                },
                behind => {
                    let left = elements.end().into_iter().map(Frame::data);
                    list.ready = left.chain(behind.and_then(Result::err)).collect();
                    list.elements = None;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.elements.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
