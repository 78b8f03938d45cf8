//! Where commands write, and nothing else does: what they answer to the standard output, complaints to the standard error.
//!
//! Who reads may have seen enough and go away, as `head` does. That is no fault to tell of.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// What a shell reports of a program that SIGPIPE has ended, as most are whose reader goes away. jobshim is not: the signal
/// would end a server, too.
const READER_GONE: u8 = 128 + 13;

/// Writes `text`, then does what comes after it, such as a complaint. Where it cannot be written, the program ends.
pub fn print(text: &str, then: impl FnOnce() -> ExitCode) -> ExitCode {
    match write(text) {
        Ok(()) => then(),
        Err(error) => unwritten(&error),
    }
}

/// Writes `text` to the standard output.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// How the program ends that cannot say what it has to say.
pub fn unwritten(error: &io::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::BrokenPipe => ExitCode::from(READER_GONE),
        _ => {
            complain(&format!("the output cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong, before there is a log or where a command has none.
pub fn complain(error: &dyn Display) {
    // Nobody is left to be told that nobody reads it.
    let _ = writeln!(io::stderr(), "jobshim: {error}");
}
