//! `jobshim start`, `stop` and `status`.

use super::{
    folder::{Folder, NoFolder, Record},
    log_file::LogFile,
};
use crate::{
    config::{Options, is_read_once},
    http::outside::Outside,
    os::detach,
};
use std::{
    env, fmt, fs, io,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a start may take: a large store is read whole.
const START: Duration = Duration::from_secs(30);
/// How much longer a stop may take than the configuration says.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often the commands look.
const LOOK: Duration = Duration::from_millis(20);
/// So many lines of the log say why a start failed.
const LAST_LINES: usize = 10;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// There is nowhere to keep anything.
    #[error(transparent)]
    NoFolder(#[from] NoFolder),
    /// Nothing can be kept there.
    #[error("{folder} cannot be used: {error}; --state-dir takes another folder")]
    Unusable {
        /// The folder, or a file in it.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// One is enough.
    #[error(
        "one is running already{0}; `jobshim stop` ends it, and --state-dir with another folder runs one beside it"
    )]
    Runs(String),
    /// The configuration would be read twice.
    #[error("{0} is a pipe, and a file is expected: the configuration is read again by the program that is started")]
    Pipe(PathBuf),
    /// The system does not run it.
    #[error("the program cannot be started: {0}")]
    Unstarted(io::Error),
    /// It ended.
    #[error("it ended at once ({status}); its log, {log}, says:\n{lines}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Where it says why.
        log: PathBuf,
        /// The end of that.
        lines: String,
    },
    /// It does not listen.
    #[error("it did not listen within {} s, and was ended; its log, {log}, says:\n{lines}", START.as_secs())]
    TooSlow {
        /// Where it says why.
        log: PathBuf,
        /// The end of that.
        lines: String,
    },
    /// It was asked to stop, and has not.
    #[error("process {pid} has not stopped within {seconds} s; `jobshim stop` once more ends it at once")]
    Stays {
        /// Its process.
        pid: u32,
        /// How long it had.
        seconds: u64,
    },
}

impl BackgroundError {
    pub(super) fn unusable(folder: &Folder, error: io::Error) -> Self {
        Self::Unusable {
            folder: folder.path().to_owned(),
            error,
        }
    }

    pub(super) fn runs(folder: &Folder) -> Self {
        let at = folder
            .read()
            .map(|record| format!(" at {} (process {})", record.url, record.pid));
        Self::Runs(at.unwrap_or_default())
    }

    /// The exit code of the jobshim that was to be started: it tells wrong settings from other reasons.
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::NoFolder(_) | Self::Pipe(_) => Some(2),
            Self::Ended { status, .. } => status
                .code()
                .and_then(|code| code.try_into().ok())
                .filter(|code| *code > 0),
            _ => None,
        }
    }
}

/// What a command found.
pub enum Outcome {
    /// It runs.
    Runs(String),
    /// It does not.
    DoesNotRun(String),
}

/// Runs `jobshim serve` by `options` in the background, and waits until it listens.
pub fn start(options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<String, BackgroundError> {
    let variable = || environment("JOBSHIM_CONFIG").map(PathBuf::from);
    let file = options.config.clone().or_else(variable);
    if let Some(pipe) = file.filter(|file| is_read_once(file)) {
        return Err(BackgroundError::Pipe(pipe));
    }
    let folder = &Folder::of(options, environment)?;
    let unusable = |error| BackgroundError::unusable(folder, error);
    folder.make().map_err(unusable)?;
    if folder.is_running().map_err(unusable)? {
        return Err(BackgroundError::runs(folder));
    }
    let Some(place) = folder.lock().map_err(unusable)? else {
        return Err(BackgroundError::runs(folder));
    };
    // What a killed one left could be taken for what the new one says.
    folder.clear();
    // What it says before there is a log, or when it cannot write one.
    let said = LogFile::begin(&folder.log()).map_err(unusable)?;
    drop(place);
    let program = env::current_exe().map_err(BackgroundError::Unstarted)?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--in-background"])
        .args(options.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said);
    detach(&mut command);
    let child = command.spawn().map_err(BackgroundError::Unstarted)?;
    let record = until_it_listens(folder, child)?;
    Ok(format!("{}`jobshim stop` ends it\n", Shown(&record, folder)))
}

fn until_it_listens(folder: &Folder, mut child: Child) -> Result<Record, BackgroundError> {
    let begun = Instant::now();
    loop {
        if let Some(record) = folder.read().filter(|record| record.pid == child.id()) {
            return Ok(record);
        }
        let log = folder.log();
        if let Some(status) = child.try_wait().map_err(BackgroundError::Unstarted)? {
            let lines = last_lines(folder);
            return Err(BackgroundError::Ended { status, log, lines });
        }
        if begun.elapsed() > START {
            // It may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            let lines = last_lines(folder);
            return Err(BackgroundError::TooSlow { log, lines });
        }
        thread::sleep(LOOK);
    }
}

/// The last lines of the log.
fn last_lines(folder: &Folder) -> String {
    let text = fs::read(folder.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rev().take(LAST_LINES).rev();
    last.map(|line| Outside::many(line).to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asks the one that runs to stop, and waits for its end.
pub fn stop(folder: &Folder) -> Result<String, BackgroundError> {
    let unusable = |error| BackgroundError::unusable(folder, error);
    if !folder.is_running().map_err(unusable)? {
        return Ok("jobshim does not run in the background\n".to_owned());
    }
    let record = folder.read();
    let (pid, within) = record.map_or((0, START), |record| {
        (record.pid, Duration::from_secs(record.stops_within))
    });
    let within = within.saturating_add(STOP_GRACE);
    folder.ask_to_stop().map_err(unusable)?;
    let asked = Instant::now();
    while folder.is_running().map_err(unusable)? {
        if asked.elapsed() > within {
            let seconds = within.as_secs();
            return Err(BackgroundError::Stays { pid, seconds });
        }
        thread::sleep(LOOK);
    }
    // One that was ended at once could not clear away what it left.
    if let Ok(Some(_lock)) = folder.lock() {
        folder.clear();
    }
    Ok(format!("jobshim has stopped (process {pid})\n"))
}

/// Says whether one runs, and where.
pub fn status(folder: &Folder) -> Result<Outcome, BackgroundError> {
    let is_running = folder
        .is_running()
        .map_err(|error| BackgroundError::unusable(folder, error))?;
    Ok(match (is_running, folder.read()) {
        (true, Some(record)) => Outcome::Runs(Shown(&record, folder).to_string()),
        (true, None) => Outcome::DoesNotRun(format!("jobshim is starting\nlog:  {}\n", folder.log().display())),
        (false, Some(Record { pid, since, .. })) => Outcome::DoesNotRun(format!(
            "jobshim does not run: process {pid}, which began at {since}, was killed or has crashed\nlog:  {}\n",
            folder.log().display()
        )),
        (false, None) => Outcome::DoesNotRun("jobshim does not run in the background\n".to_owned()),
    })
}

/// One that runs, in lines.
struct Shown<'a>(&'a Record, &'a Folder);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record {
            pid, url, page, since, ..
        } = self.0;
        writeln!(out, "jobshim runs at {url} (process {pid}, since {since})")?;
        if let Some(page) = page {
            writeln!(out, "page: {page}")?;
        }
        writeln!(out, "log:  {}", self.1.log().display())
    }
}
