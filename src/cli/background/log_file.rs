//! The log of a jobshim in the background: one file, and the one before it.

use crate::os::for_this_user_alone;
use parking_lot::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The most bytes of a file. There are two.
const MOST: u64 = 10 << 20;

/// The file that lines are written to. A line that it has no room for begins a new one.
pub struct LogFile {
    path: PathBuf,
    most: u64,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    length: u64,
}

impl LogFile {
    /// Goes on where the file at `path` ends.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Self::with_most(path, MOST)
    }

    fn with_most(path: PathBuf, most: u64) -> io::Result<Self> {
        let file = appending(&path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            path,
            most,
            open: Mutex::new(Open { file, length }),
        })
    }

    /// Begins a new file at `path`; the one that is there becomes the one before it.
    pub(super) fn begin(path: &Path) -> io::Result<File> {
        if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            fs::rename(path, before(path))?;
        }
        appending(path)
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock();
        let length = line.len().try_into().unwrap_or(u64::MAX);
        if open.length > 0 && open.length.saturating_add(length) > self.most {
            open.file = match LogFile::begin(&self.path) {
                Ok(file) => file,
                // Where the file cannot be moved, its room counts for more than its lines.
                Err(_) => cut(&self.path)?,
            };
            open.length = 0;
        }
        open.file.write_all(line)?;
        open.length = open.length.saturating_add(length);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn before(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

fn appending(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    for_this_user_alone(&mut options).open(path)
}

fn cut(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)?.set_len(0)?;
    appending(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_full_begins_anew_and_only_one_before_it_is_kept() {
        let folder = std::env::temp_dir().join(format!("jobshim-log-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("jobshim.log");
        let log = LogFile::with_most(path.clone(), 20).expect("a file");
        let mut writer = &log;
        let both = || {
            let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
            (read(&path), read(&before(&path)))
        };
        let mut seen = Vec::new();
        for line in [
            "first line\n",
            "second\n",
            "third line\n",
            "fourth line\n",
            "a line that is longer than a file may be\n",
        ] {
            writer.write_all(line.as_bytes()).expect("a line");
            seen.push(both());
        }
        let again = LogFile::with_most(path.clone(), 20).expect("the same file");
        (&again).write_all(b"last\n").expect("a line");
        seen.push(both());
        fs::remove_dir_all(&folder).expect("a folder");
        let long = "a line that is longer than a file may be\n";
        let expected = [
            ("first line\n", ""),
            ("first line\nsecond\n", ""),
            ("third line\n", "first line\nsecond\n"),
            ("fourth line\n", "third line\n"),
            (long, "fourth line\n"),
            ("last\n", long),
        ];
        let expected = expected.map(|(now, before)| (now.to_owned(), before.to_owned()));
        assert_eq!(seen, expected);
    }
}
