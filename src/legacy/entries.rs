//! One job in a legacy view: remembered, or asked for once for all who ask at the same time, and written by a table.

use super::{
    Legacy, LegacyError,
    cached_entry::{CachedEntry, CachedRun, FoundEntry},
    cached_job::JobKey,
    entry::PlainEntry,
    entry_cache::{Admission, Generation},
    json_string,
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    http::headers::carried,
    jobs_api::{CallerKey, Detail, DialectKind, JobsError, JobsSession, Listed, Run, Workflow, log_job},
    mapping::{ParsedJob, Table, View, dialect::State},
};
use bytes::Bytes;
use http::HeaderMap;
use std::{sync::Arc, time::Duration};

/// One entry, as all who ask for it at the same time share the asking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lookup {
    caller_key: CallerKey,
    kind: DialectKind,
    view: View,
    id: Arc<str>,
    /// Who saw one run of the id in a list does not share with who saw another.
    listed: Option<(u64, Option<u64>)>,
    /// Who asks after something was dropped does not share with who asked before.
    since: Generation,
}

/// What the upstream told of a job.
#[derive(Clone, Debug)]
pub(super) enum LookupOutcome {
    /// There is none; `None` when nobody had to be asked.
    Absent(Option<Arc<HeaderMap>>),
    /// There is none, unless it is listed: then this is the failure.
    NoSuchPath(Arc<HeaderMap>, JobsError),
    /// It is not in a state that the view shows.
    Elsewhere(Arc<HeaderMap>, State),
    /// As the view shows it.
    Shown {
        state: State,
        found: Box<FoundEntry>,
        /// It is remembered now.
        stored: bool,
    },
}

/// A job that a list has told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct InList<'a> {
    pub(super) job: &'a Listed,
    pub(super) admission: Admission,
}

/// A job with its detail.
struct DetailedJob {
    state: State,
    run: Run,
    body: ParsedJob,
    /// Of the server's answer.
    headers: Arc<HeaderMap>,
    /// What was noted of its prompt, where jobshim alone has it.
    note: Option<Bytes>,
    /// For how long it has been kept, where jobshim alone has it.
    kept_for: Option<Duration>,
}

/// A job of which an entry is to be written.
struct FetchedJob<'a> {
    id: &'a Arc<str>,
    run: Run,
    /// Its detail.
    body: &'a ParsedJob,
    /// What the client itself sent when it submitted it.
    noted: Option<&'a Bytes>,
}

impl Legacy {
    pub(super) fn table(&self, view: View) -> &Table {
        self.tables.answers.table(view)
    }

    /// What is remembered of a job in this form and still true.
    pub(super) fn recall(&self, scope: Scope, id: &Arc<str>, variant: &Variant) -> Option<CachedEntry> {
        let kept = self.memory.get(scope, id, variant)?;
        let hidden = !variant.view.is_of_queued() && self.hidden.is_hidden(scope, id, kept.run.told.created());
        (!hidden).then_some(kept)
    }

    /// The same, of the run that a list has just told of.
    pub(super) fn recall_listed(&self, scope: Scope, job: &Listed, variant: &Variant) -> Option<CachedEntry> {
        let kept = self.recall(scope, &job.id, variant)?;
        if kept.renewable && variant.view.is_of_ended() && kept.run.is_confirmed_by(&job.run) {
            self.memory.renew(scope, &job.id, &kept);
            return Some(CachedEntry { stale: false, ..kept });
        }
        (!kept.stale && kept.run.is_same(&job.run)).then_some(kept)
    }

