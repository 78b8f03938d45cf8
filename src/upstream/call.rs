//! One call with a small body, and its whole answer.

use super::{Body, Upstream, UpstreamError, full};
use crate::{mistakes::Cause, pool::AnswerBody};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

/// Pieces of an answer with fewer bytes are copied.
const SMALL: usize = 2048;

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
        let (head, body) = self.send(request, self.answer_timeout).await?.into_parts();
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
        let limit = self.max_answer_bytes;
        let too_large = || UpstreamError::TooLarge {
            upstream: self.name.clone(),
            limit,
        };
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        // What was not announced grows without being copied each time: it is put together once, when it is all there.
        let mut whole = BytesMut::with_capacity(announced);
        let (mut more, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken_off(&error))?;
            let data = frame.into_data().unwrap_or_default();
            length += data.len();
            if length > limit {
                return Err(too_large());
            }
            match length <= announced {
                true => whole.extend_from_slice(&data),
                // A small piece may be all that is used of a large buffer.
                false if data.len() < SMALL => more.push(Bytes::copy_from_slice(&data)),
                false => more.push(data),
            }
        }
        whole.reserve(length - whole.len());
        more.iter().for_each(|data| whole.extend_from_slice(data));
        Ok(whole.freeze())
    }
}
