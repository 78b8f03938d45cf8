//! What clients hear on `/ws` where the server has no WebSocket: made from the event stream of each of their jobs.
//!
//! `feeds` has the clients that listen, `feed` is one of them with all of its sockets; `following` sees to its jobs, `watcher` follows
//! one of them, `story` makes of it what ComfyUI would say, in `messages`; `queue` is what one socket is still to be told.

mod feed;
mod feeds;
mod following;
mod messages;
mod queue;
mod story;
mod watcher;

pub use feeds::{LiveFeeds, LiveListener};
pub use messages::LiveMessage;
pub use queue::{Clock, QueuedMessage};
