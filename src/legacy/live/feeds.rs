//! The clients that listen. Sockets of one client share all that is asked of the server for it.

use super::{
    feed::{Feed, Streams},
    following,
    queue::{Clock, MessageQueue, QueuedMessage},
};
use crate::{
    http::buffered::BufferBudget,
    jobs_api::{CallerKey, JobsSession},
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::task::AbortHandle;

/// A client: who it is to the server, and what it calls itself.
type Client = (CallerKey, Arc<str>);

/// All that listen: no more than there are sockets.
pub struct LiveFeeds {
    feeds: Mutex<HashMap<Client, (Arc<Feed>, AbortHandle)>>,
    streams: Arc<Streams>,
}

impl LiveFeeds {
    /// Nobody listens yet. At most `side_by_side` event streams are open at once, and as many jobs are asked for at once. What
    /// is held counts within `budget`.
    pub fn new(side_by_side: usize, budget: BufferBudget) -> Self {
        Self {
            feeds: Mutex::default(),
            streams: Arc::new(Streams::new(side_by_side, budget)),
        }
    }

    /// A socket of `client`, for whom the server is asked by `session`. `clock` says when each message was said.
    pub fn listen(self: &Arc<Self>, session: JobsSession, client: &str, clock: Clock) -> LiveListener {
        let client: Client = (session.caller().caller_key(), client.into());
        let queue = Arc::new(MessageQueue::new(clock, self.streams.budget.clone()));
        let mut feeds = self.feeds.lock();
        let (feed, _) = feeds
            .entry(client.clone())
            .or_insert_with(|| following::start(Arc::clone(&client.1), session, Arc::clone(&self.streams)));
        feed.join(&queue);
        LiveListener {
            feeds: Arc::clone(self),
            client,
            queue,
        }
    }
}

/// One socket, until it is dropped.
pub struct LiveListener {
    feeds: Arc<LiveFeeds>,
    client: Client,
    queue: Arc<MessageQueue>,
}

impl LiveListener {
    /// What it is told next; `None` once it does not keep up, and nothing more will be said.
    pub async fn next(&self) -> Option<QueuedMessage> {
        self.queue.next().await
    }

    /// Resolves once it does not keep up.
    pub async fn overflow(&self) {
        self.queue.overflow().await;
    }
}

impl Drop for LiveListener {
    fn drop(&mut self) {
        let mut feeds = self.feeds.feeds.lock();
        if let Some((feed, task)) = feeds.get(&self.client)
            && feed.leave(&self.queue)
        {
            task.abort();
            feeds.remove(&self.client);
        }
    }
}
