//! `GET /api/history_v2` and `GET /api/history_v2/{id}`: finished jobs, newest created first.

use super::{
    Legacy, LegacyAnswer, LegacyError, answer, entries::in_order, history::one, json_string, not_found, window::Window,
};
use crate::jobs::{Caller, DialectKind, Listed, State};
use bytes::Bytes;

impl Legacy {
    pub(super) async fn history_v2(
        &self,
        query: &str,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.history_v2;
        let window = Window::parse(query, &table.answer)?;
        let needed = window.needed().unwrap_or(usize::MAX);
        let is_shown =
            |job: &&Listed| job.state == State::Finished && !self.hidden.is_hidden(caller.scope, &job.id, job.created);
        let enough = |jobs: &[Listed]| jobs.iter().filter(is_shown).count() >= needed;
        let mut list = self.jobs.list(caller, kind, None, enough).await?;
        self.hidden.retain_shown(caller.scope, &mut list.jobs);
        let shown = list.jobs.get(window.newest_first(list.jobs.len())).unwrap_or_default();
        let entries = self.entries(caller, kind, table, in_order(shown)).await?;
        let name = json_string(table.answer.list.as_deref().unwrap_or_default());
        let mut body = vec![Bytes::from(format!("{{{name}: ["))];
        for (nth, (_, entry)) in entries.into_iter().enumerate() {
            if nth > 0 {
                body.push(Bytes::from_static(b", "));
            }
            body.push(entry);
        }
        body.push(Bytes::from_static(b"]}"));
        Ok(answer(table, body, list.headers))
    }

    pub(super) async fn history_v2_one(
        &self,
        id: &str,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.history_v2_detail;
        let (entry, headers) = self.finished_entry(id, caller, kind, table).await?;
        Ok(match entry {
            Some(entry) => answer(table, one(id, entry), headers),
            None => not_found(table, headers),
        })
    }
}
