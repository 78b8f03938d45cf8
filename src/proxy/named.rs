//! Requests in which jobs may have names (`legacy.ids`): what goes to the server has the ids that it knows, and what comes back
//! those of the client.

use super::{
    Pipeline,
    forward::set_text,
    request::{ClientRequest, LegacyRequest},
};
use crate::{
    http::{
        body::{Body, full},
        body_decoding::decode,
        buffered::{BufferError, ReadError},
        request_head::RequestHead,
    },
    jobs_api::Caller,
    legacy::{JobsCall, Naming},
    routes::{LegacyRoute, LegacyWrite},
    upstream::UpstreamError,
};
use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use hyper::body::Body as _;
use std::sync::Arc;

/// How long an object with nothing in it is, in bytes: what a legacy read of an unknown job is answered with.
const EMPTY: u64 = 2;

impl Pipeline {
    /// What is done to the answer of the server's own to this request, if jobs may have names in it.
    pub(super) fn naming(&self, request: &mut ClientRequest<'_>, is_whole_list: bool) -> Option<Naming> {
        let names = self.legacy.names();
        let is_looked_through = names.are_looked_for() && request.head.method().is_safe();
        if !is_looked_through && !names.is_expected() {
            return None;
        }
        let caller = request.caller(self.scope(&request.head));
        Some(self.legacy.naming(&mut request.head, caller, is_whole_list))
    }

    /// The answer as its client knows its jobs.
    pub(super) async fn named(
        &self,
        naming: Option<Naming>,
        response: Response<Body>,
    ) -> Result<Response<Body>, UpstreamError> {
        match naming {
            None => Ok(response),
            Some(naming) => {
                let applied = naming.applied(response).await;
                applied.map_err(|error| self.shared.upstream.broken_off(&*error))
            }
        }
    }

    /// Passes a call of the Jobs API.
    pub(super) async fn pass_named(
        &self,
        call: JobsCall,
        mut request: ClientRequest<'_>,
    ) -> Result<Response<Body>, UpstreamError> {
        let scope = self.scope(&request.head);
        match call {
            JobsCall::List => {
                let is_whole = request.head.query().is_empty();
                self.pass_call(request, is_whole).await
            }
            JobsCall::One(id) => {
                if let Some(uuid) = self.legacy.known_id_at_server(&id, scope) {
                    set_id(&mut request.head, &uuid, 0);
                    return self.pass_call(request, false).await;
                }
                if !self.legacy.names().is_name(&id) {
                    return self.pass_call(request, false).await;
                }
                let again = once_more(&request);
                let response = self.pass_call(request, false).await?;
                if tells_of_a_job(&response) {
                    return Ok(response);
                }
                match self.found_elsewhere(&id, 0, again).await {
                    None => Ok(response),
                    Some(again) => self.pass_call(again, false).await,
                }
            }
            JobsCall::Cancel(id) => {
                let caller = request.caller(scope);
                if let Some(uuid) = self.legacy.id_at_server(&id, &caller).await {
                    set_id(&mut request.head, &uuid, 1);
                }
                self.pass_call(request, false).await
            }
            JobsCall::CancelMany => {
                if let Some(text) = self.order(&mut request).await?
                    && let Some(changed) = self.legacy.cancel_at_server(&text, scope)
                {
                    set_order(&mut request, changed);
                }
                self.pass_call(request, false).await
            }
        }
    }

    async fn pass_call(
        &self,
        mut request: ClientRequest<'_>,
        is_whole_list: bool,
    ) -> Result<Response<Body>, UpstreamError> {
        let hiding = self.legacy.hiding(&mut request.head, |head| self.scope(head));
        let naming = self.naming(&mut request, is_whole_list);
        let response = self.pass_hiding(request, hiding).await?;
        self.named(naming, response).await
    }

