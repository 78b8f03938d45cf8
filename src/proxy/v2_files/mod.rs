//! Files of clients of ComfyUI at a server of Comfy API v2: an upload becomes an asset, and `/view` shows one.

mod upload;
mod upload_body;
mod view;

use super::{
    Pipeline,
    answer::Answer,
    failure::{forbidden, wrong_method},
    hints::OriginHeaders,
    pipeline::{Answering, at_once, later},
    request::{ArrivedRequest, caller},
};
use crate::{
    http::request_head::RequestHead,
    jobs_api::{DialectKind, JobsSession},
    mapping::dialect::V2Instead,
};
use futures_util::FutureExt;
use http::Method;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileCall {
    Upload,
    View,
}

impl Pipeline {
    /// What a request asks for of a file, if the server may be one that knows no names of files.
    pub(super) fn file_call(&self, head: &RequestHead) -> Option<FileCall> {
        let jobs = self.legacy.jobs();
        if !matches!(jobs.known_dialect(), None | Some(DialectKind::V2)) || *head.method() == Method::OPTIONS {
            return None;
        }
        let names = jobs.names(DialectKind::V2).names.v2.as_ref()?;
        match names.instead(head.uri().path())? {
            V2Instead::Upload => Some(FileCall::Upload),
            V2Instead::View => Some(FileCall::View),
            _ => None,
        }
    }

    /// Whether a request asks for a file by its name, if the server may be one that knows none.
    pub(super) fn shows_file(&self, head: &RequestHead) -> bool {
        self.file_call(head) == Some(FileCall::View)
    }

    /// The answer to a request about a file, where the server speaks Comfy API v2; otherwise the request.
    pub(super) fn answer_about_file<'a>(
        &'a self,
        call: FileCall,
        request: ArrivedRequest<'a>,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        let is_known = self.legacy.jobs().known_dialect().is_some();
        let method = request.head.method();
        let allow = match call {
            FileCall::Upload if *method != Method::POST => Some("POST"),
            FileCall::View if !matches!(*method, Method::GET | Method::HEAD) => Some("GET, HEAD"),
            _ => None,
        };
        if is_known && let Some(allow) = allow {
            return at_once(wrong_method(method, Some(allow)));
        }
        later(async move {
            let caller = caller(request.record, &request.head, self.scope(&request.head));
            match self.v2_session(&caller).await {
                None => self.pass_through(request, asked).await,
                Some(_) if allow.is_some() => wrong_method(request.head.method(), allow),
                Some(session) => {
                    let answer = self.file(call, session, request).await;
                    self.annotate(answer, &asked)
                }
            }
        })
    }

    async fn file(&self, call: FileCall, session: JobsSession, request: ArrivedRequest<'_>) -> Answer {
        // What a page of another site asks, ComfyUI refuses before it does anything.
        let foreign = request.record.foreign;
        match call {
            _ if foreign => Answer::local(forbidden()),
            FileCall::Upload => self.upload(session, self.going_on(request)).boxed().await,
            FileCall::View => self.view(session, self.going_on(request)).boxed().await,
        }
    }
}
