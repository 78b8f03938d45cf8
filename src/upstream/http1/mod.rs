//! HTTP/1.1 as a client speaks it (RFC 9112), without a connection: the bytes of a request, the head of an answer, and what
//! of the bytes after it is its body. httparse takes heads apart, as it does for hyper; what they mean is decided here, and
//! where two readers could disagree about an answer's end it is refused.

mod body;
mod error;
mod head;
mod headers;
mod request;

pub use body::{Piece, Reader};
pub use error::NotHttp;
pub use head::{Head, read_head};
pub use headers::MAX_HEAD_BYTES;
pub use request::{Upload, write_head};
