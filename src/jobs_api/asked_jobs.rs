//! Which jobs were asked for their files: after their end once is enough.

use crate::auth::scope::Scope;
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

/// The most jobs of one generation. The last two are remembered.
const MAX_OF_GENERATION: usize = 50_000;

/// By a hash of each; a job that is forgotten is asked for once more.
#[derive(Default)]
pub(super) struct AskedJobs {
    hasher: RandomState,
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl AskedJobs {
    pub(super) fn has(&self, scope: Scope, id: &str) -> bool {
        let hash = self.hasher.hash_one((scope.0, id));
        self.now.contains(&hash) || self.before.contains(&hash)
    }

    pub(super) fn add(&mut self, scope: Scope, id: &str) {
        if self.has(scope, id) {
            return;
        }
        if self.now.len() >= MAX_OF_GENERATION {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(self.hasher.hash_one((scope.0, id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_of_each_scope_and_no_more_than_may_be() {
        let (one, other) = (Scope([1; 32]), Scope([2; 32]));
        let mut asked = AskedJobs::default();
        for nth in 0..3 * MAX_OF_GENERATION {
            asked.add(one, &nth.to_string());
        }
        assert!(asked.now.len() + asked.before.len() <= 2 * MAX_OF_GENERATION);
        assert!(!asked.has(one, "0"));
        assert!(asked.has(one, &MAX_OF_GENERATION.to_string()) && !asked.has(other, &MAX_OF_GENERATION.to_string()));
    }
}
