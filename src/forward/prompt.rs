//! `POST /prompt`: passes through, and what it says that the Jobs API will not tell later is noted on the way.

use super::Passage;
use crate::{
    mapping::{Paths, RequestRules, Table, scanner::string_value},
    notes::{Notes, note},
    scope::Scope,
    upstream::{Body, BoxError, Upstream, UpstreamError},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body as _, Frame};

/// The largest answer to `POST /prompt` that is looked into, in bytes: it holds an id, and what a few nodes object to.
const MOST_ANSWER: usize = 64 << 10;

/// What is noted, for whom, and where.
pub struct Lesson<'a> {
    /// Keeps it.
    pub notes: &'a Notes,
    /// Table `prompt`.
    pub table: &'a Table,
    /// What of a prompt the server could not list afterwards.
    pub unlistable: Option<&'a RequestRules>,
    /// Whose job it is.
    pub scope: Scope,
    /// The largest request body, in bytes, that is looked into.
    pub max_body: usize,
}

/// What of a body came within the limit.
enum Start {
    /// All of it.
    Whole(Bytes),
    /// More than the limit: the body again, from its beginning.
    Long(Body),
}

impl Passage<'_> {
    /// Forwards a `POST /prompt`. Whatever cannot be understood passes as it came and is not noted; the body decides,
    /// not `Content-Type`, as several clients send JSON without one.
    pub async fn prompt(self, request: Request<Body>, lesson: &Lesson<'_>) -> Result<Response<Body>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        let whole = match start(body, lesson.max_body)
            .await
            .map_err(|error| UpstreamError::Client(error.into()))?
        {
            Start::Long(body) => return self.forward(Request::from_parts(head, body)).await,
            Start::Whole(whole) => whole,
        };
        let shown = match without(&lesson.table.request, &whole) {
            Some(rest) => {
                tracing::warn!(
                    "POST /prompt carried a redacted key in place of a key; it was removed: the client seems to resubmit what it read"
                );
                rest
            }
            None => whole.clone(),
        };
        let noted = note(lesson.table, &shown);
        let sent = match lesson.unlistable.and_then(|rules| without(rules, &shown)) {
            Some(rest) => {
                tracing::info!(
                    "POST /prompt carried what the server's list fails at (see [prompt] in the dialect's table); the server got it without, and clients are shown it"
                );
                rest
            }
            None => shown,
        };
        if sent.len() != whole.len() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(sent.len()));
        }
        let upstream = self.upstream;
        let response = self
            .forward(Request::from_parts(head, crate::upstream::full(sent)))
            .await?;
        match noted {
            Some(noted) if response.status() == StatusCode::OK => keep(response, noted, lesson, upstream).await,
            _ => Ok(response),
        }
    }
}

/// `body` without what `rules` keep from going on; `None` when it has nothing of that.
fn without(rules: &RequestRules, body: &Bytes) -> Option<Bytes> {
    let mut rest = Vec::with_capacity(body.len());
    let applied = rules.apply(body, &mut rest).is_ok();
    (applied && rest.len() != body.len()).then(|| rest.into())
}

/// Keeps the note under the id that the answer carries, before the client has the answer: it may ask at once.
async fn keep(
    response: Response<Body>,
    noted: Bytes,
    lesson: &Lesson<'_>,
    upstream: &Upstream,
) -> Result<Response<Body>, UpstreamError> {
    let (head, body) = response.into_parts();
    let body = match start(body, MOST_ANSWER)
        .await
        .map_err(|error| upstream.broken_off(&*error))?
    {
        Start::Long(body) => body,
        Start::Whole(whole) => {
            if let Some(id) = id_in(&whole, lesson.table) {
                lesson.notes.keep(lesson.scope, id, noted);
            }
            crate::upstream::full(whole)
        }
    };
    Ok(Response::from_parts(head, body))
}

fn id_in(answer: &[u8], table: &Table) -> Option<String> {
    let mut paths = Paths::default();
    let slot = paths.add(table.answer.id.as_deref()?);
    let spans = paths.find(answer).ok()?;
    string_value(spans.get(slot)?.as_ref()?.of(answer))
}

/// Reads a body to its end, or to where it is longer than `limit` bytes or holds what is no data.
async fn start(mut body: Body, limit: usize) -> Result<Start, BoxError> {
    if body.size_hint().lower() > limit as u64 {
        return Ok(Start::Long(body));
    }
    let mut read: Vec<Frame<Bytes>> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let fits = match frame.data_ref() {
            Some(data) => {
                length += data.len();
                length <= limit
            }
            None => false,
        };
        read.push(frame);
        if !fits {
            let again = stream::iter(read.into_iter().map(Ok)).chain(BodyStream::new(body));
            return Ok(Start::Long(StreamBody::new(again).boxed_unsync()));
        }
    }
    let mut pieces = read.into_iter().filter_map(|frame| frame.into_data().ok());
    let first = pieces.next().unwrap_or_default();
    Ok(Start::Whole(match length == first.len() {
        true => first,
        false => {
            let mut whole = BytesMut::with_capacity(length);
            whole.extend_from_slice(&first);
            pieces.for_each(|piece| whole.extend_from_slice(&piece));
            whole.freeze()
        }
    }))
}
