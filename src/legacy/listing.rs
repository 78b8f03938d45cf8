//! Answers that list jobs: text and entries in turn, of which nothing is sent before all of it is known to be there, or
//! before so much of it is that the rest is fetched while it is sent.

use super::{
    Legacy, LegacyError,
    answer::{Cached, Inquiry, LegacyAnswer, LegacyBody},
    cached_entry::FoundEntry,
    cached_job::ENTRY_OVERHEAD,
    compressing::WORTH_PACKING,
    entries::{InList, LookupOutcome},
    entry::Entry,
    entry_cache::Admission,
    hollow::HollowEvent,
    list_writer::{ListWriter, PackedEntry, Piece},
    variant::Variant,
};
use crate::{
    http::{
        buffered::Share,
        encoding::Encoding,
        entity_tag::{Version, Versions},
        outside::Outside,
    },
    jobs_api::{Caller, JobsSession, Listed},
    mapping::View,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use http::HeaderMap;
use std::{sync::Arc, time::Duration};

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
    /// For how long the longest kept of its jobs has been kept, if the server has lost some.
    pub(super) kept_for: Option<Duration>,
}

/// What is known of a list's entries before any of them is asked for.
struct Overview {
    /// Of the whole, if every part's is known.
    version: Option<Version>,
    /// How many entries are in memory.
    cached: Cached,
    /// What the others may do to what is.
    admission: Admission,
}

