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
    http::body::full,
    jobs_api::{DialectKind, ListFilter},
    mapping::dialect::V2Instead,
    telemetry::Source,
};
use futures_util::future::Either;
use http::{
    HeaderName, HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

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
                    let method = request.head.method().clone();
                    let caller = request.caller(self.scope(&request.head));
                    let session = jobs.on_behalf_of(&caller, DialectKind::V2);
                    match session.list(ListFilter::Queued, |_| false).await {
                        Ok(list) => own(&method, around.join(&list.jobs.len().to_string()), true),
                        Err(error) => legacy_failure(error.into(), None),
                    }
                }))
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
