//! What the keeper of the copies does for those who call.

use super::{Keeper, Open};
use crate::store::{
    StoreError,
    backend::{Follower, News, Rows},
    change::Step,
    valkey::{
        call::{Call, Reply},
        status::LEASE,
    },
};
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// How long it waits before it asks again whether all have heard, at first and at most.
const LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

impl Keeper {
    pub(super) async fn answer(self: Rc<Self>, call: Call) {
        match call {
            Call::Rows(table, reply) => {
                let rows = async {
                    let Open { connection, .. } = self.open()?;
                    connection
                        .rows(table, Rows::Lasting)
                        .await
                        .map_err(|error| self.failed(error.into()))
                };
                respond(reply, rows.await);
            }
            Call::Row(table, key, reply) => {
                let row = async {
                    let Open { connection, .. } = self.open()?;
                    let keys = [key];
                    let rows = connection.some_rows(table, Rows::Lasting, &keys);
                    // It has no time limit of its own, and who asks must not wait for ever.
                    match timeout(self.timeout, rows).await {
                        Ok(Ok(rows)) => Ok(rows.into_iter().next().flatten()),
                        Ok(Err(error)) => Err(self.failed(error.into())),
                        Err(_) => Err(self.unanswered()),
                    }
                };
                respond(reply, row.await);
            }
            Call::Commit(steps, reply) => respond(reply, self.commit(&steps).await),
            Call::Follow(table, follower, reply) => respond(reply, self.follow(table, follower).await),
            Call::Confirm(asked) => {
                // What it says is in the status.
                let _ = timeout(self.timeout, self.confirm()).await;
                let _ = asked.send(());
            }
        }
    }

    async fn follow(&self, table: &'static str, follower: Arc<dyn Follower>) -> Result<(), StoreError> {
        let mut followers = self.followers.lock().await;
        let rows = match self.open() {
            Ok(Open { connection, .. }) => connection.rows(table, follower.rows()).await.ok(),
            Err(_) => None,
        };
        match rows {
            Some(rows) => {
                let told = follower.hear(News::All(&rows));
                told.map_err(|what| StoreError::damaged(self.status.place(), what))?;
            }
            // Where there is no store now, the rows come with it, and those of all others once more.
            None => drop(self.heard.send_replace(None)),
        }
        followers.add(table, follower);
        Ok(())
    }

    /// Makes a change, and waits until everybody has heard of it.
    async fn commit(&self, steps: &[Step]) -> Result<(), StoreError> {
        let Open { connection, id } = self.open()?;
        let mark = format!("{}-{}", self.who, self.commits.replace(self.commits.get() + 1));
        let committed = connection
            .commit(&id, &self.who, &mark, steps)
            .await
            .map_err(|error| self.failed(error))?;
        let patience = self.timeout + LEASE;
        let all_hear = async {
            self.hears(committed.number).await;
            let mut look = LOOK;
            let mut behind = u64::try_from(committed.others).unwrap_or_default();
            while behind > 0 {
                sleep(look).await;
                look = (look * 2).min(LONGEST_LOOK);
                behind = connection
                    .behind(&self.who, committed.number)
                    .await
                    .map_err(|error| self.failed(error.into()))?;
            }
            Ok(())
        };
        timeout(patience, all_hear)
            .await
            .unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// Waits until all followers have heard of a change.
    async fn hears(&self, number: u64) {
        let mut heard = self.heard.subscribe();
        // It fails only when there is no keeper any more.
        let _ = heard
            .wait_for(|heard| heard.as_ref().is_some_and(|heard| heard.number >= number))
            .await;
    }

    /// Asks how far the store is, and waits until that was heard.
    async fn confirm(&self) -> Result<(), StoreError> {
        let Open { connection, .. } = self.open()?;
        while let Some(last) = self
            .say_how_far(&connection)
            .await
            .map_err(|error| self.failed(error))?
        {
            self.hears(last).await;
        }
        Ok(())
    }
}

/// Answers a call, if somebody still waits for it.
fn respond<T>(reply: Reply<T>, outcome: Result<T, StoreError>) {
    let _ = reply.send(outcome);
}
