//! One call with a small body, and its whole answer.

use super::{Upstream, UpstreamError};
use crate::http::body::{Body, full};
use crate::{
    http::{buffered::BufferError, idle_timeout::ResponseTimeout},
    upstream::{cause::Cause, pool::AnswerBody},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

/// A whole answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As the upstream gave it.
    pub status: StatusCode,
    /// As the upstream gave them.
    pub headers: HeaderMap,
    /// At most `upstream.max_answer_bytes` long.
    pub body: Bytes,
}

impl Upstream {
    /// Makes a call with a small body and reads the whole answer, within the time and size that the configuration
    /// allows.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, UpstreamError> {
        let mut request = Request::new(full(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(target)?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        timeout(self.answer_timeout, self.read_answer(request))
            .await
            .unwrap_or_else(|_| Err(self.timed_out(self.answer_timeout)))
    }

    async fn read_answer(&self, request: Request<Body>) -> Result<Answer, UpstreamError> {
        let timeout = ResponseTimeout {
            limit: self.answer_timeout,
            progress: None,
        };
        let (head, body) = self.send(request, timeout).await?.into_parts();
        if let Some(encoding) = head.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(self.interrupted(
                format!("it is encoded as {encoding:?}, though no encoding was asked for"),
                Cause::Other,
            ));
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: self.collect(body).await?,
        })
    }

    async fn collect(&self, mut body: AnswerBody) -> Result<Bytes, UpstreamError> {
        let refused = |error| match error {
            BufferError::TooLong(_) => self.too_large(),
            BufferError::NoRoom(limit) => UpstreamError::NoRoom { limit },
        };
        let mut whole = self.budget.buffer(self.max_answer_bytes);
        // The server's word is good: what it does not send is an error.
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        whole.expect(announced).map_err(refused)?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken_off(&error))?;
            whole.push(&frame.into_data().unwrap_or_default()).map_err(refused)?;
        }
        Ok(whole.into_bytes())
    }
}
