//! The folder in which a jobshim in the background and the commands about it meet.

use crate::{
    config::{
        ConfigErrors, Options, load_one,
        settings::{FOLDERS, STATE},
    },
    os::{for_this_user_alone, state_folder},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf, absolute},
    thread,
    time::Duration,
};

/// How long another command may look whether somebody holds the lock, and how often that is tried.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no folder.
#[derive(Debug, thiserror::Error)]
pub enum NoFolder {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The environment names none.
    #[error("the environment does not say where this user's files are kept: --state-dir takes a folder")]
    Unknown,
}

/// Files in one folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What is known of a jobshim that runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    /// Its process.
    pub pid: u32,
    /// What clients use: a URL, or `unix:` and a path.
    pub url: String,
    /// The URL of the page, if it is shown.
    pub page: Option<String>,
    /// When it began.
    pub since: String,
    /// How long a stop may take, in seconds.
    pub stops_within: u64,
}

impl Folder {
    /// The one of `options`, or of this user.
    pub fn of(options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<Self, NoFolder> {
        let configured = load_one(&FOLDERS.state_dir, options, &environment)?;
        let store = load_one(&STATE.store, options, &environment)?;
        Self::or_of_user(configured.as_deref().or(store.folder()), environment).ok_or(NoFolder::Unknown)
    }

    /// `configured`, or the one of this user, if the environment says where that is.
    pub fn or_of_user(configured: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let folder = configured.map(Path::to_owned).or_else(|| state_folder(environment))?;
        // As it is shown to people who may be in another folder by then.
        Some(Self(absolute(&folder).unwrap_or(folder)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    /// What it writes.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("jobshim.log")
    }

    /// By this file it is asked to stop.
    pub(super) fn stop(&self) -> PathBuf {
        self.0.join("jobshim.stop")
    }

    /// Its process id alone, for other programs.
    fn pid(&self) -> PathBuf {
        self.0.join("jobshim.pid")
    }

    fn record(&self) -> PathBuf {
        self.0.join("jobshim.json")
    }

    /// The right to be the one that runs, until what comes back is dropped; `None` while somebody else is.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = self.lock_file()?;
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                // It may be a command that looks.
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether some jobshim runs, or is about to.
    pub(super) fn is_running(&self) -> io::Result<bool> {
        match self.lock_file() {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            // No folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A file of its own: on Windows nobody else can read one that is locked.
    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        for_this_user_alone(&mut options).open(self.0.join("jobshim.lock"))
    }

    /// What the last one said of itself, unless it took it back at its end.
    pub(super) fn read(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record()).ok()?).ok()
    }

    /// Says of the one that runs what there is to know. Whoever reads it meanwhile sees all of it, or nothing.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let new = self.0.join("jobshim.json.new");
        write(&self.pid(), format!("{}\n", record.pid).as_bytes())?;
        write(&new, &serde_json::to_vec(record)?)?;
        fs::rename(&new, self.record())
    }

    /// Asks the one that runs to stop.
    pub(super) fn ask_to_stop(&self) -> io::Result<()> {
        write(&self.stop(), b"")
    }

    /// Takes everything away that speaks of one that runs.
    pub(super) fn clear(&self) {
        for file in [self.record(), self.pid(), self.stop()] {
            // It may never have been there.
            let _ = fs::remove_file(file);
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    for_this_user_alone(&mut options).open(path)?.write_all(bytes)
}
