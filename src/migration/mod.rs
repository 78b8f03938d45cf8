//! Who answers a legacy call: modes, canary and rollback, shadow comparison, notices.

pub mod compare;
pub mod modes;
pub mod notices;
