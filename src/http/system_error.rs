//! Errors of the system, as people are told of them.

/// The words of an error without the number that the standard library puts behind them, as in `Connection refused (os error 111)`:
/// the words say the same.
pub fn without_number(error: &str) -> &str {
    error.split_once(" (os error ").map_or(error, |(words, _)| words)
}
