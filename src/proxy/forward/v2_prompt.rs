//! A prompt for a server that speaks Comfy API v2: it becomes a job there, and its client is answered as ComfyUI answers.

use super::PromptError;
use crate::{
    http::body::{Body, full},
    jobs_api::{JobsError, JobsSession, NewJob},
    telemetry::of_this_request,
    upstream::UpstreamError,
};
use http::{HeaderValue, Response, header::CONTENT_LENGTH};

/// Submits a job to its end, also where its client leaves in the middle: a job that was made is known then.
/// With references to files it is at most `limit` bytes long.
pub(super) async fn submit_v2(
    session: &JobsSession,
    mut new: NewJob,
    limit: usize,
) -> Result<Response<Body>, PromptError> {
    new.prompt = session.with_assets(std::mem::take(&mut new.prompt), limit)?;
    let session = session.clone();
    let submitting = tokio::spawn(of_this_request(async move { session.submit(new).await }));
    let outcome = match submitting.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The program ends.
        Err(_) => return Err(PromptError::Ended),
    };
    let answer = outcome.map_err(|error| match error {
        // Nothing was sent.
        JobsError::Upstream(error @ (UpstreamError::Connect { .. } | UpstreamError::BadTarget(_))) => error.into(),
        JobsError::Upstream(error) => PromptError::Unknown(error),
        error => PromptError::Jobs(error),
    })?;
    let length = HeaderValue::from(answer.body.len());
    let mut response = Response::new(full(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(CONTENT_LENGTH, length);
    Ok(response)
}
