//! The Jobs API for its own clients, where the server speaks Comfy API v2: answered as a self-hosted ComfyUI does.

use super::{
    Pipeline,
    answer::{Answer, Origin},
    failure::{legacy_failure, unread},
    hints::OriginHeaders,
    pipeline::{Answering, later},
    request::{ArrivedRequest, ClientRequest},
};
use crate::{
    http::{body::full, body_decoding::decode},
    jobs_api::DialectKind,
    legacy::{JobsCall, ServedAnswer},
    migration::notices::put_kept,
    telemetry::Source,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

impl Pipeline {
    /// The answer to a call of the Jobs API.
    pub(super) fn answer_jobs_call<'a>(
        &'a self,
        call: JobsCall,
        request: ArrivedRequest<'a>,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        later(async move {
            let answer = self.serve(&call, self.going_on(request)).await;
            self.annotate(answer, &asked)
        })
    }

    async fn serve(&self, call: &JobsCall, request: ClientRequest<'_>) -> Answer {
        let caller = request.caller(self.scope(&request.head));
        let session = self.legacy.jobs().on_behalf_of(&caller, DialectKind::V2);
        let ClientRequest { record, head, body, .. } = request;
        record.source(Source::JobsApi);
        let (limit, budget) = (self.shared.max_write_body, &self.shared.budget);
        let body = match call {
            JobsCall::CancelMany => match budget.read(head.headers(), body, limit).await {
                Ok(body) => decode(head.headers(), &body, limit, budget),
                Err(error) => return unread(error),
            },
            _ => Ok(Bytes::new()),
        };
        match self.legacy.serve(&session, call, head.query(), body).await {
            Ok(answer) => served(answer, head.method()),
            Err(error) => legacy_failure(error, None),
        }
    }
}

fn served(answer: ServedAnswer, method: &Method) -> Answer {
    let length = HeaderValue::from(answer.body.len());
    let body = if *method == Method::HEAD {
        Bytes::new()
    } else {
        answer.body
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    if let Some(kept_for) = answer.kept_for {
        put_kept(headers, kept_for);
    }
    Answer {
        response,
        origin: Origin::Jobshim { asked: true },
    }
}
