//! Which way one legacy request goes.

use super::Modes;
use crate::{config::Mode, routes::RouteName};
use std::{hash::BuildHasher, sync::atomic::Ordering};

/// Which way one legacy request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is answered from the Jobs API.
    Translate,
    /// It goes to the server's own legacy endpoint; a read may be compared.
    Forward {
        /// With what translation makes of it.
        compare: bool,
    },
    /// From the Jobs API; to the legacy endpoint if there is none.
    TranslateIfThere,
    /// 410.
    Gone,
}

impl Modes {
    /// Decides on a request for `route`. `client` gives a number that is the same for every request of one client.
    pub fn decide(&self, route: RouteName, client: impl FnOnce() -> u64) -> Decision {
        let policy = self.policy(route);
        match policy.mode {
            Mode::Translate => Decision::Translate,
            Mode::Forward => Decision::Forward { compare: false },
            Mode::Shadow => Decision::Forward { compare: true },
            Mode::Canary if policy.percent.has(client()) && self.back(route).is_none() => Decision::Translate,
            Mode::Canary => Decision::Forward {
                compare: policy.compare,
            },
            Mode::Auto if self.jobs_api.is_worth_asking(self.config.ask_again) => Decision::TranslateIfThere,
            Mode::Auto => Decision::Forward { compare: false },
            Mode::Gone if policy.percent.has(self.draw()) => Decision::Gone,
            Mode::Gone => Decision::Translate,
        }
    }

    /// A number that no client can foresee: who polls in a steady rhythm must not always fall on the same side.
    pub fn draw(&self) -> u64 {
        self.random.hash_one(self.draws.fetch_add(1, Ordering::Relaxed))
    }
}
