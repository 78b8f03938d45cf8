//! `jobshim check`: what is in force, and what may not be meant.

use crate::config::InForce;
use std::fmt::Write as _;

/// All of a good configuration. What needs a look comes last: that is what a terminal shows.
pub fn summary(in_force: &InForce, warnings: &[String]) -> String {
    let but = match warnings.len() {
        0 => String::new(),
        1 => ", with 1 warning:".to_owned(),
        count => format!(", with {count} warnings:"),
    };
    let mut text = format!("{in_force}configuration and tables are good{but}\n");
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
