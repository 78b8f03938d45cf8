//! Answers that pass through, with names in the place of UUIDs, and without what jobshim put into a job to find its name again.

use super::{
    Legacy, json_string,
    names::{Names, Uuid},
    passing::{CONDITIONS, OF_THE_BYTES, without},
};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, BoxError, full},
        request_head::RequestHead,
    },
    jobs_api::{Caller, Detail, State},
    mapping::json::{IdPiece, IdStrings, replace_ids},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame};
use std::{collections::HashSet, future::ready, sync::Arc};

/// The most jobs of one answer whose names the server is asked for.
const MOST_ASKED: usize = 1000;
/// How many of them at once.
const ASKED_AT_ONCE: usize = 8;
/// The longest answer, in bytes, that is put together before it is sent.
const SHORT: u64 = 64 << 10;

impl Names {
    /// `text` with names in the place of UUIDs; `None` where it has none that is held.
    pub fn spoken(&self, scope: Scope, text: &[u8]) -> Option<Vec<u8>> {
        replace_ids(text, Uuid::LENGTH, |id| {
            let uuid = Uuid::parse(id).filter(|uuid| uuid.is_named())?;
            Some(json_string(&self.held(scope, uuid)?))
        })
    }
}

/// What is done to an answer that passes through for a client that may have named jobs.
pub struct Naming {
    legacy: Arc<Legacy>,
    caller: Arc<Caller>,
    /// It is the list of all jobs.
    is_whole_list: bool,
}

/// An answer on its way.
struct Passing {
    naming: Naming,
    body: Body,
    /// Until it has come to its end.
    strings: Option<IdStrings>,
    /// How many more names the server is asked for.
    to_ask: usize,
}

impl Legacy {
    /// What is done to the answer to a request. Where names are to be expected, the answer must come whole, and as it is.
    pub fn naming(self: &Arc<Self>, head: &mut RequestHead, caller: Arc<Caller>, is_whole_list: bool) -> Naming {
        if self.names.is_expected() {
            for name in CONDITIONS {
                head.headers_mut().remove(name);
            }
        }
        Naming {
            is_whole_list,
            ..Naming::new(self, &caller)
        }
    }

    /// Asks the server what name a job has.
    async fn ask_for_name(&self, uuid: Uuid, caller: &Arc<Caller>) {
        let id = uuid.to_string();
        let scope = caller.scope;
        let asking = async {
            let kind = self.jobs.dialect(caller).await.ok()?;
            let detail = self.jobs.on_behalf_of(caller, kind).detail(&id).await.ok()?;
            let Detail::Found { state, body, .. } = detail else {
                return None;
            };
            let path = self.jobs.names(kind).names.detail.name.as_ref();
            let name = self.names.told(scope, &id, body.text(), path);
            Some((name.is_some(), state == State::Finished))
        };
        match asking.await {
            Some((true, _)) => {}
            Some((false, has_ended)) => self.names.told_none(scope, uuid, has_ended),
            None => self.names.told_none(scope, uuid, false),
        }
    }
}

impl Naming {
    /// For an answer that is plain in any case.
    pub fn new(legacy: &Arc<Legacy>, caller: &Arc<Caller>) -> Self {
        Self {
            legacy: Arc::clone(legacy),
            caller: Arc::clone(caller),
            is_whole_list: false,
        }
    }

