//! `POST /prompt`: passes through, and what it says that the Jobs API will not tell later is noted on the way.

use super::Passage;
use crate::{
    body_decoding::{decode, set_decoded},
    buffered::{BufferBudget, BufferError},
    hollow::Hollow,
    mapping::{Chosen, Paths, RequestRules, Table, scanner::string_value},
    notes::{Notes, note},
    runs::Runs,
    scope::Scope,
    upstream::{Body, BoxError, Upstream, UpstreamError},
};
use bytes::Bytes;
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
    /// Is told of every submission.
    pub runs: &'a Runs,
    /// Knows to whom an empty prompt was shown.
    pub hollow: &'a Hollow,
    /// Table `prompt`.
    pub table: &'a Table,
    /// What of a prompt the server could not list afterwards.
    pub unlistable: Option<&'a RequestRules>,
    /// Whose job it is.
    pub scope: Scope,
    /// The largest request body, in bytes, that is looked into.
    pub max_body: usize,
    /// What is read is held within it.
    pub budget: &'a BufferBudget,
}

/// Why a prompt has no answer of the server.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It could not be passed on.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It is the empty one that its client was shown in place of a job's own.
    #[error("the prompt is the empty one that is shown where a queued job's own is not known: it cannot be sent back")]
    Hollow,
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
    pub async fn prompt(self, request: Request<Body>, lesson: &Lesson<'_>) -> Result<Response<Body>, PromptError> {
        let (mut head, body) = request.into_parts();
        let whole = match start(body, lesson.max_body, lesson.budget)
            .await
            .map_err(|error| UpstreamError::Client(error.into()))?
        {
            Start::Long(body) => {
                let submission = Submission::new(lesson, Chosen::unread());
                return Ok(self.submit(Request::from_parts(head, body), None, submission).await?);
            }
            Start::Whole(whole) => whole,
        };
        let Ok(mut text) = decode(&head.headers, &whole, lesson.max_body) else {
            let request = Request::from_parts(head, crate::upstream::full(whole));
            let submission = Submission::new(lesson, Chosen::unread());
            return Ok(self.submit(request, None, submission).await?);
        };
        let mut changed = false;
        if let Some(rest) = without(&lesson.table.request, &text) {
            tracing::warn!(
                "POST /prompt carried a redacted key in place of a key; it was removed: the client seems to resubmit what it read"
            );
            (text, changed) = (rest, true);
        }
        let observed = lesson.table.request.observed(&head.headers);
        let noted = note(lesson.table, &text, observed.as_deref());
        let chosen = lesson.table.request.chosen(&text);
        if chosen.hollow && lesson.hollow.was_shown_to(lesson.scope) {
            lesson.hollow.sent_back();
            return Err(PromptError::Hollow);
        }
        if let Some(rest) = lesson.unlistable.and_then(|rules| without(rules, &text)) {
            tracing::info!(
                "POST /prompt carried what the server's list fails at (see [prompt] in the dialect's table); the server got it without, and clients are shown it"
            );
            (text, changed) = (rest, true);
        }
        let sent = if changed {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
            set_decoded(&mut head.headers);
            text
        } else {
            drop(text);
            whole
        };
        let submission = Submission::new(lesson, chosen);
        let request = Request::from_parts(head, crate::upstream::full(sent));
        Ok(self.submit(request, noted, submission).await?)
    }

    async fn submit(
        self,
        request: Request<Body>,
        noted: Option<Bytes>,
        mut submission: Submission<'_>,
    ) -> Result<Response<Body>, UpstreamError> {
        let upstream = self.upstream;
        let response = self.forward(request).await?;
        match response.status() {
            StatusCode::OK => keep(response, noted, submission, upstream).await,
            refused if refused.is_client_error() => {
                submission.chosen.id = None;
                Ok(response)
            }
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

/// A prompt on its way. When it is dropped before its answer has said which job it became, the server may have taken it all
/// the same.
struct Submission<'a> {
    lesson: &'a Lesson<'a>,
    chosen: Chosen,
}

impl<'a> Submission<'a> {
    fn new(lesson: &'a Lesson<'a>, chosen: Chosen) -> Self {
        Self { lesson, chosen }
    }

    /// It became job `id` with this number.
    fn became(mut self, id: &str, number: Option<f64>, noted: Option<Bytes>) {
        let Lesson { notes, runs, scope, .. } = self.lesson;
        if let Some(noted) = noted {
            notes.keep(*scope, id, number, noted);
        }
        // After the note: what is asked for from now on has it.
        runs.submitted(id, number.filter(|_| !self.chosen.numbered));
        self.chosen.id = None;
    }
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.chosen.id {
            self.lesson.runs.submitted(id, None);
        }
    }
}

/// Keeps the note under the id that the answer carries, before the client has the answer: it may ask at once.
async fn keep(
    response: Response<Body>,
    noted: Option<Bytes>,
    submission: Submission<'_>,
    upstream: &Upstream,
) -> Result<Response<Body>, UpstreamError> {
    let (head, body) = response.into_parts();
    let body = match start(body, MOST_ANSWER, submission.lesson.budget)
        .await
        .map_err(|error| upstream.broken_off(&*error))?
    {
        Start::Long(body) => body,
        Start::Whole(whole) => {
            if let Some((id, number)) = job_in(&whole, submission.lesson.table) {
                submission.became(&id, number, noted);
            }
            crate::upstream::full(whole)
        }
    };
    Ok(Response::from_parts(head, body))
}

/// The id and the number of the job that a prompt became.
fn job_in(answer: &[u8], table: &Table) -> Option<(String, Option<f64>)> {
    let mut paths = Paths::default();
    let id = paths.add(table.answer.id.as_deref()?);
    let number = table.answer.number.as_deref().map(|path| paths.add(path));
    let spans = paths.find(answer).ok()?;
    let value = |slot: usize| Some(spans.get(slot)?.as_ref()?.of(answer));
    let number = number
        .and_then(value)
        .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Some((string_value(value(id)?)?, number))
}

/// Reads a body to its end, or to where it is longer than `limit` bytes, has no room beside all others, or holds what is no
/// data.
async fn start(mut body: Body, limit: usize, budget: &BufferBudget) -> Result<Start, BoxError> {
    let mut read = budget.buffer(limit);
    if read.announce(body.size_hint().lower()).is_err() {
        return Ok(Start::Long(body));
    }
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let kept = frame.data_ref().map(|data| read.push(data));
        if matches!(kept, Some(Ok(()))) {
            continue;
        }
        if let Some(Err(error @ BufferError::NoRoom(_))) = kept {
            tracing::warn!(%error, "a body passes unread");
        }
        let first = (!read.is_empty()).then(|| Ok(Frame::data(read.into_bytes())));
        let again = stream::iter(first.into_iter().chain([Ok(frame)])).chain(BodyStream::new(body));
        return Ok(Start::Long(StreamBody::new(again).boxed_unsync()));
    }
    Ok(Start::Whole(read.into_bytes()))
}
