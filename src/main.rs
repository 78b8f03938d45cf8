//! Flags, config, exit codes; nothing else.
fn main() {}