    /// The answer as the client knows its jobs. What is no JSON, or is compressed unasked, passes as it came.
    ///
    /// # Errors
    /// The answer broke off.
    pub async fn applied(self, response: Response<Body>) -> Result<Response<Body>, BoxError> {
        let headers = response.headers();
        let is_json = headers.get(CONTENT_TYPE).is_some_and(is_json);
        if !is_json || headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Ok(response);
        }
        let (mut head, body) = response.into_parts();
        let is_short = body.size_hint().upper().is_some_and(|length| length <= SHORT);
        let member = self.legacy.tables.prompt.request.name_member();
        let mut passing = Passing {
            strings: Some(IdStrings::new(Uuid::LENGTH, member.unwrap_or_default())),
            naming: self,
            body,
            to_ask: MOST_ASKED,
        };
        if !is_short {
            without(&mut head.headers, &OF_THE_BYTES);
            let body = StreamBody::new(stream::try_unfold(passing, Passing::next)).boxed_unsync();
            return Ok(Response::from_parts(head, body));
        }
        let came = std::mem::take(&mut passing.body).collect().await?;
        let (trailers, came) = (came.trailers().cloned(), came.to_bytes());
        passing.body = full(came.clone());
        let spoken = StreamBody::new(stream::try_unfold(passing, Passing::next));
        let spoken = BodyExt::collect(spoken).await?.to_bytes();
        if spoken != came {
            without(&mut head.headers, &OF_THE_BYTES);
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(spoken.len()));
        }
        let body = match trailers {
            None => full(spoken),
            Some(trailers) => full(spoken).with_trailers(ready(Some(Ok(trailers)))).boxed_unsync(),
        };
        Ok(Response::from_parts(head, body))
    }
}

fn is_json(content_type: &HeaderValue) -> bool {
    let value = content_type.as_bytes().split(|byte| *byte == b';').next();
    value.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

impl Passing {
    async fn next(mut self) -> Result<Option<(Frame<Bytes>, Self)>, BoxError> {
        loop {
            let Some(strings) = &mut self.strings else {
                return Ok(None);
            };
            let frame = self.body.frame().await.transpose()?;
            let pieces = match frame.map(Frame::into_data) {
                Some(Ok(data)) => strings.copy(&data),
                Some(Err(trailers)) => return Ok(Some((trailers, self))),
                None => {
                    let pieces = strings.end();
                    self.strings = None;
                    self.naming.legacy.names.looked_through(self.naming.is_whole_list);
                    pieces
                }
            };
            let text = self.spoken(pieces).await;
            if !text.is_empty() {
                return Ok(Some((Frame::data(text.into()), self)));
            }
        }
    }

    /// The pieces with names in the place of UUIDs.
    async fn spoken(&mut self, pieces: Vec<IdPiece>) -> Vec<u8> {
        let Naming { legacy, caller, .. } = &self.naming;
        let scope = caller.scope;
        let mut unknown = HashSet::new();
        for piece in &pieces {
            match piece {
                IdPiece::TakenOut(name) => {
                    legacy.learn_name(scope, name);
                }
                IdPiece::Id(text) => unknown.extend(named(text).filter(|uuid| {
                    let names = &legacy.names;
                    names.held(scope, *uuid).is_none() && !names.is_nameless(scope, *uuid)
                })),
                IdPiece::Text(_) => {}
            }
        }
        if unknown.len() > self.to_ask {
            let left_out = unknown.len() - self.to_ask;
            tracing::warn!(
                left_out,
                "jobs of one answer are shown by their UUIDs: too many names would have to be asked for"
            );
        }
        let asked: Vec<Uuid> = unknown.into_iter().take(self.to_ask).collect();
        self.to_ask -= asked.len();
        let asking = asked.into_iter().map(|uuid| legacy.ask_for_name(uuid, caller));
        stream::iter(asking)
            .buffer_unordered(ASKED_AT_ONCE)
            .collect::<Vec<()>>()
            .await;
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                IdPiece::Text(mut text) => out.append(&mut text),
                IdPiece::TakenOut(_) => {}
                IdPiece::Id(mut text) => match named(&text).and_then(|uuid| legacy.names.held(scope, uuid)) {
                    Some(name) => out.extend_from_slice(json_string(&name).as_bytes()),
                    None => out.append(&mut text),
                },
            }
        }
        out
    }
}

/// A string with its quotes as a UUID that may have a name.
fn named(text: &[u8]) -> Option<Uuid> {
    let inner = text.get(1..text.len().saturating_sub(1))?;
    Uuid::parse(inner).filter(|uuid| uuid.is_named())
}
