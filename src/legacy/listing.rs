//! Answers that list jobs: text and entries in turn, of which nothing is sent before all of it is known to be there, or
//! before so much of it is that the rest is fetched while it is sent.

use super::{
    Legacy, LegacyError,
    answer::{Cached, Inquiry, LegacyAnswer, LegacyBody},
    cached_entry::CachedEntry,
    entries::LookupOutcome,
    entry::Entry,
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    http::{
        buffered::Share,
        entity_tag::{Version, Versions},
        outside::Outside,
    },
    jobs_api::{Caller, JobsSession, Listed},
    mapping::View,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use std::sync::Arc;

/// How much of a list is put together, in bytes, before it begins to be sent: up to here a failure is a status.
const HEAD_START: usize = 4 << 20;

/// What a list is made of.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(Bytes),
    /// A job, and its place, counted from 1.
    Job(Listed, usize),
}

impl Part {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// All of `jobs`, each with its place.
    pub(super) fn jobs(jobs: impl IntoIterator<Item = Listed>) -> impl Iterator<Item = Self> {
        let places = jobs.into_iter().zip(1..);
        places.map(|(job, position)| Self::Job(job, position))
    }
}

/// A part, when it is known.
enum Piece {
    Text(Bytes),
    Entry(Entry, usize),
    /// The job is gone by now: it is left out (docs/contract.md section 4).
    Gone,
}

/// What an answer lists.
pub(super) struct Listing {
    /// Text and jobs, in their order.
    pub(super) parts: Vec<Part>,
    /// How each job is shown.
    pub(super) view: View,
    /// Of the upstream's answer.
    pub(super) headers: Arc<HeaderMap>,
    /// What its jobs take, until the last of them is sent.
    pub(super) shares: Vec<Share>,
}

impl Legacy {
    /// The answer that is a list.
    pub(super) async fn listing(
        self: &Arc<Self>,
        listing: Listing,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let Listing {
            parts,
            view,
            headers,
            shares,
        } = listing;
        let (version, cached) = self.look_over(&parts, view, session.caller());
        let answer = LegacyAnswer {
            cached,
            ..LegacyAnswer::whole(self.table(view), Vec::new(), headers)
        };
        if let Some(version) = version
            && inquiry.knows(version)
        {
            return Ok(answer.with_version(version, inquiry));
        }
        let (body, now) = begun(self.pieces(parts, shares, view, session), view).await?;
        let answer = LegacyAnswer { body, ..answer };
        Ok(match now.or(version) {
            Some(version) => answer.with_version(version, inquiry),
            None => answer,
        })
    }

    /// The version of the whole, if every part's is known without asking; and how many entries are in memory.
    fn look_over(&self, parts: &[Part], view: View, caller: &Caller) -> (Option<Version>, Cached) {
        let variant = Variant::plain(view, caller.origin());
        let mut versions = Some(Versions::default());
        let (mut kept, mut of) = (0, 0);
        for part in parts {
            match part {
                Part::Text(text) => versions.iter_mut().for_each(|versions| versions.text(text)),
                Part::Job(job, position) => {
                    of += 1;
                    let recalled = self.recall_listed(caller.scope, job, &variant);
                    kept += usize::from(recalled.is_some());
                    let version = match recalled {
                        Some(recalled) => Some(recalled.entry.version),
                        None => self.known_version(caller, job, view),
                    };
                    match (version, &mut versions) {
                        (Some(version), Some(versions)) => versions.part(version, *position),
                        _ => versions = None,
                    }
                }
            }
        }
        (versions.map(|versions| versions.whole()), Cached::Entries { kept, of })
    }

    fn known_version(&self, caller: &Caller, job: &Listed, view: View) -> Option<Version> {
        let known = self.memory.version(caller.scope, &job.id, view)?;
        if view.is_of_ended() && known.is_confirmed_by(&job.run) {
            self.memory.renew_version(caller.scope, &job.id, view, known);
        }
        known.run.is_same(&job.run).then_some(known.version)
    }

