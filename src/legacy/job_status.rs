//! `GET /api/job/{id}/status`: the state of one job, in the cloud's own words.

use super::{Legacy, LegacyAnswer, LegacyError, answer, entries::Wanted, not_found};
use crate::jobs::{Caller, Detail, DialectKind, State};

impl Legacy {
    pub(super) async fn job_status(
        &self,
        id: &str,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let table = &self.tables.job_status;
        match self.jobs.detail(caller, kind, id).await? {
            Detail::Absent(headers) => Ok(not_found(table, headers)),
            Detail::Found {
                state: State::Finished,
                created,
                headers,
                ..
            } if self.hidden.is_hidden(caller.scope, id, created) => Ok(not_found(table, headers)),
            Detail::Found { body, headers, .. } => {
                let job = Wanted {
                    id: id.to_owned(),
                    position: 1,
                };
                let entry = self.entry(caller, kind, table, &job, &body).await?;
                Ok(answer(table, vec![entry], headers))
            }
        }
    }
}