/// How the entries of a list are wanted.
struct ListForm {
    variant: Variant,
    /// Packed where that pays.
    is_packed: bool,
    admission: Admission,
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
            kept_for,
        } = listing;
        let Overview {
            version,
            cached,
            admission,
        } = self.look_over(&parts, view, session.caller());
        let answer = LegacyAnswer {
            cached,
            kept_for,
            ..LegacyAnswer::whole(self.table(view), Vec::new(), headers)
        };
        if let Some(version) = version
            && inquiry.knows(version)
        {
            return Ok(answer.with_version(version, inquiry));
        }
        let is_packed = view.has_members() && inquiry.accepted.best(Encoding::Gzip) == Some(Encoding::Gzip);
        let form = ListForm {
            variant: Variant::plain(view, session.caller().origin()),
            is_packed,
            admission,
        };
        let pieces = self.pieces(parts, shares, form, session);
        let begun = begun(pieces, ListWriter::new(view, is_packed)).await?;
        let answer = LegacyAnswer {
            body: begun.body,
            ..answer
        };
        let answer = match begun.version.or(version) {
            Some(version) => answer.with_version(version, inquiry),
            None => answer,
        };
        Ok(match begun.encoding {
            Some(encoding) => answer.encoded(encoding),
            None => answer,
        })
    }

    /// What is known of the entries before any of them is asked for.
    fn look_over(&self, parts: &[Part], view: View, caller: &Caller) -> Overview {
        let variant = Variant::plain(view, caller.origin());
        let mut versions = Some(Versions::default());
        let (mut kept, mut known, mut of, mut bytes) = (0, 0_u64, 0, 0_u64);
        for part in parts {
            match part {
                Part::Text(text) => versions.iter_mut().for_each(|versions| versions.text(text)),
                Part::Job(job, position) => {
                    of += 1;
                    let recalled = self.recall_listed(caller.scope, job, &variant);
                    kept += usize::from(recalled.is_some());
                    let entry = match recalled {
                        Some(recalled) => Some((recalled.entry.version, recalled.entry.length())),
                        None => self.known_version(caller, job, view),
                    };
                    if let Some((_, length)) = entry {
                        known += 1;
                        bytes += (length + ENTRY_OVERHEAD) as u64;
                    }
                    match (entry, &mut versions) {
                        (Some((version, _)), Some(versions)) => versions.part(version, *position),
                        _ => versions = None,
                    }
                }
            }
        }
        // The others are taken to be as long as those that are known.
        let all = bytes / known.max(1) * of as u64;
        Overview {
            version: versions.map(|versions| versions.whole()),
            cached: Cached::Entries { kept, of },
            admission: match view.is_of_queued() || self.memory.fits(all) {
                true => Admission::DrivesOut,
                false => Admission::IfRoom,
            },
        }
    }

    /// The version of a job's entry, and how long it was as it was kept.
    fn known_version(&self, caller: &Caller, job: &Listed, view: View) -> Option<(Version, usize)> {
        let known = self.memory.version(caller.scope, &job.id, view)?;
        if view.is_of_ended() && known.run.is_confirmed_by(&job.run) {
            self.memory.renew_version(caller.scope, &job.id, view, known);
        }
        known.run.is_same(&job.run).then_some((known.version, known.length))
    }

    /// The parts in their order, asked for side by side.
    fn pieces(
        self: &Arc<Self>,
        parts: Vec<Part>,
        shares: Vec<Share>,
        form: ListForm,
        session: &JobsSession,
    ) -> impl Stream<Item = Result<Piece, LegacyError>> + Send + 'static {
        let shared = Arc::new((Arc::clone(self), session.clone(), form, shares));
        let pieces = stream::iter(parts).map(move |part| {
            let shared = Arc::clone(&shared);
            async move {
                let (legacy, session, form, _) = &*shared;
                match part {
                    Part::Text(text) => Ok(Piece::Text(text)),
                    Part::Job(job, position) => legacy.shown(session, form, &job, position).await,
                }
            }
        });
        pieces.buffered(self.concurrency)
    }

    /// One job of a list, remembered or asked for; packed where that is wanted and pays.
    async fn shown(
        self: &Arc<Self>,
        session: &JobsSession,
        form: &ListForm,
        job: &Listed,
        position: usize,
    ) -> Result<Piece, LegacyError> {
        let (scope, variant) = (session.caller().scope, &form.variant);
        let packed = |entry: &Entry| {
            let text = entry.packed()?.clone();
            Some(Piece::Packed(PackedEntry {
                text,
                length: entry.text_length(),
                version: entry.version,
                position,
            }))
        };
        if form.is_packed
            && let Some(kept) = self.recall_listed(scope, job, &variant.compressed(Encoding::Gzip))
            && let Some(piece) = packed(&kept.entry)
        {
            return Ok(piece);
        }
        let Some(found) = self.found(session, form, job).await? else {
            return Ok(Piece::Gone);
        };
        if form.is_packed && found.plain.text().len() >= WORTH_PACKING {
            let kept = self.compressed(&found, &job.id, variant, scope, Encoding::Gzip).await;
            let entry = match kept {
                Some(entry) => Some(entry),
                None => found.plain.compressed_aside(Encoding::Gzip).await,
            };
            if let Some(piece) = entry.as_ref().and_then(packed) {
                return Ok(piece);
            }
        }
        Ok(Piece::Entry(found.plain, position))
    }

    /// The entry of a job that a list has told of, remembered or asked for; `None` when it is gone.
    async fn found(
        self: &Arc<Self>,
        session: &JobsSession,
        form: &ListForm,
        job: &Listed,
    ) -> Result<Option<FoundEntry>, LegacyError> {
        let (id, scope) = (&job.id, session.caller().scope);
        let shows = async |found: FoundEntry| {
            if found.kept.hollow && self.hollow.shown(scope, id) {
                self.replicas
                    .hollow(HollowEvent::Shown(scope, vec![id.to_string()]))
                    .await;
            }
            Ok(Some(found))
        };
        if let Some(found) = self
            .recall_listed(scope, job, &form.variant)
            .and_then(|kept| kept.found(&self.budget))
        {
            return shows(found).await;
        }
        let admission = form.admission;
        let listed = InList { job, admission };
        // The list may be right, and the detail a moment older.
        for _ in 0..2 {
            let (outcome, _) = self.fetch(session, form.variant.view, id, Some(listed)).await?;
            match outcome {
                LookupOutcome::Shown { found, .. } => return shows(*found).await,
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

/// What is begun of an answer: all of it, where it fits in the head start.
struct Begun {
    body: LegacyBody,
    encoding: Option<Encoding>,
    /// Of all of it, where that is there.
    version: Option<Version>,
}

/// The body: whole with its version where it fits in the head start, otherwise a stream that begins with it.
async fn begun(
    pieces: impl Stream<Item = Result<Piece, LegacyError>> + Send + 'static,
    mut writer: ListWriter,
) -> Result<Begun, LegacyError> {
    let mut pieces = Box::pin(pieces);
    let mut body = Vec::new();
    while let Some(piece) = pieces.next().await {
        writer.write(piece?, &mut body);
        if writer.length() > HEAD_START {
            let encoding = writer.encoding();
            let rest = pieces.map(Some).chain(stream::once(async { None }));
            let rest = rest.scan(false, move |has_failed, piece| {
                let mut out = Vec::new();
                let failure = match piece {
                    // A failure is the last that is heard of it.
                    _ if *has_failed => return future::ready(None),
                    Some(Ok(piece)) => {
                        writer.write(piece, &mut out);
                        None
                    }
                    Some(Err(error)) => Some(error),
                    None => {
                        writer.end(&mut out);
                        None
                    }
                };
                *has_failed = failure.is_some();
                future::ready(Some(stream::iter(out.into_iter().map(Ok).chain(failure.map(Err)))))
            });
            let stream = stream::iter(body.into_iter().map(Ok)).chain(rest.flatten());
            return Ok(Begun {
                body: LegacyBody::Stream(stream.boxed()),
                encoding,
                version: None,
            });
        }
    }
    let encoding = writer.end(&mut body);
    Ok(Begun {
        body: LegacyBody::Whole(body),
        encoding,
        version: Some(writer.version()),
    })
}
