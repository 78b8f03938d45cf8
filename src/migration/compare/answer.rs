//! A legacy answer as it is compared, and what stands around its entries.

use crate::{
    config::field_path::FieldPath,
    http::buffered::Buffer,
    legacy::{LegacyAnswer, LegacyError},
    mapping::{Table, Tables, View},
    routes::LegacyRoute,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

/// A legacy answer, whoever gave it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Such as 200.
    pub status: u16,
    /// As sent.
    pub content_type: String,
    /// All of it; `None` where only the head was asked for.
    pub body: Option<Bytes>,
}

impl Taken {
    /// Of a status and headers.
    pub fn of(status: u16, headers: &HeaderMap, body: Option<Bytes>) -> Self {
        Self {
            status,
            content_type: text(headers.get(CONTENT_TYPE)),
            body,
        }
    }

    /// Of a translated answer; `None` if `buffer` has no room for it.
    pub async fn translated(answer: LegacyAnswer, mut buffer: Buffer) -> Result<Option<Self>, LegacyError> {
        let (status, content_type) = (answer.status.as_u16(), text(answer.content_type.as_ref()));
        let mut pieces = answer.body.stream();
        while let Some(piece) = pieces.next().await {
            if buffer.push(&piece?).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            status,
            content_type,
            body: Some(buffer.into_bytes()),
        }))
    }

    /// Whether it says that the server has no such path: lists are never 404, and what is said of a job is JSON
    /// (docs/contract.md section 1).
    pub fn is_of_no_path(&self, route: &LegacyRoute) -> bool {
        let may_miss_a_job = matches!(route, LegacyRoute::HistoryV2One(_) | LegacyRoute::JobStatus(_));
        self.status == 404 && !(may_miss_a_job && self.content_type.starts_with("application/json"))
    }

    /// Whether it says anything about jobs: a failure or a refusal does not.
    pub fn is_comparable(&self) -> bool {
        matches!(self.status, 200 | 404)
    }
}

/// What stands around the entries of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Envelope<'a> {
    /// Nothing: the answer is one entry.
    Bare,
    /// An object, by job id.
    ById,
    /// A member that holds a list, whose entries have their ids here.
    List(&'a str, &'a FieldPath),
    /// The members that hold running and pending jobs, in any order; these have their ids here.
    Queue([&'a str; 2], &'a FieldPath),
}

/// The table and the envelope of a route's answers.
pub(super) fn table_and_envelope<'a>(
    route: &LegacyRoute,
    tables: &'a Tables,
    cloud_items: bool,
) -> (&'a Table, Envelope<'a>) {
    let tables = &tables.answers;
    let envelope = match route {
        LegacyRoute::History | LegacyRoute::HistoryOne(_) | LegacyRoute::HistoryV2One(_) => Envelope::ById,
        LegacyRoute::JobStatus(_) => Envelope::Bare,
        LegacyRoute::HistoryV2 => Envelope::List(&tables.history_v2.list, &tables.history_v2.entry_id),
        LegacyRoute::Queue { .. } => {
            let table = tables.queue(cloud_items);
            Envelope::Queue([&table.running, &table.pending], &table.entry_id)
        }
    };
    (tables.table(View::of_route(route, cloud_items)), envelope)
}

fn text(value: Option<&HeaderValue>) -> String {
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_owned()
}
