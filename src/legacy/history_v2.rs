//! `GET /api/history_v2`: finished jobs, newest created first.

use super::{
    Legacy, LegacyError,
    answer::{Inquiry, LegacyAnswer},
    json_string,
    listing::{Listing, Part},
    pagination::Pagination,
};
use crate::{
    http::headers::carried,
    jobs_api::{JobsSession, ListFilter, Listed},
    mapping::{View, dialect::State},
};
use std::sync::Arc;

impl Legacy {
    pub(super) async fn history_v2(
        self: &Arc<Self>,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.answers.history_v2;
        let pagination = Pagination::parse(inquiry.query, &table.pagination)?;
        let needed = pagination.needed();
        let is_shown = |job: &&Listed| {
            job.state == State::Finished && !self.hidden.is_hidden(session.caller().scope, &job.id, job.created)
        };
        let enough = |jobs: &[Listed]| needed.is_some_and(|needed| jobs.iter().filter(is_shown).count() >= needed);
        let wanted = needed.map_or(ListFilter::All, |_| ListFilter::Newest);
        let mut list = session.list(wanted, enough).await?;
        let kept_for = self.with_kept(session, &mut list)?;
        if list.complete {
            self.memory.retain_listed(session.caller().scope, &list.jobs);
        }
        self.hidden.retain_shown(session.caller().scope, &mut list.jobs);
        let shown = pagination.newest_first(list.jobs.len());
        let shown = list.jobs.into_iter().skip(shown.start).take(shown.len());
        let name = json_string(&table.list);
        let mut parts = vec![Part::text(format!("{{{name}: ["))];
        parts.extend(Part::jobs(shown));
        parts.push(Part::text("]}"));
        let listing = Listing {
            parts,
            view: View::HistoryV2,
            headers: Arc::new(carried(&list.headers)),
            shares: list.shares,
            kept_for,
        };
        self.listing(listing, inquiry, session).await
    }
}
