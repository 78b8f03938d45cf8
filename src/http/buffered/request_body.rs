//! The body of a request: read whole, or discarded where it is refused.

use super::budget::{BufferBudget, BufferError};
use crate::http::body::{Body, BoxError};
use bytes::Bytes;
use http::{HeaderMap, header::EXPECT};
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// The most that is read of a body that is refused, in bytes.
const DISCARDED: usize = 64 << 20;

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There was no room for it.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// It broke off.
    #[error("{0}")]
    Body(BoxError),
}

impl BufferBudget {
    /// Reads the body of a request with `headers` to its end; also one that is refused, as far as it is discarded.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, ReadError> {
        let mut buffer = self.request_buffer(limit);
        if let Err(error) = buffer.announce(body.size_hint().lower()) {
            discard_unread(headers, body).await;
            return Err(error.into());
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(ReadError::Body)?.into_data() else {
                continue;
            };
            if let Err(error) = buffer.push(&data) {
                drop(buffer);
                discard(body).await;
                return Err(error.into());
            }
        }
        Ok(buffer.into_bytes())
    }
}

/// Reads what a client sends of a body that is refused, and keeps none: a client that is hung up on while it sends may
/// never read the answer.
pub async fn discard(mut body: Body) {
    let mut read = 0;
    while read < DISCARDED
        && let Some(Ok(frame)) = body.frame().await
    {
        read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// The same of a body of which nothing was read. A client that waits for the word to go on is not given it (RFC 9110 section
/// 10.1.1).
pub async fn discard_unread(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body).await;
    }
}
