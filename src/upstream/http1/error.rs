//! Why what came is no answer.

use super::headers::MAX_HEAD_BYTES;

/// What came is no answer that every reader understands alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHttp {
    /// The status line or a header.
    #[error("invalid HTTP head: {0}")]
    Head(#[from] httparse::Error),
    /// It does not end.
    #[error("the head of its answer is longer than {} bytes", MAX_HEAD_BYTES)]
    HeadTooLong,
    /// RFC 9112 section 6.1.
    #[error("its Transfer-Encoding is not chunked alone, or there is a Content-Length too")]
    Coding,
    /// RFC 9112 section 6.3.
    #[error("it has more than one Content-Length")]
    Length,
    /// RFC 9112 section 7.1.
    #[error("a chunk of its answer has no size, or ends elsewhere")]
    Chunk,
    /// RFC 9112 section 7.1.2.
    #[error("the trailers of its answer are no headers, or too many")]
    Trailers,
}