    /// The parts in their order, asked for side by side.
    fn pieces(
        self: &Arc<Self>,
        parts: Vec<Part>,
        shares: Vec<Share>,
        view: View,
        session: &JobsSession,
    ) -> impl Stream<Item = Result<Piece, LegacyError>> + Send + 'static {
        let variant = Variant::plain(view, session.caller().origin());
        let shared = Arc::new((Arc::clone(self), session.clone(), variant, shares));
        let pieces = stream::iter(parts).map(move |part| {
            let shared = Arc::clone(&shared);
            async move {
                let (legacy, session, variant, _) = &*shared;
                match part {
                    Part::Text(text) => Ok(Piece::Text(text)),
                    Part::Job(job, position) => match legacy.shown(session, variant, &job).await? {
                        Some(entry) => Ok(Piece::Entry(entry, position)),
                        None => Ok(Piece::Gone),
                    },
                }
            }
        });
        pieces.buffered(self.concurrency)
    }

    /// The entry that is shown to `scope`.
    fn shows(&self, scope: Scope, id: &Arc<str>, kept: CachedEntry) -> Entry {
        if kept.hollow {
            self.hollow.shown(scope, id);
        }
        kept.entry
    }

    /// One job of a list, remembered or asked for; `None` when it is gone.
    async fn shown(
        self: &Arc<Self>,
        session: &JobsSession,
        variant: &Variant,
        job: &Listed,
    ) -> Result<Option<Entry>, LegacyError> {
        if let Some(kept) = self.recall_listed(session.caller().scope, job, variant) {
            return Ok(Some(self.shows(session.caller().scope, &job.id, kept)));
        }
        let id = &job.id;
        // The list may be right, and the detail a moment older.
        for _ in 0..2 {
            let (outcome, _) = self.fetch(session, variant.view, id, Some(job)).await?;
            match outcome {
                LookupOutcome::Shown { kept, .. } => return Ok(Some(self.shows(session.caller().scope, id, *kept))),
                LookupOutcome::Absent(_) => return Ok(None),
                LookupOutcome::NoSuchPath(_, error) => return Err(error.into()),
                LookupOutcome::Elsewhere(_, state) => {
                    tracing::debug!(id = %Outside::new(id), state = state.name(), "a job that is listed as ended is not, by its own detail");
                }
            }
        }
        Err(session.contradiction(id).into())
    }
}

/// The body: whole with its version where it fits in the head start, otherwise a stream that begins with it.
async fn begun(
    pieces: impl Stream<Item = Result<Piece, LegacyError>> + Send + 'static,
    view: View,
) -> Result<(LegacyBody, Option<Version>), LegacyError> {
    let mut pieces = Box::pin(pieces);
    let mut versions = Versions::default();
    let mut writer = Writer { view, first: true };
    let mut body = Vec::new();
    let mut size = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        match &piece {
            Piece::Text(text) => versions.text(text),
            Piece::Entry(entry, position) => versions.part(entry.version, *position),
            Piece::Gone => {}
        }
        let from = body.len();
        writer.write(piece, &mut body);
        size += body.iter().skip(from).map(Bytes::len).sum::<usize>();
        if size > HEAD_START {
            let rest = pieces.flat_map(move |piece| {
                let mut out = Vec::new();
                let failure = piece.map(|piece| writer.write(piece, &mut out)).err();
                stream::iter(out.into_iter().map(Ok).chain(failure.map(Err)))
            });
            let stream = stream::iter(body.into_iter().map(Ok)).chain(rest);
            return Ok((LegacyBody::Stream(stream.boxed()), None));
        }
    }
    Ok((LegacyBody::Whole(body), Some(versions.whole())))
}

/// Puts commas between entries.
struct Writer {
    view: View,
    /// No entry since the last text.
    first: bool,
}

impl Writer {
    fn write(&mut self, piece: Piece, out: &mut Vec<Bytes>) {
        match piece {
            Piece::Gone => {}
            Piece::Text(text) => {
                out.push(text);
                self.first = true;
            }
            Piece::Entry(entry, position) => {
                if !self.first {
                    out.push(Bytes::from_static(b", "));
                }
                self.first = false;
                match self.view {
                    View::History => out.push(entry.member()),
                    _ => out.extend(entry.item(position)),
                }
            }
        }
    }
}
