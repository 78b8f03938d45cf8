//! `POST /upload/image` and `POST /upload/mask`: the file becomes an asset, and its client is told a name for it.

use super::upload_body::{Outcome, UploadBody, Uploaded};
use crate::{
    http::{
        body::{Body, full},
        body_decoding::{DecodeError, is_plain},
        buffered::{BufferError, discard_unread},
        headers::carried,
        multipart::FormReader,
    },
    jobs_api::{DialectKind, JobsSession},
    mapping::dialect::V2FileNames,
    proxy::{
        Pipeline,
        answer::Answer,
        failure::{refused, refused_upload, state_failure, unclear_upload, unreadable, wrong_method},
        forward::OwnRequest,
        request::ClientRequest,
    },
    store::StoreError,
    telemetry::{Source, now_ms, of_this_request},
    upstream::{Upstream, UpstreamError, cause::Cause},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The longest answer to an upload, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Why an upload that the server may have taken has no name.
const NO_ASSET: &str = "the server took the file, and did not say which asset it is";
const NO_NAME: &str = "the server took the file, and others were given each name that it could have";
const ENDED: &str = "jobshim ended while the file was on its way: the server may have taken it";

/// Headers about a body that does not go on as it is.
const OF_BODY: [HeaderName; 7] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    EXPECT,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

impl Pipeline {
    /// The answer to an upload.
    pub(in crate::proxy) async fn upload(&self, request: ClientRequest<'_>) -> Answer {
        if *request.head.method() != Method::POST {
            return wrong_method(request.head.method(), Some("POST"));
        }
        let caller = request.caller(self.scope(&request.head));
        let session = self.legacy.jobs().on_behalf_of(&caller, DialectKind::V2);
        let ClientRequest {
            record, mut head, body, ..
        } = request;
        let Some(names) = session.file_names() else {
            return refused(UpstreamError::BadTarget("there are no files".to_owned()));
        };
        // Before anything is sent: what the server has taken must be known.
        if let Err(error) = self.shared.store.confirm_for_write().await {
            discard_unread(head.headers(), body).await;
            record.source(Source::Jobshim);
            return state_failure(&error);
        }
        let wrong = match (is_plain(head.headers()), FormReader::new(head.headers())) {
            (Ok(true), Ok(reader)) => Ok(reader),
            (Err(error), _) => Err(unreadable(error)),
            (Ok(false), _) => Err(unreadable(DecodeError::Coding)),
            (_, Err(error)) => Err(refused_upload(&error.to_string())),
        };
        let reader = match wrong {
            Ok(reader) => reader,
            Err(answer) => {
                discard_unread(head.headers(), body).await;
                record.source(Source::Jobshim);
                return answer;
            }
        };
        let forwarded = match self.passage_at(record, &head, &session.upload_target(names)) {
            Ok(forwarded) => forwarded,
            Err(error) => return refused(error),
        };
        become_form(head.headers_mut(), &reader);
        let outcome = Outcome::default();
        let files = (session.known_files().clone(), session.caller().scope);
        let body = UploadBody::new(body, reader, names.clone(), files, outcome.clone()).into_body();
        let request = Request::from_parts(head.into_parts(), body);
        let uploading = Uploading {
            request: forwarded.on_its_own(&self.shared.upstream, request),
            upstream: Arc::clone(&self.shared.upstream),
            session,
            outcome,
        };
        // What the server has taken is known then, also where the client leaves before it is told.
        match tokio::spawn(of_this_request(uploading.run())).await {
            Ok(Ok(answer)) => {
                record.source(Source::Upstream);
                answer
            }
            // What is wrong with the form is told with what is wrong with a request's body.
            Ok(Err(error)) => refused(error),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The program ends.
            Err(_) => unclear_upload(ENDED),
        }
    }
}

/// An upload on its way.
struct Uploading {
    request: OwnRequest,
    upstream: Arc<Upstream>,
    session: JobsSession,
    outcome: Outcome,
}

impl Uploading {
    async fn run(self) -> Result<Answer, UpstreamError> {
        let Self {
            request,
            upstream,
            session,
            outcome,
        } = self;
        let response = request.send().await?;
        match (session.file_names(), response.status().is_success()) {
            (Some(names), true) => {
                let (head, body) = response.into_parts();
                let body = short_answer(&upstream, body).await?;
                let uploaded = outcome.lock().take();
                Ok(taken(&session, names, &head.headers, &body, uploaded).await)
            }
            _ => Ok(Answer::upstream(response)),
        }
    }
}

/// Keeps an upload that the server has taken, by its `answer`, and tells its client what it is called.
async fn taken(
    session: &JobsSession,
    names: &V2FileNames,
    told: &HeaderMap,
    answer: &[u8],
    uploaded: Option<Uploaded>,
) -> Answer {
    let asset = session.asset_in(names, answer);
    let (Some(Uploaded { mut claim, folder }), Some(asset)) = (uploaded, asset) else {
        return unclear_upload(NO_ASSET);
    };
    let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    match claim.uploaded(&asset, now).await {
        Ok(()) => {}
        Err(StoreError::Changed) => return unclear_upload(NO_NAME),
        // There it is: its client must hear of it.
        Err(error) => {
            tracing::warn!(%error, "a file was uploaded, and its name will not be known after a restart");
        }
    }
    let values = [claim.file.name.clone(), folder, claim.file.place.clone()];
    let members = names.answer.iter().cloned().zip(values.into_iter().map(Value::String));
    let body = Value::Object(Map::from_iter(members)).to_string();
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    *headers = carried(told);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    *response.body_mut() = full(body);
    *response.status_mut() = StatusCode::OK;
    Answer::upstream(response)
}

async fn short_answer(upstream: &Upstream, mut body: Body) -> Result<Bytes, UpstreamError> {
    let mut whole = upstream.budget().buffer(LONGEST_ANSWER);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| upstream.broken_off(&*error))?;
        whole
            .push(&frame.into_data().unwrap_or_default())
            .map_err(|error| match error {
                BufferError::TooLong(limit) => UpstreamError::Interrupted {
                    upstream: upstream.name().to_owned(),
                    reason: format!("its answer to an upload has more than {limit} bytes"),
                    cause: Cause::Other,
                },
                BufferError::NoRoom(limit) => UpstreamError::NoRoom { limit },
            })?;
    }
    Ok(whole.into_bytes())
}

/// Makes the headers those of the form that the server gets, whose length is not known before its end.
fn become_form(headers: &mut HeaderMap, reader: &FormReader) {
    for name in OF_BODY {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let delimiter = reader.delimiter().trim_ascii_start();
    let boundary = delimiter.strip_prefix(b"--").unwrap_or_default();
    let mut value = b"multipart/form-data; boundary=\"".to_vec();
    for byte in boundary {
        value.extend([b'\\'].iter().filter(|_| matches!(byte, b'"' | b'\\')));
        value.push(*byte);
    }
    value.push(b'"');
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        headers.insert(CONTENT_TYPE, value);
    }
}
