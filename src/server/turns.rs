//! Turns: however fast a client reads, its connection writes so much at a time and then lets other connections go on. A history
//! of 50 MB would hold a thread for 20 ms otherwise, and all that wait for it. Where such answers hold all threads, they also
//! give way to small ones, so that the system has time for those who ask for them.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    task::yield_now,
    time::{Instant, Sleep, sleep},
};

/// How much is written in one turn, in bytes.
const TURN: usize = 128 << 10;
/// After so many turns a large answer gives way.
const TURNS: u32 = 2;
/// For how long it does, and how long it matters that there was a small answer.
const PAUSE: Duration = Duration::from_millis(1);
const RECENT_MS: u64 = 5;

/// What connections know of each other.
#[derive(Debug)]
pub(super) struct Turns {
    /// How many can write at the same time.
    threads: usize,
    began: Instant,
    /// How many are within an answer of more than a turn, and do not wait for their clients.
    large: AtomicUsize,
    /// When the last small answer was followed by another request, in ms since the beginning; 0 for never.
    small_ms: AtomicU64,
}

impl Turns {
    /// Those of connections that the threads of this runtime serve.
    pub(super) fn new() -> Self {
        Self {
            threads: Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers()),
            began: Instant::now(),
            large: AtomicUsize::new(0),
            small_ms: AtomicU64::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// Whether large answers hold all threads while others ask for small ones.
    fn are_scarce(&self) -> bool {
        let small_ms = self.small_ms.load(Relaxed);
        let is_recent = small_ms > 0 && self.now_ms() <= small_ms + RECENT_MS;
        is_recent && self.large.load(Relaxed) >= self.threads
    }
}

/// Whether a connection is within an answer of more than a turn.
#[derive(Debug)]
pub(super) struct LargeAnswer {
    all: Arc<Turns>,
    is_under_way: AtomicBool,
}

impl LargeAnswer {
    /// Not yet, of a connection beside `all` others.
    pub(super) fn new(all: Arc<Turns>) -> Self {
        Self {
            all,
            is_under_way: AtomicBool::new(false),
        }
    }

    /// It has written a turn of it, or more, and its client takes all that there is.
    fn goes_on(&self) {
        if !self.is_under_way.swap(true, Relaxed) {
            self.all.large.fetch_add(1, Relaxed);
        }
    }

