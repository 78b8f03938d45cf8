//! One upstream call for all who ask the same thing at the same time.
//!
//! Whoever asks while the same call has not been sent yet is answered by it. Whoever asks later, while it is under way,
//! waits for the next one, together with all others who do: what was read before somebody asked may be untrue by then,
//! such as that a job has not finished. So of any number of requests at most two calls are made one after the other.
//! A call lives as long as somebody waits for it, whoever began it, and goes on while all of them are busy elsewhere.

use crate::telemetry::of_this_request;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::task::{JoinError, JoinHandle};

/// Calls under way, by what they ask.
pub struct Coalescer<K, V> {
    open: Arc<Mutex<HashMap<K, InFlight<V>>>>,
    next: AtomicU64,
}

type Call<V> = Shared<BoxFuture<'static, V>>;

struct InFlight<V> {
    number: u64,
    sent: Arc<AtomicBool>,
    call: WeakShared<BoxFuture<'static, V>>,
}

/// Where a request stands with regard to one call.
struct Ticket<V> {
    number: u64,
    call: Call<V>,
    /// The call had been sent before the request came.
    late: bool,
    /// Somebody else began it.
    shared: bool,
}

/// A task that ends when nobody waits for it any more.
struct Aborting<V>(JoinHandle<V>);

impl<V> Aborting<V> {
    async fn join(mut self) -> Result<V, JoinError> {
        (&mut self.0).await
    }
}

impl<V> Drop for Aborting<V> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes a call off the list when it ends, or when nobody waits for it any more.
struct InFlightGuard<K: Eq + Hash, V> {
    open: Arc<Mutex<HashMap<K, InFlight<V>>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Drop for InFlightGuard<K, V> {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if open
            .get(&self.key)
            .is_some_and(|in_flight| in_flight.number == self.number)
        {
            open.remove(&self.key);
        }
    }
}

