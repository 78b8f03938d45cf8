//! Bodies that are read whole before anything is done with them, and one limit for all of them together: what clients send
//! and what the server answers.

mod budget;
mod buffer;
mod request_body;

pub use budget::{BufferBudget, BufferError, Share};
pub use buffer::Buffer;
pub use request_body::{ReadError, discard, discard_unread};
