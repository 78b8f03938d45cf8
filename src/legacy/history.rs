//! `GET /history`: finished jobs, oldest finished first.

use super::{
    Legacy, LegacyError,
    answer::{Inquiry, LegacyAnswer},
    listing::{Listing, Part},
    pagination::Pagination,
};
use crate::{
    http::headers::carried,
    jobs_api::{Caller, JobsSession, ListFilter, Listed},
    mapping::{View, dialect::State},
};
use std::sync::Arc;

impl Legacy {
    pub(super) async fn history(
        self: &Arc<Self>,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let pagination = Pagination::parse(inquiry.query, &self.tables.answers.history.pagination)?;
        // Every state is asked for and the queued ones passed over: early servers refuse the filter word for
        // cancelled jobs, and remembering that would hide those jobs after an upgrade.
        let since = self.hidden.now();
        let newest = pagination.newest_ended();
        let enough = |jobs: &[Listed]| newest.is_some_and(|count| self.are_newest_ended(jobs, count, session.caller()));
        let wanted = newest.map_or(ListFilter::All, |_| ListFilter::Newest);
        let mut list = session.list(wanted, enough).await?;
        // What is kept and hidden stays hidden.
        let kept_for = self.with_kept(session, &mut list)?;
        if list.complete {
            self.hidden.forget_gone(session.caller().scope, since, &list.jobs);
            self.memory.retain_listed(session.caller().scope, &list.jobs);
        }
        self.hidden.retain_shown(session.caller().scope, &mut list.jobs);
        // Of jobs that ended in the same moment the one created earlier is in front; of jobs that were created in the
        // same moment the list has the older one first.
        let age = |one: &Listed, other: &Listed| one.created.total_cmp(&other.created);
        list.jobs
            .sort_by(|one, other| one.ended.total_cmp(&other.ended).then(age(one, other)));
        let shown = pagination.oldest_first(list.jobs.len());
        let shown = list.jobs.into_iter().skip(shown.start).take(shown.len());
        let mut parts = vec![Part::text("{")];
        parts.extend(Part::jobs(shown));
        parts.push(Part::text("}"));
        let listing = Listing {
            parts,
            view: View::History,
            headers: Arc::new(carried(&list.headers)),
            shares: list.shares,
            kept_for,
        };
        self.listing(listing, inquiry, session).await
    }

    /// Whether the `count` jobs that ended last are certainly among `jobs`, which are those created last. The order
    /// is another one: what is not there yet was created before all of these, and ran at most
    /// `history.longest_job`.
    fn are_newest_ended(&self, jobs: &[Listed], count: usize, caller: &Caller) -> bool {
        let Some(oldest) = jobs.last() else {
            return false;
        };
        if count == 0 {
            return true;
        }
        let shown = jobs
            .iter()
            .filter(|job| job.state == State::Finished && !self.hidden.is_hidden(caller.scope, &job.id, job.created));
        let mut ended: Vec<f64> = shown.map(|job| job.ended).collect();
        if ended.len() < count {
            return false;
        }
        let (_, last_shown, _) = ended.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one));
        oldest.created + self.longest_job_ms < *last_shown
    }
}
