//! The table files: those that are built in, and the folder whose files replace them.

use super::{limits, table_error::TableError};
use crate::config::why_unread;
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A table file that is built in.
struct BuiltIn {
    /// What people call it; a file of this name in a folder of tables replaces it.
    name: &'static str,
    /// Where it is in `mappings/`, and may be in a folder of tables.
    path: &'static str,
    text: &'static str,
}

macro_rules! built_in {
    ($($name:literal: $path:literal),* $(,)?) => {
        [$(BuiltIn { name: $name, path: $path, text: include_str!(concat!("../../mappings/", $path)) }),*]
    };
}

const BUILT_IN: [BuiltIn; 15] = built_in!(
    "history": "answers/history.toml",
    "history_v2": "answers/history_v2.toml",
    "history_v2_detail": "answers/history_v2_detail.toml",
    "queue": "answers/queue.toml",
    "queue_cloud": "answers/queue_cloud.toml",
    "job_status": "answers/job_status.toml",
    "v2_job": "answers/v2_job.toml",
    "v2_submitted": "answers/v2_submitted.toml",
    "v2_refused": "answers/v2_refused.toml",
    "prompt": "requests/prompt.toml",
    "v2_submit": "requests/v2_submit.toml",
    "writes": "requests/writes.toml",
    "dialect-comfyui": "dialects/comfyui.toml",
    "dialect-cloud": "dialects/cloud.toml",
    "dialect-v2": "dialects/v2.toml",
);

/// The folders of `mappings/`.
const FOLDERS: [&str; 3] = ["answers", "requests", "dialects"];

/// The names of all tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|table| table.name)
}

/// All files that there are in a folder of tables, whatever their names, in order.
pub fn files_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let folders = FOLDERS.map(|folder| dir.join(folder));
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        list(folder, &mut files)?;
    }
    list(dir, &mut files)?;
    files.retain(|file| !folders.contains(file));
    files.sort();
    Ok(files)
}

fn list(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        into.push(entry?.path());
    }
    Ok(())
}

/// A table file in force.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The table's name.
    pub name: &'static str,
    /// What errors call the file.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// Where a table is read from changes nothing of it.
impl PartialEq for TableFile {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.text) == (other.name, &other.text)
    }
}

impl Eq for TableFile {}

impl TableFile {
    /// Every table's file: the one in `dir`, else the built-in one.
    pub fn read_all(dir: Option<&Path>) -> Result<Vec<Self>, TableError> {
        if let Some(dir) = dir {
            refuse_strangers(dir)?;
        }
        BUILT_IN.iter().map(|table| Self::read(table, dir)).collect()
    }

    fn read(table: &BuiltIn, dir: Option<&Path>) -> Result<Self, TableError> {
        let own = match dir {
            Some(dir) => own_file(table, dir)?,
            None => None,
        };
        let (file, text) = match own {
            Some(path) => {
                let file = path.display().to_string();
                let text = read(&path).map_err(|error| refuse(&file, why_unread(&error)))?;
                (file, text)
            }
            None => (format!("mappings/{} (built in)", table.path), table.text.to_owned()),
        };
        Ok(Self {
            name: table.name,
            file,
            text,
        })
    }
}

/// What the built-in table `name` says.
pub(super) fn built_in_text(name: &str) -> Option<&'static str> {
    let table = BUILT_IN.iter().find(|table| table.name == name)?;
    Some(table.text)
}

/// The file of the table `name`.
pub(super) fn file_of<'a>(files: &'a [TableFile], name: &str) -> Result<&'a TableFile, TableError> {
    let file = files.iter().find(|file| file.name == name);
    file.ok_or_else(|| TableError {
        file: name.to_owned(),
        line: 1,
        reason: "no such table".to_owned(),
    })
}

/// The places in `dir` where a file replaces a built-in one: in a folder as in `mappings/`, or in `dir` itself.
fn places(table: &BuiltIn, dir: &Path) -> [PathBuf; 2] {
    [dir.join(format!("{}.toml", table.name)), dir.join(table.path)]
}

/// The file in `dir` that replaces a built-in one. Two of them are refused: only one could be in force.
fn own_file(table: &BuiltIn, dir: &Path) -> Result<Option<PathBuf>, TableError> {
    // Whatever has that name counts, also a link that leads nowhere: it was put there to be in force.
    match places(table, dir).map(|path| (!is_absent(&path)).then_some(path)) {
        [Some(flat), Some(in_folder)] => {
            let reason = format!("the table {:?} is also in {}: keep one", table.name, flat.display());
            Err(refuse(&in_folder.display().to_string(), reason))
        }
        [flat, in_folder] => Ok(flat.or(in_folder)),
    }
}

/// The text of a file, of one that is too long no more than shows that.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(limits::BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn is_absent(path: &Path) -> bool {
    // A file that has the name of a folder holds no tables.
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    fs::symlink_metadata(path).is_err_and(|error| absent.contains(&error.kind()))
}

fn refuse(file: &str, reason: String) -> TableError {
    TableError {
        file: file.to_owned(),
        line: 1,
        reason,
    }
}

/// A misspelt file name would be ignored without a word: it is refused instead.
fn refuse_strangers(dir: &Path) -> Result<(), TableError> {
    let files = files_in(dir).map_err(|error| refuse(&dir.display().to_string(), why_unread(&error)))?;
    let is_known = |file: &Path| {
        BUILT_IN
            .iter()
            .any(|table| places(table, dir).iter().any(|place| place == file))
    };
    let is_table = |file: &Path| file.extension().is_some_and(|extension| extension == "toml");
    match files.iter().find(|file| is_table(file) && !is_known(file)) {
        None => Ok(()),
        Some(stranger) => {
            let reason = format!(
                "no table has this name; there are {}",
                names().collect::<Vec<_>>().join(", ")
            );
            Err(refuse(&stranger.display().to_string(), reason))
        }
    }
}
