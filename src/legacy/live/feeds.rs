//! The clients that listen. Sockets of one client share all that is asked of the server for it.

use super::{
    feed::{Feed, Streams},
    messages::LiveMessage,
    queue::MessageQueue,
};
use crate::{auth::scope::Scope, jobs_api::JobsSession};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// A client: whose it is, and what it calls itself.
type Client = (Scope, Arc<str>);

/// All that listen: no more than there are sockets.
pub struct LiveFeeds {
    feeds: Mutex<HashMap<Client, Arc<Feed>>>,
    streams: Arc<Streams>,
}

impl LiveFeeds {
    /// Nobody listens yet. At most `side_by_side` event streams are open at once, and as many jobs are asked for at once.
    pub fn new(side_by_side: usize) -> Self {
        Self {
            feeds: Mutex::default(),
            streams: Arc::new(Streams::new(side_by_side)),
        }
    }

    /// A socket of `client`, for whom the server is asked by `session`.
    pub fn listen(self: &Arc<Self>, session: JobsSession, client: &str) -> LiveListener {
        let client: Client = (session.caller().scope, client.into());
        let queue = Arc::<MessageQueue>::default();
        let mut feeds = self.feeds.lock();
        let feed = feeds.entry(client.clone()).or_insert_with(|| {
            let (scope, name) = client.clone();
            Feed::start(scope, name, session, Arc::clone(&self.streams))
        });
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
    pub async fn next(&self) -> Option<LiveMessage> {
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
        if let Some(feed) = feeds.get(&self.client)
            && feed.leave(&self.queue)
        {
            feed.stop();
            feeds.remove(&self.client);
        }
    }
}
