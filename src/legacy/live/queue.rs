//! What a client is still to be told: bounded, whatever the client does.

use super::messages::{LiveMessage, Weight};
use crate::http::buffered::{BufferBudget, Share};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::{sync::Notify, time::Instant};

/// The most messages that wait for a client.
const MAX_MESSAGES: usize = 1_000;
/// What they may take, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// Says when something is said: a number that goes up.
pub type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// A message that waits.
pub struct QueuedMessage {
    /// The message.
    pub message: LiveMessage,
    /// When it was said, by the socket's own clock.
    pub said_at: u64,
    /// Since when it waits.
    pub since: Instant,
    /// It counts within `server.max_buffered` until it was sent.
    _share: Share,
}

impl QueuedMessage {
    fn bytes(message: &LiveMessage) -> usize {
        message.bytes.len() + size_of::<Self>()
    }
}

/// The messages that wait.
pub(super) struct MessageQueue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    clock: Clock,
    budget: BufferBudget,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<QueuedMessage>,
    bytes: usize,
    /// The client did not keep up.
    is_closed: bool,
}

impl Waiting {
    /// Adds a message. What the client can do without goes until what is left may wait.
    fn add(&mut self, message: LiveMessage, said_at: u64, budget: &BufferBudget) {
        let bytes = QueuedMessage::bytes(&message);
        // One client takes no more than a part of what there is for all.
        let most = MAX_BYTES.min(budget.most_of_requests() / 2);
        let mut share = budget.share();
        let mut fits = |waiting: &Self| {
            waiting.messages.len() < MAX_MESSAGES && waiting.bytes + bytes <= most && share.grow(bytes).is_ok()
        };
        let mut has_room = fits(self);
        for weight in [Weight::Preview, Weight::Progress] {
            // It makes no room for what matters less.
            if !has_room && weight <= message.weight {
                self.messages.retain(|queued| queued.message.weight != weight);
                let queued = self.messages.iter();
                self.bytes = queued.map(|queued| QueuedMessage::bytes(&queued.message)).sum();
                has_room = fits(self);
            }
        }
        if has_room {
            self.bytes += bytes;
            self.messages.push_back(QueuedMessage {
                message,
                said_at,
                since: Instant::now(),
                _share: share,
            });
        } else if message.weight == Weight::Needed {
            *self = Self {
                is_closed: true,
                ..Self::default()
            };
        }
    }
}

impl MessageQueue {
    /// An empty one; what waits counts within `budget`.
    pub(super) fn new(clock: Clock, budget: BufferBudget) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Notify::new(),
            clock,
            budget,
        }
    }

    /// One more. Where there are too many, previews go, then progress, and after that all: the client cannot be helped.
    pub(super) fn push(&self, message: LiveMessage) {
        let said_at = (self.clock)();
        let mut waiting = self.waiting.lock();
        if !waiting.is_closed {
            waiting.add(message, said_at, &self.budget);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next one; `None` once the client did not keep up.
    pub(super) async fn next(&self) -> Option<QueuedMessage> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if waiting.is_closed {
                    return None;
                }
                if let Some(queued) = waiting.messages.pop_front() {
                    waiting.bytes -= QueuedMessage::bytes(&queued.message);
                    return Some(queued);
                }
            }
            self.changed.notified().await;
        }
    }

    /// Resolves once the client did not keep up.
    pub(super) async fn overflow(&self) {
        while !self.waiting.lock().is_closed {
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(weight: Weight, nth: usize) -> LiveMessage {
        LiveMessage {
            bytes: nth.to_string().into(),
            is_binary: false,
            weight,
        }
    }

    fn queue(budget: usize) -> MessageQueue {
        MessageQueue::new(Box::new(|| 0), BufferBudget::new(budget))
    }

    #[tokio::test]
    async fn previews_go_first_then_progress_and_what_clients_wait_for_stays_in_order() {
        let queue = queue(64 << 20);
        let weights = [Weight::Preview, Weight::Progress, Weight::Needed];
        for nth in 0..=MAX_MESSAGES {
            queue.push(message(weights[nth % 3], nth));
        }
        assert!(
            queue
                .waiting
                .lock()
                .messages
                .iter()
                .all(|queued| queued.message.weight != Weight::Preview)
        );
        for nth in 0..MAX_MESSAGES {
            queue.push(message(Weight::Progress, nth));
        }
        let mut last = None;
        for nth in (2..=MAX_MESSAGES).step_by(3) {
            while last != Some(nth.to_string().into()) {
                last = Some(queue.next().await.expect("it keeps up").message.bytes);
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_keep_up_even_so_is_told_nothing_more() {
        let queue = queue(64 << 20);
        for nth in 0..=MAX_MESSAGES {
            queue.push(message(Weight::Needed, nth));
        }
        queue.overflow().await;
        assert!(queue.next().await.is_none());
        assert_eq!(queue.waiting.lock().bytes, 0);
        assert_eq!(queue.budget.held(), 0);
    }

    #[tokio::test]
    async fn what_waits_for_all_clients_is_within_the_budget() {
        let budget = BufferBudget::new(64 << 10);
        let queues = [0; 8].map(|_| MessageQueue::new(Box::new(|| 0), budget.clone()));
        for nth in 0..100 {
            for queue in &queues {
                queue.push(message(Weight::Preview, nth));
                queue.push(message(Weight::Needed, nth));
            }
        }
        assert!(
            budget.held() <= 64 << 10 && budget.held() > 32 << 10,
            "{}",
            budget.held()
        );
        let open = queues.iter().filter(|queue| !queue.waiting.lock().is_closed).count();
        assert!((1..8).contains(&open), "{open} keep up");
        drop(queues);
        assert_eq!(budget.held(), 0);
    }
}
