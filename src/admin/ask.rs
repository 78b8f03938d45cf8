//! Asking the admin listener of a jobshim that runs.

use crate::{
    config::{DialectChoice, UpstreamConfig},
    http::buffered::BufferBudget,
    upstream::{Answer, Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, uri::PathAndQuery};
use std::time::Duration;

/// The most bytes of an answer. The largest is `/usage`, whose table is bounded far below it.
const MAX_ANSWER: usize = 64 << 20;

/// The answer to a GET, or why there is none within `timeout`.
pub async fn ask(uri: Uri, timeout: Duration) -> Result<(StatusCode, Bytes), String> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let admin = UpstreamConfig {
        url: server_of(uri)?.into(),
        dialect: DialectChoice::Auto,
        connect_timeout: timeout,
        first_byte_timeout: timeout,
        gap_timeout: timeout,
        answer_timeout: timeout,
        max_answer_bytes: MAX_ANSWER,
        concurrency: 1,
        ca_file: None,
        headers: Vec::new(),
    };
    let admin = Upstream::new(&admin, &BufferBudget::new(MAX_ANSWER)).map_err(|error| error.to_string())?;
    let answer = admin.call(Method::GET, &target, HeaderMap::new(), Bytes::new()).await;
    match answer {
        Ok(Answer { status, body, .. }) => Ok((status, body)),
        // Who asks says himself whom.
        Err(UpstreamError::Connect { reason, .. } | UpstreamError::Interrupted { reason, .. }) => Err(reason),
        Err(UpstreamError::TimedOut { .. }) => Err(format!("no answer within {} s", timeout.as_secs())),
        Err(error) => Err(error.to_string()),
    }
}

/// Scheme and authority alone.
fn server_of(uri: Uri) -> Result<Uri, String> {
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(|error| error.to_string())
}
