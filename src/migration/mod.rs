//! Who answers a legacy call: modes, canary and rollback, shadow comparison, notices, and a verdict on each route.

pub mod compare;
pub mod modes;
pub mod notices;
pub mod verdict;
