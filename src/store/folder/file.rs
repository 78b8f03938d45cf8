//! The store's file. After a failure redb takes nothing more until it is opened anew, so every failure closes it and the
//! next use opens it again: what the disk refused once is no reason to refuse the next change.

use crate::store::{StoreError, table::Unreadable};
use parking_lot::Mutex;
use redb::{Builder, Database, DatabaseError};
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The most memory, in bytes, for what was read of the file or is to be written: rows are copied by those who follow them, and
/// long values are read once.
const CACHE: usize = 4 << 20;

/// The open file, or none after a failure. One at a time uses or opens it.
pub(super) struct StoreFile {
    path: PathBuf,
    database: Mutex<Option<Database>>,
}

/// Why the work on a store failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The library, or the disk, says so.
    Library(redb::Error),
    /// What is stored has not the form that it was written in.
    Unreadable(String),
    /// A row cannot be read.
    Row(Unreadable),
    /// It is of another program.
    Foreign,
    /// It is in a form that a later jobshim writes.
    Newer(u32),
    /// A row is not what a change expects it to be.
    Changed,
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

impl StoreFile {
    /// Opens the file, which is made if it is not there.
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let database = open(&path, |builder| builder.create(&path))?;
        Ok(Self {
            path,
            database: Mutex::new(Some(database)),
        })
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Does `work`. Waits for the disk.
    pub(super) fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, StoreError> {
        let mut place = self.database.lock();
        let database = match place.take() {
            Some(database) => database,
            // Never made anew: what was in it would be lost without a word.
            None => open(&self.path, |builder| builder.open(&self.path))?,
        };
        let error = match contained(|| work(&database)) {
            Ok(Ok(value)) => {
                *place = Some(database);
                return Ok(value);
            }
            // It is the change that is wrong, and not the store.
            Ok(Err(Fault::Changed)) => {
                *place = Some(database);
                return Err(StoreError::Changed);
            }
            Ok(Err(fault)) => failed(&self.path, fault),
            Err(panic) => damaged(&self.path, panic),
        };
        // What it says of its end adds nothing to why it is ended.
        let _ = contained(|| drop(database));
        Err(error)
    }
}

/// Opens a store, and reads the whole of it against its checksums: what the disk has changed is found now, and not when
/// somebody's row is wanted.
fn open(path: &Path, by: impl FnOnce(&Builder) -> Result<Database, DatabaseError>) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE);
    match contained(|| by(&builder)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(failed(path, error.into())),
        Err(panic) => Err(damaged(path, panic)),
    }
}

/// redb promises errors for damaged bytes only where it checks them, and panics elsewhere. Nothing is used after a panic
/// but the file, which is opened anew.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the library gave up on it").to_owned()
}

fn damaged(path: &Path, reason: String) -> StoreError {
    StoreError::damaged(path.display(), Unreadable::Wrong(reason))
}

fn failed(path: &Path, fault: Fault) -> StoreError {
    match fault {
        Fault::Unreadable(reason) => damaged(path, reason),
        Fault::Row(why) => StoreError::damaged(path.display(), why),
        Fault::Changed => StoreError::Changed,
        Fault::Foreign => StoreError::Foreign(path.display().to_string()),
        Fault::Newer(format) => StoreError::Newer(path.display().to_string(), format),
        Fault::Library(redb::Error::DatabaseAlreadyOpen) => {
            StoreError::InUse(path.parent().unwrap_or(path).display().to_string())
        }
        Fault::Library(redb::Error::Io(error)) if is_of_the_bytes(&error) => damaged(path, error.to_string()),
        Fault::Library(
            error @ (redb::Error::Io(_)
            | redb::Error::PreviousIo
            | redb::Error::Backend(_)
            | redb::Error::DatabaseClosed),
        ) => StoreError::Store(path.display().to_string(), Arc::new(error)),
        // All others speak of what is in the file.
        Fault::Library(error) => damaged(path, error.to_string()),
    }
}

/// Whether an I/O error is about what the file holds, and not about reading or writing it.
fn is_of_the_bytes(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
