//! What a client is still to be told: bounded, whatever the client does.

use super::messages::{LiveMessage, Weight};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// The most messages that wait for a client.
const MAX_MESSAGES: usize = 1_000;
/// What they may take, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// The messages that wait.
#[derive(Default)]
pub(super) struct MessageQueue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<LiveMessage>,
    bytes: usize,
    /// The client did not keep up.
    is_closed: bool,
}

impl Waiting {
    fn is_too_much(&self) -> bool {
        self.messages.len() > MAX_MESSAGES || self.bytes > MAX_BYTES
    }

    /// Drops what the client can do without, until what is left may wait.
    fn shrink(&mut self) {
        for weight in [Weight::Preview, Weight::Progress] {
            if self.is_too_much() {
                self.messages.retain(|message| message.weight != weight);
                self.bytes = self.messages.iter().map(|message| message.bytes.len()).sum();
            }
        }
        if self.is_too_much() {
            *self = Self {
                is_closed: true,
                ..Self::default()
            };
        }
    }
}

impl MessageQueue {
    /// One more. Where there are too many, previews go, then progress, and after that all: the client cannot be helped.
    pub(super) fn push(&self, message: LiveMessage) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_closed {
            waiting.bytes += message.bytes.len();
            waiting.messages.push_back(message);
            waiting.shrink();
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next one; `None` once the client did not keep up.
    pub(super) async fn next(&self) -> Option<LiveMessage> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if waiting.is_closed {
                    return None;
                }
                if let Some(message) = waiting.messages.pop_front() {
                    waiting.bytes -= message.bytes.len();
                    return Some(message);
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

    #[tokio::test]
    async fn previews_go_first_then_progress_and_what_clients_wait_for_stays_in_order() {
        let queue = MessageQueue::default();
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
                .all(|message| message.weight != Weight::Preview)
        );
        for nth in 0..MAX_MESSAGES {
            queue.push(message(Weight::Progress, nth));
        }
        let mut last = None;
        for nth in (2..=MAX_MESSAGES).step_by(3) {
            while last != Some(nth.to_string().into()) {
                last = Some(queue.next().await.expect("it keeps up").bytes);
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_keep_up_even_so_is_told_nothing_more() {
        let queue = MessageQueue::default();
        for nth in 0..=MAX_MESSAGES {
            queue.push(message(Weight::Needed, nth));
        }
        queue.overflow().await;
        assert!(queue.next().await.is_none());
        assert_eq!(queue.waiting.lock().bytes, 0);
    }
}
