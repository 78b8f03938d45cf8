//! Going back: a canary whose answers fail or differ too often is forwarded from then on, until its policy changes.

use crate::{
    config::{Policy, Rollback, Share},
    route::RouteName,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// So many answers must be known before their share says anything.
const ENOUGH: u64 = 20;
/// So many count; older ones weigh half, and half again.
const WINDOW: u64 = 1_000;

#[derive(Default)]
struct Tally {
    of: u64,
    bad: u64,
}

impl Tally {
    /// Counts one more, and gives whether there are too many.
    fn count(&mut self, bad: bool, most: Option<Share>) -> bool {
        if self.of >= WINDOW {
            self.of /= 2;
            self.bad /= 2;
        }
        self.of += 1;
        self.bad += u64::from(bad);
        self.of >= ENOUGH && most.is_some_and(|most| most.is_exceeded(self.bad, self.of))
    }
}

/// What is known of one route under one policy.
struct Watched {
    policy: Policy,
    answers: Tally,
    comparisons: Tally,
    is_back: bool,
}

/// All canaries.
#[derive(Default)]
pub struct Watch(Mutex<BTreeMap<RouteName, Watched>>);

impl Watch {
    /// Whether `route` has gone back under this very policy.
    pub fn is_back(&self, route: RouteName, policy: &Policy) -> bool {
        self.of(route, policy, |watched| watched.is_back)
    }

    fn of<T>(&self, route: RouteName, policy: &Policy, look: impl FnOnce(&mut Watched) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Watched {
            policy: policy.clone(),
            answers: Tally::default(),
            comparisons: Tally::default(),
            is_back: false,
        };
        let watched = all.entry(route).or_insert_with(fresh);
        if watched.policy != *policy {
            *watched = fresh();
        }
        look(watched)
    }

    /// A translated answer was given; `failed` when it is a failure.
    pub fn answered(&self, route: RouteName, policy: &Policy, failed: bool) {
        self.judge(
            route,
            policy,
            failed,
            "failures",
            |watched| &mut watched.answers,
            |rollback| rollback.failures,
        );
    }

    /// A translated answer was compared with the legacy one.
    pub fn compared(&self, route: RouteName, policy: &Policy, differs: bool) {
        self.judge(
            route,
            policy,
            differs,
            "differences",
            |watched| &mut watched.comparisons,
            |rollback| rollback.differences,
        );
    }

    fn judge(
        &self,
        route: RouteName,
        policy: &Policy,
        bad: bool,
        what: &str,
        tally: impl FnOnce(&mut Watched) -> &mut Tally,
        most: impl FnOnce(&Rollback) -> Option<Share>,
    ) {
        let Some(most) = policy.rollback.as_ref().and_then(most) else {
            return;
        };
        let gone_back = self.of(route, policy, |watched| {
            let was_back = watched.is_back;
            let tally = tally(watched);
            let too_many = tally.count(bad, Some(most));
            let counts = (tally.bad, tally.of);
            watched.is_back |= too_many;
            (too_many && !was_back).then_some(counts)
        });
        if let Some((bad, of)) = gone_back {
            tracing::warn!(
                route = route.as_str(),
                reason = format!("{bad} {what} in {of} answers, more than {most}"),
                "the canary has gone back: this route is forwarded until its mode is changed or jobshim restarted"
            );
        }
    }
}