    /// A legacy read that is forwarded. The job that it is about may be there under a UUID from before a restart.
    pub(super) async fn forward_read(
        &self,
        route: &LegacyRoute,
        request: ClientRequest<'_>,
    ) -> Result<Response<Body>, UpstreamError> {
        let Some(id) = route.id().filter(|id| self.legacy.names().is_name(id)) else {
            let is_list = matches!(route, LegacyRoute::History | LegacyRoute::HistoryV2);
            let is_whole_list = is_list && request.head.query().is_empty();
            return self.forward(request, is_whole_list).await;
        };
        let again = once_more(&request);
        let response = self.forward(request, false).await?;
        if tells_of_a_job(&response) {
            return Ok(response);
        }
        match self.found_elsewhere(id, route.behind_id(), again).await {
            None => Ok(response),
            Some(again) => self.forward(again, false).await,
        }
    }

    /// The same request for the UUID of the job, if the server has one of it.
    async fn found_elsewhere<'a>(
        &self,
        id: &str,
        behind: usize,
        mut again: ClientRequest<'a>,
    ) -> Option<ClientRequest<'a>> {
        let caller = again.caller(self.scope(&again.head));
        let uuid = self.legacy.id_at_server(id, &caller).await?;
        set_id(&mut again.head, &uuid, behind);
        Some(again)
    }

    /// A write to the job that its path names.
    pub(super) async fn write_to(&self, write: &LegacyWrite, call: &mut LegacyRequest<'_>) -> LegacyWrite {
        if let LegacyWrite::JobCancel(id) = write
            && let Some(uuid) = self.legacy.id_at_server(id, &call.caller()).await
        {
            set_id(&mut call.request.head, &uuid, 1);
            return LegacyWrite::JobCancel(uuid);
        }
        write.clone()
    }

    /// A legacy write that passes, with the ids that the server knows in its body.
    pub(super) async fn order_for_server(
        &self,
        write: &LegacyWrite,
        request: &mut ClientRequest<'_>,
        caller: &Arc<Caller>,
    ) -> Result<(), UpstreamError> {
        if self.legacy.names().is_on()
            && let Some(text) = self.order(request).await?
            && let Some(changed) = self.legacy.order_at_server(write, &text, caller).await
        {
            set_order(request, changed);
        }
        Ok(())
    }

    /// What the body of a write says. A body whose length is not known, or that is longer than a legacy write may be, passes
    /// unread.
    async fn order(&self, request: &mut ClientRequest<'_>) -> Result<Option<Bytes>, UpstreamError> {
        let (limit, budget) = (self.shared.max_write_body, &self.shared.budget);
        let length = request.body.size_hint().exact();
        if length.is_none_or(|length| length == 0 || length > limit as u64) {
            return Ok(None);
        }
        let body = std::mem::replace(&mut request.body, full(""));
        let headers = request.head.headers();
        let sent = budget.read(headers, body, limit).await.map_err(|error| match error {
            ReadError::Buffer(BufferError::NoRoom(limit) | BufferError::TooLong(limit)) => {
                UpstreamError::NoRoom { limit }
            }
            ReadError::Body(error) => UpstreamError::Client(error.into()),
        })?;
        let text = decode(headers, &sent, limit, budget).ok();
        request.body = full(sent);
        Ok(text)
    }
}

fn tells_of_a_job(response: &Response<Body>) -> bool {
    let is_empty = response
        .body()
        .size_hint()
        .upper()
        .is_some_and(|length| length <= EMPTY);
    response.status() != StatusCode::NOT_FOUND && !is_empty
}

/// The same request, of which nothing but the head is needed.
fn once_more<'a>(request: &ClientRequest<'a>) -> ClientRequest<'a> {
    ClientRequest {
        record: request.record,
        head: request.head.clone(),
        body: full(""),
        shutdown: None,
    }
}

fn set_order(request: &mut ClientRequest<'_>, text: Vec<u8>) {
    set_text(request.head.parts_mut(), text.len());
    request.body = full(text);
}

/// Puts `id` into the path, in front of the last `behind` segments.
pub(super) fn set_id(head: &mut RequestHead, id: &str, behind: usize) {
    let uri = head.uri();
    let mut segments: Vec<&str> = uri.path().split('/').collect();
    if let Some(segment) = segments.iter_mut().rev().nth(behind) {
        *segment = id;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", segments.join("/"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        head.parts_mut().uri = uri;
    }
}
