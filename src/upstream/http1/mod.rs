//! HTTP/1.1 as a client speaks it (RFC 9112), without a connection: the bytes of a request, the head of an answer, and what
//! of the bytes after it is its body. httparse takes heads apart, as it does for hyper; what they mean is decided here, and
//! where two readers could disagree about an answer's end it is refused.

mod body;
mod head;
mod request;

pub use body::{Piece, Reader};
pub use head::{Head, MOST_BYTES, read_head};
pub use request::{Upload, write_head};

/// What came is no answer that every reader understands alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHttp {
    /// The status line or a header.
    #[error("invalid HTTP head: {0}")]
    Head(#[from] httparse::Error),
    /// It does not end.
    #[error("the head of its answer is longer than {} bytes", MOST_BYTES)]
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
