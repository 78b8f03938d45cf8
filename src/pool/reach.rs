//! Whether the server takes connections. While it does not, one call at a time tries; the others fail at once with
//! what is known, rather than wait in a queue for the same failure. So nobody has to wait for a recovery to be noticed:
//! the first call after it is the one that tries.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long one try may keep the others from trying: it may hang while the upstream is back already.
const MOMENT: Duration = Duration::from_secs(1);

/// What the last tries came to.
#[derive(Default)]
pub struct Reach(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Why there is no connection, if the last try had none.
    failure: Option<io::ErrorKind>,
    /// Since when somebody tries again.
    trying: Option<Instant>,
}

/// A try under way. Dropped before its end, it leaves the next try to somebody else.
pub struct Try<'a> {
    reach: &'a Reach,
}

impl Reach {
    /// Whether the last connection was opened, or none was needed so far.
    pub fn is_open(&self) -> bool {
        self.known(|known| known.failure.is_none())
    }

    /// Leave to open a connection, or why another one could not be opened a moment ago.
    pub fn attempt(&self) -> Result<Try<'_>, io::Error> {
        self.known(|known| {
            if let Some(kind) = known.failure {
                if known.trying.is_some_and(|since| since.elapsed() < MOMENT) {
                    return Err(kind.into());
                }
                known.trying = Some(Instant::now());
            }
            Ok(Try { reach: self })
        })
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Try<'_> {
    /// Notes that there is a connection now.
    pub fn succeeded(self) {
        self.reach.known(|known| known.failure = None);
    }

    /// Notes that there is none. What is no word about whether somebody listens there (a name that does not resolve, a
    /// certificate) keeps nobody else from trying.
    pub fn failed(self, kind: Option<io::ErrorKind>) {
        let failure = kind.filter(|kind| {
            matches!(
                kind,
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            )
        });
        self.reach.known(|known| known.failure = failure);
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        self.reach.known(|known| known.trying = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Option<io::ErrorKind> = Some(io::ErrorKind::ConnectionRefused);

    #[test]
    fn everybody_may_try_while_nothing_is_known() {
        let reach = Reach::default();
        let (one, another) = (reach.attempt(), reach.attempt());
        assert!(one.is_ok() && another.is_ok() && reach.is_open());
    }

    #[test]
    fn after_a_refusal_one_tries_and_the_others_fail_with_what_is_known() {
        let reach = Reach::default();
        reach.attempt().expect("leave").failed(REFUSED);
        assert!(!reach.is_open());
        let trying = reach.attempt().expect("leave");
        let kept_out = reach.attempt().err().expect("a failure");
        assert_eq!(kept_out.kind(), io::ErrorKind::ConnectionRefused);
        trying.succeeded();
        assert!(reach.is_open() && reach.attempt().is_ok());
    }

    #[test]
    fn a_try_that_is_given_up_leaves_it_to_the_next() {
        let reach = Reach::default();
        reach.attempt().expect("leave").failed(REFUSED);
        drop(reach.attempt());
        assert!(!reach.is_open() && reach.attempt().is_ok());
    }

    #[test]
    fn a_certificate_that_is_not_trusted_keeps_nobody_from_trying() {
        let reach = Reach::default();
        reach.attempt().expect("leave").failed(Some(io::ErrorKind::InvalidData));
        let (one, another) = (reach.attempt(), reach.attempt());
        assert!(one.is_ok() && another.is_ok());
    }
}
