//! What differs between systems. `unix` and `windows` have the same names, and one of them is compiled; nothing above knows
//! which. What a system lacks is an error that says so, or waits for ever.

mod process;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use process::ProcessStatus;
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
