//! What clients of ComfyUI ask for in other words than a server of Comfy API v2 has, or what it has nothing for.

use super::{
    Pipeline,
    answer::{Answer, Origin},
    failure::{forbidden, legacy_failure, no_such_thing, passed},
    hints::OriginHeaders,
    pipeline::{Answering, at_once, later},
    request::{ArrivedRequest, ClientRequest, caller_beside},
    translation::call,
};
use crate::{
    http::{body::full, header_flags::HeaderFlags, request_head::RequestHead},
    jobs_api::{Caller, DialectKind, ListFilter},
    legacy::V2Call,
    mapping::dialect::{V2Instead, V2Said},
    routes::Route,
    telemetry::Source,
};
use futures_util::FutureExt;
use http::{
    HeaderName, HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use std::sync::Arc;

/// Marks answers that are jobshim's own.
const OWN: HeaderName = HeaderName::from_static("jobshim-own");

impl Pipeline {
    /// Whether it must be known what the server speaks before anything is sent to it.
    pub(super) fn must_know_dialect(&self, route: &Route, request: &ArrivedRequest<'_>) -> bool {
        let head = &request.head;
        let is_unknown = self.legacy.jobs().known_dialect().is_none();
        is_unknown
            && match (route, request.record.foreign) {
                (Route::PassThrough, _) => match self.legacy.v2_call(head) {
                    Some(V2Call::Jobs(_) | V2Call::Other(V2Instead::Upload | V2Instead::View)) => true,
                    // A client opens it before it asks for anything else.
                    Some(V2Call::Other(V2Instead::Socket)) => head.has(HeaderFlags::UPGRADE),
                    Some(V2Call::Other(V2Instead::Said(_))) | None => false,
                },
                // A ComfyUI refuses it by itself.
                (_, is_foreign) => is_foreign,
            }
    }

    /// Finds out what the server speaks. Where that fails, the request itself will tell the client.
    pub(super) async fn learn_dialect(&self, request: &ArrivedRequest<'_>) {
        let caller = caller_beside(request.record, &request.head, self.scope(&request.head));
        Box::pin(self.legacy.jobs().dialect_to_pass(&caller, true)).await;
    }

    /// The answer to a call of a server that speaks Comfy API v2.
    pub(super) fn answer_v2_call<'a>(
        &'a self,
        call: V2Call<'a>,
        request: ArrivedRequest<'a>,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        match call {
            _ if request.record.foreign => at_once(Answer::local(forbidden())),
            V2Call::Jobs(call) => self.answer_jobs_call(call, request, asked),
            V2Call::Other(V2Instead::Upload) => {
                let uploading = self.upload(self.going_on(request));
                later(uploading.map(move |answer| self.annotate(answer, &asked)))
            }
            V2Call::Other(V2Instead::View) => {
                let viewing = self.view(self.going_on(request));
                later(viewing.map(move |answer| self.annotate(answer, &asked)))
            }
            V2Call::Other(V2Instead::Socket) => {
                request.record.source(Source::Jobshim);
                at_once(self.open_live_socket(request))
            }
            V2Call::Other(V2Instead::Said(said)) => later(async move {
                let request = self.going_on(request);
                request.record.source(Source::Jobshim);
                let caller = request.caller(self.scope(&request.head));
                self.said(said, &request.head, &caller).await
            }),
        }
    }

    /// The answer to what the server has nothing for, and is asked for as long as it is not known what it speaks: on its 404
    /// that is found out.
    pub(super) async fn said_if_missing(&self, said: V2Said<'_>, request: ClientRequest<'_>) -> Answer {
        let (head, record) = (request.head.clone(), request.record);
        let caller = request.caller(self.scope(&head));
        let answer = passed(self.pass(request).await);
        let is_missing = matches!(answer.response.status().as_u16(), 404 | 405);
        if !is_missing || self.v2_session(&caller).await.is_none() {
            return answer;
        }
        record.source(Source::Jobshim);
        self.said(said, &head, &caller).await
    }

    async fn said(&self, said: V2Said<'_>, head: &RequestHead, caller: &Arc<Caller>) -> Answer {
        let is_read = matches!(*head.method(), Method::GET | Method::HEAD);
        match said {
            V2Said::Use(advice) => no_such_thing(&call(head), advice),
            _ if !is_read => no_such_thing(&call(head), "only a GET is answered here"),
            V2Said::Own(text) => own(head.method(), text.to_owned(), false),
            V2Said::Remaining(before, after) => {
                let session = self.legacy.jobs().on_behalf_of(caller, DialectKind::V2);
                match session.list(ListFilter::Queued, |_| false).await {
                    Ok(list) => own(head.method(), format!("{before}{}{after}", list.jobs.len()), true),
                    Err(error) => legacy_failure(error.into(), None),
                }
            }
        }
    }
}

/// A small true answer; `asked` says whether the server was.
fn own(method: &Method, text: String, asked: bool) -> Answer {
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(full(if *method == Method::HEAD { String::new() } else { text }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(OWN, HeaderValue::from_static("1"));
    Answer {
        response,
        origin: Origin::Jobshim { asked },
    }
}
