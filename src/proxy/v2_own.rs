//! What a client of ComfyUI asks for that Comfy API v2 has nothing for: an answer that says so, or a small one of jobshim's own.

use super::{
    Pipeline,
    answer::{Answer, Origin},
    failure::{legacy_failure, no_such_thing},
    pipeline::{Answering, at_once, later},
    request::ArrivedRequest,
    translation::call,
};
use crate::{
    http::{body::full, request_head::RequestHead},
    jobs_api::{Caller, DialectKind, JobsSession, ListFilter},
    mapping::dialect::V2Instead,
    telemetry::{RequestRecord, Source},
};
use futures_util::future::Either;
use http::{
    HeaderName, HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use std::sync::Arc;

/// Marks answers that are jobshim's own.
const OWN: HeaderName = HeaderName::from_static("jobshim-own");

impl Pipeline {
    /// The answer to a request that a server of Comfy API v2 has nothing for; otherwise the request.
    pub(super) fn answer_for_v2<'a>(
        &'a self,
        request: ArrivedRequest<'a>,
    ) -> Either<Answering<'a>, ArrivedRequest<'a>> {
        let jobs = self.legacy.jobs();
        let head = &request.head;
        if jobs.known_dialect() != Some(DialectKind::V2) || *head.method() == Method::OPTIONS {
            return Either::Right(request);
        }
        let names = jobs.names(DialectKind::V2).names.v2.as_ref();
        let Some(instead) = names.and_then(|names| names.instead(head.uri().path())) else {
            return Either::Right(request);
        };
        let is_read = matches!(*head.method(), Method::GET | Method::HEAD);
        if !matches!(instead, V2Instead::Upload | V2Instead::View) {
            request.record.source(Source::Jobshim);
        }
        match instead {
            // Those are answered before.
            V2Instead::Upload | V2Instead::View => Either::Right(request),
            V2Instead::Socket => Either::Left(at_once(self.open_live_socket(request))),
            V2Instead::Use(advice) => Either::Left(at_once(no_such_thing(&call(head), advice))),
            _ if !is_read => Either::Left(at_once(no_such_thing(&call(head), "only a GET is answered here"))),
            V2Instead::Own(text) => Either::Left(at_once(own(head.method(), text.to_owned(), false))),
            V2Instead::Remaining(before, after) => {
                let around = [before.to_owned(), after.to_owned()];
                Either::Left(later(async move {
                    let request = self.going_on(request);
                    let caller = request.caller(self.scope(&request.head));
                    let session = jobs.on_behalf_of(&caller, DialectKind::V2);
                    remaining(&session, request.head.method(), &around).await
                }))
            }
        }
    }

    /// Whether a request that passes may be for what Comfy API v2 has nothing for, as it is not known yet what the server
    /// speaks.
    pub(super) fn may_be_missing(&self, head: &RequestHead) -> bool {
        let jobs = self.legacy.jobs();
        let instead = || {
            jobs.names(DialectKind::V2)
                .names
                .v2
                .as_ref()?
                .instead(head.uri().path())
        };
        jobs.known_dialect().is_none()
            && *head.method() != Method::OPTIONS
            && matches!(
                instead(),
                Some(V2Instead::Use(_) | V2Instead::Own(_) | V2Instead::Remaining(..))
            )
    }

    /// What is said in place of the server's 404 to such a request. What the server speaks is found out for it.
    pub(super) async fn instead_of_missing(
        &self,
        head: &RequestHead,
        caller: &Arc<Caller>,
        record: &RequestRecord,
    ) -> Option<Answer> {
        let session = self.v2_session(caller).await?;
        let names = self.legacy.jobs().names(DialectKind::V2).names.v2.as_ref()?;
        let instead = names.instead(head.uri().path())?;
        record.source(Source::Jobshim);
        let is_read = matches!(*head.method(), Method::GET | Method::HEAD);
        match instead {
            V2Instead::Use(advice) => Some(no_such_thing(&call(head), advice)),
            _ if !is_read => Some(no_such_thing(&call(head), "only a GET is answered here")),
            V2Instead::Own(text) => Some(own(head.method(), text.to_owned(), true)),
            V2Instead::Remaining(before, after) => {
                let around = [before.to_owned(), after.to_owned()];
                Some(remaining(&session, head.method(), &around).await)
            }
            V2Instead::Upload | V2Instead::View | V2Instead::Socket => None,
        }
    }
}

/// How many jobs have not ended, with what is around that number.
async fn remaining(session: &JobsSession, method: &Method, around: &[String; 2]) -> Answer {
    match session.list(ListFilter::Queued, |_| false).await {
        Ok(list) => own(method, around.join(&list.jobs.len().to_string()), true),
        Err(error) => legacy_failure(error.into(), None),
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
