//! Following the jobs of one client, for as long as it has a socket.

use super::{
    feed::{Feed, Streams},
    watcher,
};
use crate::{
    jobs_api::{HeardJob, JobsSession, ListFilter},
    telemetry::of_this_request,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// How many jobs of one client are followed at once, the oldest first.
const MAX_FOLLOWED: usize = 64;

/// How many more are remembered.
const MAX_WAITING: usize = 10_000;

/// What a task of a feed has done.
enum Done {
    /// All was told of a job.
    Followed(HeardJob),
    /// It is known which jobs have not ended.
    Refreshed,
    /// It is not.
    NotRefreshed,
}

/// Follows the jobs of a client, until the task is aborted.
pub(super) fn start(client: Arc<str>, session: JobsSession, streams: Arc<Streams>) -> (Arc<Feed>, AbortHandle) {
    let feed = Arc::new(Feed::new(client, session, streams));
    // What it knows before its task runs is what was there before its socket.
    let known = feed.session.known_jobs();
    let changes = known.changes(feed.scope);
    let before = known.open_of(feed.scope, &feed.client).into_iter().collect();
    let task = tokio::spawn(of_this_request(run(Arc::clone(&feed), changes, before)));
    (feed, task.abort_handle())
}

async fn run(feed: Arc<Feed>, mut changes: watch::Receiver<()>, mut before: HashSet<HeardJob>) {
    let mut watchers = JoinSet::new();
    // The jobs that were seen, and whether all was told of them; it may not be known of these that they have ended.
    let mut seen: HashMap<HeardJob, bool> = HashMap::new();
    let mut waiting = VecDeque::new();
    let mut followed = 0;
    let known = feed.session.known_jobs();
    if known.count_open(feed.scope, [].iter()) > 0 && feed.streams.refreshes(feed.scope) {
        // Which of the scope's jobs have ended is not known before somebody asks.
        let refreshing = Arc::clone(&feed);
        watchers.spawn(of_this_request(async move {
            match Box::pin(refreshing.session.list(ListFilter::Queued, |_| false)).await {
                Ok(_) => Done::Refreshed,
                Err(error) => {
                    tracing::debug!(%error, "it is not known how many jobs are queued");
                    Done::NotRefreshed
                }
            }
        }));
    }
    loop {
        changes.borrow_and_update();
        let open = known.open_of(feed.scope, &feed.client);
        if seen.values().any(|is_over| *is_over) {
            let open: HashSet<&HeardJob> = open.iter().collect();
            seen.retain(|job, is_over| !*is_over || open.contains(job));
        }
        feed.say_status(None);
        for job in open {
            if waiting.len() < MAX_WAITING && !seen.contains_key(&job) {
                seen.insert(job.clone(), false);
                waiting.push_back(job);
            }
        }
        // Also one that has ended by now: nobody was told.
        while followed < MAX_FOLLOWED
            && let Some(job) = waiting.pop_front()
        {
            followed += 1;
            feed.follow(job.clone());
            let is_late = before.contains(&job);
            let feed = Arc::clone(&feed);
            watchers.spawn(of_this_request(async move {
                watcher::follow(feed, job.clone(), is_late).await;
                Done::Followed(job)
            }));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            Some(done) = watchers.join_next() => match done {
                Ok(Done::Followed(job)) => {
                    followed -= 1;
                    seen.insert(job, true);
                }
                // What has not ended by now ends while somebody listens.
                Ok(Done::Refreshed) => for job in known.open_of(feed.scope, &feed.client) {
                    before.remove(&job);
                },
                Ok(Done::NotRefreshed) | Err(_) => {}
            },
        }
    }
}
