//! A jobshim in the background: `jobshim start`, `stop` and `status`, and what the program that they speak of does itself.
//!
//! They meet in one folder. Whoever holds the lock in it is the one that runs: a process id alone may be anybody's by now, and
//! what a killed program left says nothing. A stop is asked for by a file, as not every system has a signal for it.

mod commands;
mod folder;
mod instance;
mod log_file;

pub use commands::{BackgroundError, Outcome, start, status, stop};
pub use folder::{Folder, NoFolder};
pub use instance::{Instance, StopRequests};
pub use log_file::LogFile;