/// None under way.
impl<K, V> Default for Coalescer<K, V> {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            next: AtomicU64::new(0),
        }
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, V: Clone + Send + Sync + 'static> Coalescer<K, V> {
    /// The outcome of `call`, or of another's call for the same `key`, and whether it was another's. `lasts` tells
    /// outcomes that stay true, and so are good for whoever came late too.
    pub async fn share<F>(&self, key: K, lasts: impl Fn(&V) -> bool, call: impl Fn() -> F) -> (V, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let first = self.ticket(&key, None, &call);
        let outcome = first.call.await;
        if !first.late || lasts(&outcome) {
            return (outcome, first.shared);
        }
        let second = self.ticket(&key, Some(first.number), &call);
        (second.call.await, second.shared)
    }

    /// A ticket for the call under way, unless it is the one that was waited for already; else for a new one.
    fn ticket<F>(&self, key: &K, waited_for: Option<u64>, call: &impl Fn() -> F) -> Ticket<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut open = self.open.lock();
        let place = open.entry(key.clone());
        if let Entry::Occupied(entry) = &place
            && let in_flight = entry.get()
            && Some(in_flight.number) != waited_for
            && let Some(call) = in_flight.call.upgrade()
        {
            // A call that began after another one had ended began after this request came.
            let late = waited_for.is_none() && in_flight.sent.load(Ordering::Acquire);
            return Ticket {
                number: in_flight.number,
                call,
                late,
                shared: true,
            };
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sent = Arc::new(AtomicBool::new(false));
        let guard = InFlightGuard {
            open: Arc::clone(&self.open),
            key: key.clone(),
            number,
        };
        let (work, sending) = (call(), Arc::clone(&sent));
        // Requests that arrived in the same moment get their chance to come along: they run before a task that begins
        // now.
        let task = Aborting(tokio::spawn(of_this_request(async move {
            let _guard = guard;
            sending.store(true, Ordering::Release);
            work.await
        })));
        let call = async move {
            match task.join().await {
                Ok(outcome) => outcome,
                // Nobody else holds the task, so it was not aborted: it panicked, and so do all who wait for it.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        };
        let call = call.boxed().shared();
        if let Some(weak) = call.downgrade() {
            let in_flight = InFlight {
                number,
                sent,
                call: weak,
            };
            place.insert_entry(in_flight);
        }
        Ticket {
            number,
            call,
            late: false,
            shared: false,
        }
    }

    /// How many are under way.
    #[cfg(test)]
    fn under_way(&self) -> usize {
        self.open.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// A call that counts its beginnings and ends when told.
    #[derive(Default)]
    struct Upstream {
        begun: AtomicUsize,
        arrived: Notify,
        gate: Notify,
    }

    fn call(upstream: &Arc<Upstream>) -> impl Fn() -> BoxFuture<'static, usize> + Clone + use<> {
        let upstream = Arc::clone(upstream);
        move || {
            let upstream = Arc::clone(&upstream);
            async move {
                let number = upstream.begun.fetch_add(1, Ordering::SeqCst);
                upstream.arrived.notify_one();
                upstream.gate.notified().await;
                number
            }
            .boxed()
        }
    }

    fn ask(
        coalescer: &Arc<Coalescer<&'static str, usize>>,
        upstream: &Arc<Upstream>,
        lasts: bool,
    ) -> tokio::task::JoinHandle<(usize, bool)> {
        let (coalescer, call) = (Arc::clone(coalescer), call(upstream));
        tokio::spawn(async move { coalescer.share("x", move |_| lasts, call).await })
    }

    #[tokio::test]
    async fn who_asks_at_once_shares_a_call_and_who_comes_later_the_next_one() {
        let (coalescer, upstream) = (Arc::new(Coalescer::default()), Arc::new(Upstream::default()));
        let early: Vec<_> = (0..20).map(|_| ask(&coalescer, &upstream, false)).collect();
        upstream.arrived.notified().await;
        let late: Vec<_> = (0..20).map(|_| ask(&coalescer, &upstream, false)).collect();
        tokio::task::yield_now().await;
        assert_eq!(upstream.begun.load(Ordering::SeqCst), 1);
        upstream.gate.notify_one();
        for one in early {
            assert_eq!(one.await.expect("an outcome").0, 0);
        }
        upstream.arrived.notified().await;
        upstream.gate.notify_one();
        for one in late {
            assert_eq!(one.await.expect("an outcome").0, 1, "what was read before it asked");
        }
        assert_eq!(upstream.begun.load(Ordering::SeqCst), 2);
        assert_eq!(coalescer.under_way(), 0);
    }

    #[tokio::test]
    async fn an_outcome_that_lasts_is_good_for_who_comes_late() {
        let (coalescer, upstream) = (Arc::new(Coalescer::default()), Arc::new(Upstream::default()));
        let early = ask(&coalescer, &upstream, true);
        upstream.arrived.notified().await;
        let late = ask(&coalescer, &upstream, true);
        tokio::task::yield_now().await;
        upstream.gate.notify_one();
        assert_eq!(early.await.expect("an outcome"), (0, false));
        assert_eq!(late.await.expect("an outcome"), (0, true));
    }

    #[tokio::test]
    async fn who_began_a_call_may_go_and_it_ends_when_all_have_gone() {
        let (coalescer, upstream) = (Arc::new(Coalescer::default()), Arc::new(Upstream::default()));
        let first = ask(&coalescer, &upstream, true);
        upstream.arrived.notified().await;
        let second = ask(&coalescer, &upstream, true);
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.is_err());
        upstream.gate.notify_one();
        assert_eq!(second.await.expect("an outcome"), (0, true), "another's call goes on");
        let third = ask(&coalescer, &upstream, true);
        upstream.arrived.notified().await;
        assert_eq!(coalescer.under_way(), 1);
        third.abort();
        assert!(third.await.is_err());
        assert_eq!(coalescer.under_way(), 0, "nobody waits: the call is dropped");
    }
}