    /// Its answer has ended, or its client is waited for.
    pub(super) fn end(&self) {
        if self.is_under_way.swap(false, Relaxed) {
            self.all.large.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for LargeAnswer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection's turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Bytes that were written in it.
    written: usize,
    /// Bytes that were written since the last request.
    answer: usize,
    /// Turns since it has given way.
    turns: u32,
    /// It gives way.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    /// Another request has come.
    pub(super) fn asked(&mut self, large: &LargeAnswer) {
        if (1..TURN).contains(&self.answer) {
            large.all.small_ms.store(large.all.now_ms(), Relaxed);
        }
        self.begin();
    }

    /// What is written from now on is of another answer.
    pub(super) fn begin(&mut self) {
        (self.answer, self.written, self.turns) = (0, 0, 0);
    }

    /// Writes, if the turn is not over. An answer to be written `is_under_way`, or what is left in buffers of the last one.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        large: &LargeAnswer,
        is_under_way: bool,
        write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.written >= TURN {
            self.written = 0;
            return self.let_others_go_on(cx, &large.all);
        }
        let written = write(cx);
        match &written {
            Poll::Ready(Ok(count)) => {
                self.written += count;
                self.answer = self.answer.saturating_add(*count);
                if is_under_way && self.answer >= TURN {
                    large.goes_on();
                }
            }
            Poll::Ready(Err(_)) => {}
            // The client is waited for, and others go on.
            Poll::Pending => {
                self.written = 0;
                large.end();
            }
        }
        written
    }

    fn let_others_go_on<T>(&mut self, cx: &mut Context<'_>, all: &Turns) -> Poll<T> {
        self.turns += 1;
        if self.turns >= TURNS {
            self.turns = 0;
            if all.are_scarce() {
                let mut pause = Box::pin(sleep(PAUSE));
                if pause.as_mut().poll(cx).is_pending() {
                    self.pause = Some(pause);
                    return Poll::Pending;
                }
            }
        }
        // It goes on when all that wait now have had their turn, and the sockets were looked at.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    struct Connection {
        turn: Turn,
        large: LargeAnswer,
    }

    impl Connection {
        fn beside(all: &Arc<Turns>) -> Self {
            Self {
                turn: Turn::default(),
                large: LargeAnswer::new(Arc::clone(all)),
            }
        }

        /// Writes so many turns' bytes of an answer to a client that takes all that there is.
        async fn write(&mut self, turns: usize) {
            for _ in 0..turns {
                let takes_all = |_: &mut Context<'_>| Poll::Ready(Ok(TURN));
                let written = poll_fn(|cx| self.turn.write(cx, &self.large, true, takes_all)).await;
                assert_eq!(written.expect("written"), TURN);
            }
        }

        /// Answers with 15 KB, and is asked again.
        async fn small_answer(&mut self) {
            let some = |_: &mut Context<'_>| Poll::Ready(Ok(15_000));
            let written = poll_fn(|cx| self.turn.write(cx, &self.large, true, some)).await;
            assert_eq!(written.expect("written"), 15_000);
            self.turn.asked(&self.large);
        }

        /// Its client takes nothing for now.
        async fn waits(&mut self) {
            let mut is_asked = false;
            poll_fn(|cx| {
                let nothing = |_: &mut Context<'_>| {
                    is_asked = true;
                    Poll::Pending
                };
                assert!(self.turn.write(cx, &self.large, true, nothing).is_pending());
                match is_asked {
                    true => Poll::Ready(()),
                    // The turn before was over.
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }

    fn beside_threads(threads: usize) -> Arc<Turns> {
        Arc::new(Turns {
            threads,
            ..Turns::new()
        })
    }

    #[tokio::test]
    async fn others_have_a_turn_while_a_client_takes_all_that_there_is() {
        const MANY: usize = 40;
        let others = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&others);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Relaxed);
                yield_now().await;
            }
        });
        let mut connection = Connection::beside(&beside_threads(1));
        let writing = tokio::spawn(async move { connection.write(MANY).await });
        writing.await.expect("a task");
        let turns = others.load(Relaxed);
        assert!(
            turns >= MANY - 1,
            "{turns} turns while {MANY} times a turn's bytes were written"
        );
        other.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_that_hold_all_threads_give_way_while_there_are_small_ones_and_no_longer() {
        let all = beside_threads(1);
        let [mut large, mut small] = [(); 2].map(|()| Connection::beside(&all));
        let begun = Instant::now();
        large.write(20).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody else asks");
        small.small_answer().await;
        large.write(2_000).await;
        let elapsed = begun.elapsed();
        let longest = PAUSE * 2 + Duration::from_millis(RECENT_MS);
        assert!((PAUSE..=longest).contains(&elapsed), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn small_answers_themselves_never_give_way_however_many_there_are() {
        let all = beside_threads(1);
        let [mut large, mut small] = [(); 2].map(|()| Connection::beside(&all));
        large.write(1).await;
        let begun = Instant::now();
        for _ in 0..1_000 {
            small.small_answer().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_whose_client_is_waited_for_holds_no_thread() {
        let all = beside_threads(2);
        let [mut slow, mut large, mut small] = [(); 3].map(|()| Connection::beside(&all));
        let begun = Instant::now();
        slow.write(10).await;
        slow.waits().await;
        small.small_answer().await;
        large.write(100).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        slow.write(1).await;
        large.write(10).await;
        assert!(begun.elapsed() >= PAUSE, "it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_thread_is_left_for_small_answers_nothing_gives_way() {
        let all = beside_threads(2);
        let [mut large, mut other, mut small] = [(); 3].map(|()| Connection::beside(&all));
        let begun = Instant::now();
        other.write(10).await;
        other.large.end();
        small.small_answer().await;
        large.write(100).await;
        large.large.end();
        other.write(10).await;
        drop(other);
        small.small_answer().await;
        large.write(100).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
