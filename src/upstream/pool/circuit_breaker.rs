//! Whether the server takes connections. While it does not, one call at a time tries; the others wait for a moment for what
//! comes of that, and fail with it, rather than queue up for the same failure. So nobody has to wait for a recovery to be
//! noticed: the first call after it is the one that tries, and who comes with it goes along.

use parking_lot::Mutex;
use std::{
    io,
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout_at};

/// How long one try may keep the others from trying: it may hang while the upstream is back already.
const MOMENT: Duration = Duration::from_secs(1);
/// How long the others wait for what comes of it: a server that is there says yes or no in no time.
const WAIT: Duration = Duration::from_millis(250);

/// What the last tries came to.
#[derive(Default)]
pub(super) struct CircuitBreaker {
    known: Mutex<LastAttempts>,
    /// Told when a try is over.
    over: Notify,
}

#[derive(Default)]
struct LastAttempts {
    /// Why there is no connection, if the last try had none.
    failure: Option<io::ErrorKind>,
    /// How many tries had none.
    failures: u64,
    /// Since when somebody tries again.
    trying: Option<Instant>,
}

/// A try under way. Dropped before its end, it leaves the next try to somebody else.
pub(super) struct Attempt<'a> {
    breaker: &'a CircuitBreaker,
}

impl CircuitBreaker {
    /// Whether the last connection was opened, or none was needed so far.
    pub(super) fn is_open(&self) -> bool {
        self.known(|known| known.failure.is_none())
    }

    /// Leave to open a connection, or why another one could not be opened a moment ago.
    pub(super) async fn attempt(&self) -> Result<Attempt<'_>, io::Error> {
        let (until, failures) = (Instant::now() + WAIT, self.known(|known| known.failures));
        loop {
            let mut over = pin!(self.over.notified());
            // From now on nothing is missed.
            over.as_mut().enable();
            let kept_out = self.known(|known| {
                let kind = known.failure?;
                if known.failures != failures || known.trying.is_some_and(|since| since.elapsed() < MOMENT) {
                    return Some((kind, known.failures != failures));
                }
                known.trying = Some(Instant::now());
                None
            });
            match kept_out {
                None => return Ok(Attempt { breaker: self }),
                Some((kind, true)) => return Err(kind.into()),
                Some((kind, false)) => timeout_at(until.into(), over).await.map_err(|_| kind)?,
            }
        }
    }

    fn known<T>(&self, look: impl FnOnce(&mut LastAttempts) -> T) -> T {
        look(&mut self.known.lock())
    }
}

impl Attempt<'_> {
    /// Notes that there is a connection now.
    pub(super) fn succeeded(self) {
        self.breaker.known(|known| known.failure = None);
    }

    /// Notes that there is none. What is no word about whether somebody listens there (a name that does not resolve, a
    /// certificate) keeps nobody else from trying.
    pub(super) fn failed(self, kind: Option<io::ErrorKind>) {
        let failure = kind.filter(|kind| {
            matches!(
                kind,
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            )
        });
        self.breaker.known(|known| {
            known.failure = failure;
            known.failures += u64::from(failure.is_some());
        });
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.breaker.known(|known| known.trying = None);
        self.breaker.over.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    const REFUSED: Option<io::ErrorKind> = Some(io::ErrorKind::ConnectionRefused);

    async fn refuse(breaker: &CircuitBreaker) {
        breaker.attempt().await.expect("leave").failed(REFUSED);
    }

    #[tokio::test]
    async fn everybody_may_try_while_nothing_is_known() {
        let breaker = CircuitBreaker::default();
        let (one, another) = (breaker.attempt().await, breaker.attempt().await);
        assert!(one.is_ok() && another.is_ok() && breaker.is_open());
    }

    #[tokio::test]
    async fn after_a_refusal_one_tries_and_the_others_fail_or_go_on_with_it() {
        for comes_back in [false, true] {
            let breaker = CircuitBreaker::default();
            refuse(&breaker).await;
            assert!(!breaker.is_open());
            let trying = breaker.attempt().await.expect("leave");
            let others = join_all((0..3).map(|_| breaker.attempt()));
            let outcome = async {
                tokio::task::yield_now().await;
                match comes_back {
                    true => trying.succeeded(),
                    false => trying.failed(REFUSED),
                }
            };
            let (others, ()) = tokio::join!(others, outcome);
            for other in others {
                let kind = other.map(drop).map_err(|error| error.kind());
                let expected = if comes_back {
                    Ok(())
                } else {
                    Err(io::ErrorKind::ConnectionRefused)
                };
                assert_eq!(kind, expected);
            }
            assert_eq!(breaker.is_open(), comes_back);
            assert!(breaker.attempt().await.is_ok(), "the next one tries");
        }
    }

    #[tokio::test]
    async fn a_try_that_hangs_keeps_nobody_waiting_for_long() {
        let breaker = CircuitBreaker::default();
        refuse(&breaker).await;
        let _hanging = breaker.attempt().await.expect("leave");
        let kept_out = breaker.attempt().await.err().expect("a failure");
        assert_eq!(kept_out.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_try_that_is_given_up_leaves_it_to_one_of_those_who_wait() {
        let breaker = CircuitBreaker::default();
        refuse(&breaker).await;
        let given_up = breaker.attempt().await.expect("leave");
        let giving_up = async {
            tokio::task::yield_now().await;
            drop(given_up);
        };
        let (next, ()) = tokio::join!(breaker.attempt(), giving_up);
        assert!(!breaker.is_open() && next.is_ok());
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_keeps_nobody_from_trying() {
        let breaker = CircuitBreaker::default();
        let untrusted = Some(io::ErrorKind::InvalidData);
        breaker.attempt().await.expect("leave").failed(untrusted);
        let (one, another) = (breaker.attempt().await, breaker.attempt().await);
        assert!(one.is_ok() && another.is_ok());
    }
}
