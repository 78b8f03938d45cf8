//! Programs of others that some tests need. A test whose program is missing fails, unless it is left out by name.

use std::{
    env,
    io::{Write, stderr},
};

/// Names the programs to do without, with commas between them: `chromedriver`, `systemd-analyze`, `node`, `go`, `curl`, `jq`, `redis-server`.
const WITHOUT: &str = "JOBSHIM_TEST_WITHOUT";

/// Whether the tests that need `program` are left out; then it says so, past the output that a good test keeps to itself.
pub fn is_left_out(program: &str) -> bool {
    let without = env::var(WITHOUT).unwrap_or_default();
    let left_out = without.split(',').any(|one| one.trim() == program);
    if left_out {
        let _ = writeln!(stderr(), "skipped, as {WITHOUT} names {program}");
    }
    left_out
}

/// What a test fails with that does not find `program`, which is in the Debian package `package`.
pub fn missing(program: &str, package: &str) -> String {
    format!("{program} is needed, of Debian's {package}; {WITHOUT}={program} leaves its tests out")
}