    /// Asks for one job, which a list may have told of, or joins who does; and whether it joined.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        session: &JobsSession,
        view: View,
        id: &Arc<str>,
        listed: Option<InList<'_>>,
    ) -> Result<(LookupOutcome, bool), LegacyError> {
        let admission = listed.map_or(Admission::DrivesOut, |listed| listed.admission);
        let listed = listed.map(|listed| listed.job);
        let call = Lookup {
            caller_key: session.caller().caller_key(),
            kind: session.kind(),
            view,
            id: Arc::clone(id),
            listed: listed.map(|job| job.run.key()),
            since: self.memory.now(id),
        };
        let ask = || {
            let (legacy, session, id) = (Arc::clone(self), session.clone(), Arc::clone(id));
            let listed = listed.cloned();
            // In a box, as the call is moved as it is until it flies.
            async move {
                let outcome = Box::pin(legacy.ask(&session, view, Arc::clone(&id), listed, admission)).await;
                outcome.inspect_err(|error| log_job(&id, error))
            }
        };
        // What has ended stays as it is, unless it is run again.
        let lasts = |outcome: &Result<LookupOutcome, LegacyError>| match outcome {
            Ok(LookupOutcome::Shown {
                state: State::Finished,
                found,
                ..
            }) => listed.map_or(found.kept.newest, |job| found.kept.run.is_same(&job.run)),
            _ => false,
        };
        let (outcome, shared) = self.lookups.share(call, lasts, ask).await;
        Ok((outcome?, shared))
    }

    async fn ask(
        &self,
        session: &JobsSession,
        view: View,
        id: Arc<str>,
        listed: Option<Listed>,
        admission: Admission,
    ) -> Result<LookupOutcome, LegacyError> {
        let asked = self.memory.now(&id);
        let run_listed = listed.as_ref().map(|job| job.run);
        let DetailedJob {
            mut state,
            mut run,
            mut body,
            headers,
            note,
            kept_for,
        } = match self.detailed(session, view, &id, listed.as_ref()).await? {
            Ok(job) => job,
            Err(none) => return Ok(none),
        };
        if let Some(job) = listed.filter(|job| view.is_of_queued() && !run.is_same(&job.run)) {
            // Where the id stands for a finished run, too, or for another queued one, the detail is that one's.
            (state, run, body) = (job.state, job.run, session.listed_detail(&job)?);
        }
        let ended = state == State::Finished;
        if view.is_of_ended() && !ended {
            return Ok(LookupOutcome::Elsewhere(headers, state));
        }
        let noted = match kept_for {
            Some(_) => note,
            None => self.notes.get(session.caller().scope, &id, run.number()),
        };
        let job = FetchedJob {
            id: &id,
            run,
            body: &body,
            noted: noted.as_ref(),
        };
        let (plain, hollow) = self.entry(session, view, job).await?;
        let kept = CachedEntry {
            entry: plain.entry().clone(),
            headers,
            run: CachedRun {
                told: run,
                listed: run_listed,
            },
            // What the server has lost is not told by its id before it was asked once more.
            newest: kept_for.is_none() && (!ended || self.runs.is_newest(&id, run.number())),
            hollow,
            stale: false,
            renewable: false,
            kept_for,
        };
        // What a job says of itself while it waits or runs is the same in the queue, and its state is not in it.
        let lasts = (ended != view.is_of_queued()) && self.memory.is_on();
        let variant = Variant::plain(view, session.caller().origin());
        let form = match lasts {
            true => self.form_to_keep(&plain, variant, admission).await,
            false => None,
        };
        let stored = form.is_some_and(|(variant, entry)| {
            let kept = CachedEntry { entry, ..kept.clone() };
            let key = JobKey::of(session.caller().scope, &id);
            self.memory.keep(key, ended, variant, kept, asked, admission)
        });
        let found = Box::new(FoundEntry { plain, kept });
        Ok(LookupOutcome::Shown { state, found, stored })
    }

    /// A job with its detail, which the server has, or jobshim alone; or why there is none.
    async fn detailed(
        &self,
        session: &JobsSession,
        view: View,
        id: &Arc<str>,
        listed: Option<&Listed>,
    ) -> Result<Result<DetailedJob, LookupOutcome>, LegacyError> {
        if listed.is_some_and(|job| job.kept) {
            let kept = self.kept_job(session, id, Arc::default()).await?;
            return Ok(kept.ok_or(LookupOutcome::Absent(None)));
        }
        let since = self.kept.as_ref().map(|kept| kept.now());
        let workflow = match view.is_of_queued() {
            true => Workflow::Wanted,
            false => Workflow::OnceEnded,
        };
        let detail = match session.detail_with(id, workflow).await {
            Ok(detail) => detail,
            Err(error) => return Err(Box::pin(session.why_refused(error)).await.into()),
        };
        let none = match detail {
            Detail::Found {
                state,
                run,
                body,
                headers,
            } => {
                if let (State::Finished, Some(kept), Some(since)) = (state, &self.kept, since) {
                    let note = self.notes.get(session.caller().scope, id, run.number());
                    Box::pin(kept.record(session, body.text(), note.as_ref(), since)).await;
                }
                return Ok(Ok(DetailedJob {
                    state,
                    run,
                    body,
                    headers: Arc::new(carried(&headers)),
                    note: None,
                    kept_for: None,
                }));
            }
            Detail::Absent(headers) => LookupOutcome::Absent(headers.map(|headers| Arc::new(carried(&headers)))),
            Detail::NoSuchPath(answer, error) => {
                let headers = Arc::new(carried(&answer.headers));
                match listed {
                    Some(_) => log_job(id, &error),
                    None if view == View::History => session.if_takes(id, answer)?,
                    None => {}
                }
                LookupOutcome::NoSuchPath(headers, error)
            }
        };
        let headers = match &none {
            LookupOutcome::Absent(Some(headers)) | LookupOutcome::NoSuchPath(headers, _) => Arc::clone(headers),
            _ => Arc::default(),
        };
        Ok(self.kept_job(session, id, headers).await?.ok_or(none))
    }

    /// A job that jobshim has kept.
    async fn kept_job(
        &self,
        session: &JobsSession,
        id: &Arc<str>,
        headers: Arc<HeaderMap>,
    ) -> Result<Option<DetailedJob>, LegacyError> {
        let Some(kept) = &self.kept else {
            return Ok(None);
        };
        let Some(job) = kept.read(session.caller().scope, id, &self.budget).await? else {
            return Ok(None);
        };
        Ok(Some(DetailedJob {
            state: State::Finished,
            run: job.run,
            body: session.detail_of_before(job.dialect, job.detail)?,
            headers,
            note: job.note,
            kept_for: Some(job.age),
        }))
    }

    /// A job as `view` shows it, and whether it lacks its prompt.
    async fn entry(
        &self,
        session: &JobsSession,
        view: View,
        job: FetchedJob<'_>,
    ) -> Result<(PlainEntry, bool), LegacyError> {
        let FetchedJob { id, run, body, noted } = job;
        let table = self.table(view);
        let unfit = |reason| LegacyError::Render {
            id: id.to_string(),
            table: table.name.clone(),
            reason,
        };
        let path = session.detail_names().name.as_ref();
        let name = self.names.told(session.caller().scope, id, body.text(), path);
        let noted_text = noted.map(|note| &note[..]);
        let prepared = body.prepare(view, noted_text).map_err(|error| unfit(error.into()))?;
        let classes = session.classes(prepared.classes_needed()).await?;
        let mut text = Vec::with_capacity(body.text().len() + 256);
        text.push(b'{');
        text.extend_from_slice(json_string(id).as_bytes());
        text.extend_from_slice(b": ");
        let begin = text.len();
        let place = prepared.write(&classes, &mut text).map_err(unfit)?;
        text.push(b'}');
        let plain = PlainEntry::new(text, begin, place);
        let plain = match name {
            Some(name) => plain.with_other_id(id, &json_string(&name)),
            None => plain,
        };
        if noted.is_some() && !self.is_contract {
            // Of all tables history shows the most of a note: when it needs none, the job's own detail says it all.
            let most = body
                .prepare(View::History, noted_text)
                .map_err(|error| unfit(error.into()))?;
            if !most.uses_observed() {
                self.notes.forget(session.caller().scope, id, run.number());
            }
        }
        let prompt = self.tables.answers.prompt_row(view);
        let hollow = prompt.is_some_and(|prompt| prepared.lacks(prompt));
        Ok((plain, hollow))
    }
}
