//! `GET /queue` and `GET /api/queue`: running and pending jobs, in the order of the surface that is shown.

use super::{
    Legacy, LegacyError,
    answer::{Inquiry, LegacyAnswer},
    json_string,
    listing::{Listing, Part},
};
use crate::{
    http::headers::carried,
    jobs_api::{DialectKind, JobsSession, ListFilter, Listed},
    mapping::{View, dialect::State},
};
use std::{cmp::Ordering, sync::Arc};

impl Legacy {
    pub(super) async fn queue(
        self: &Arc<Self>,
        api: bool,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let cloud_items = self.shows_cloud_items(api, session.kind());
        let view = if cloud_items { View::QueueCloud } else { View::Queue };
        let table = self.tables.answers.queue(cloud_items);
        let list = session.list(ListFilter::Queued, |_| false).await?;
        let (mut running, mut pending): (Vec<Listed>, Vec<Listed>) = (Vec::new(), Vec::new());
        for job in list.jobs {
            match job.state {
                State::Running => running.push(job),
                State::Pending => pending.push(job),
                State::Finished => {}
            }
        }
        running.sort_by(|one, other| one.started.total_cmp(&other.started));
        // Of jobs created in the same moment the list has the older one first.
        pending.sort_by(|one, other| one.created.total_cmp(&other.created));
        if !cloud_items {
            // Self-hosted, the queue is a heap of numbers, then ids. The cloud numbers no jobs.
            let by_id = |one: &Listed, other: &Listed| match session.kind() {
                DialectKind::Comfyui => one.id.cmp(&other.id),
                DialectKind::Cloud | DialectKind::V2 => Ordering::Equal,
            };
            // -0 is 0 in the queue.
            pending.sort_by(|one, other| {
                let by_number = (one.number + 0.0).total_cmp(&(other.number + 0.0));
                by_number.then_with(|| by_id(one, other))
            });
        }
        let mut parts = Vec::new();
        let names = [&table.running, &table.pending];
        for ((name, jobs), lead) in names.into_iter().zip([running, pending]).zip(["{", "], "]) {
            let name = json_string(name);
            parts.push(Part::text(format!("{lead}{name}: [")));
            parts.extend(Part::jobs(jobs));
        }
        parts.push(Part::text("]}"));
        let listing = Listing {
            parts,
            view,
            headers: Arc::new(carried(&list.headers)),
            kept_for: None,
            shares: list.shares,
        };
        self.listing(listing, inquiry, session).await
    }
}
