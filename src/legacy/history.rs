//! `GET /history` and `GET /history/{id}`: finished jobs, oldest finished first.

use super::{Legacy, LegacyAnswer, LegacyError, answer, entries::in_order, json_string, window::Window};
use crate::jobs::{Caller, DialectKind, Listed};
use bytes::Bytes;

impl Legacy {
    pub(super) async fn history(
        &self,
        query: &str,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.history;
        let window = Window::parse(query, &table.answer)?;
        // Every state is asked for and the queued ones passed over: early servers refuse the filter word for
        // cancelled jobs, and remembering that would hide those jobs after an upgrade.
        let since = self.hidden.now();
        let mut list = self.jobs.list(caller, kind, None, |_| false).await?;
        self.hidden.forget_gone(caller.scope, since, &list.jobs);
        self.hidden.retain_shown(caller.scope, &mut list.jobs);
        // Of jobs that ended in the same moment the one created earlier is in front; of jobs that were created in the
        // same moment the list has the older one first.
        let age = |one: &Listed, other: &Listed| one.created.total_cmp(&other.created);
        list.jobs
            .sort_by(|one, other| one.ended.total_cmp(&other.ended).then(age(one, other)));
        let shown = list.jobs.get(window.oldest_first(list.jobs.len())).unwrap_or_default();
        let entries = self.entries(caller, kind, table, in_order(shown)).await?;
        let mut body = Vec::with_capacity(2 * entries.len() + 1);
        let mut lead = "{";
        for (id, entry) in entries {
            body.push(Bytes::from(format!("{lead}{}: ", json_string(&id))));
            body.push(entry);
            lead = ", ";
        }
        body.push(Bytes::from_static(if body.is_empty() { b"{}" } else { b"}" }));
        Ok(answer(table, body, list.headers))
    }

    pub(super) async fn history_one(
        &self,
        id: &str,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.history;
        let (entry, headers) = self.finished_entry(id, caller, kind, table).await?;
        let body = match entry {
            Some(entry) => one(id, entry),
            None => vec![Bytes::from_static(b"{}")],
        };
        Ok(answer(table, body, headers))
    }
}

/// `{id: entry}`.
pub(super) fn one(id: &str, entry: Bytes) -> Vec<Bytes> {
    let lead = format!("{{{}: ", json_string(id));
    vec![Bytes::from(lead), entry, Bytes::from_static(b"}")]
}
