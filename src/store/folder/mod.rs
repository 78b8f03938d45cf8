//! A store in a folder: one file, which a crash cannot break, for one jobshim.

mod before;
mod file;

use super::{
    StoreError,
    backend::{Backend, Follower, Followers, News, Row},
    change::{Action, Step},
};
use crate::os::for_this_user_alone;
use file::{Fault, StoreFile};
use parking_lot::Mutex;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    sync::Arc,
};

/// Of every table of rows.
type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// What the file says of itself.
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const PROGRAM: (&str, &str) = ("program", "jobshim");
const FORMAT: &str = "format";

/// The form that rows are written in. A store of an older one is brought to this at its opening, one of a newer one is refused.
const THIS_FORMAT: u32 = 1;

/// The file in the folder.
const FILE: &str = "jobshim.redb";

/// The store.
pub(super) struct Folder {
    file: StoreFile,
    /// Held while the file is written, so that followers hear of changes in their order.
    followers: Mutex<Followers>,
}

impl Folder {
    /// Opens the store in `folder`, making both if need be; a new one begins with these `first` rows.
    pub(super) fn open(folder: &Path, first: Vec<Step>) -> Result<Self, StoreError> {
        let shown = folder.display().to_string();
        let unusable = |error| StoreError::Folder(shown.clone(), Arc::new(error));
        fs::create_dir_all(folder).map_err(unusable)?;
        let path = folder.join(FILE);
        keep_from_others(&path).map_err(unusable)?;
        let file = StoreFile::open(path)?;
        file.run(|database| begin(database, first))?;
        Ok(Self {
            file,
            followers: Mutex::default(),
        })
    }
}

impl Backend for Folder {
    fn place(&self) -> String {
        self.file.shown()
    }

    fn rows(&self, table: &'static str) -> Result<Vec<Row>, StoreError> {
        self.file.run(|database| read(database, table))
    }

    fn row(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.file.run(|database| read_one(database, table, key))
    }

    fn commit(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        let followers = self.followers.lock();
        let now = self.file.run(|database| write(database, &steps))?;
        for (step, now) in steps.iter().zip(&now) {
            if matches!(step.action, Action::Expect(_)) {
                continue;
            }
            let told = followers.tell(step.table, News::One(&step.key, now.as_deref()));
            told.map_err(|error| StoreError::damaged(self.file.shown(), error))?;
        }
        Ok(())
    }

    fn follow(&self, table: &'static str, follower: Arc<dyn Follower>) -> Result<(), StoreError> {
        let mut followers = self.followers.lock();
        let rows = self.rows(table)?;
        let told = follower.hear(News::All(&rows));
        told.map_err(|error| StoreError::damaged(self.file.shown(), error))?;
        followers.add(table, follower);
        Ok(())
    }
}

/// Makes the file, if it is not there, for this user alone: who has the key of scopes can try credentials against it.
fn keep_from_others(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    for_this_user_alone(&mut options).open(path).map(drop)
}

/// Makes a new store of an empty file. One of an older form is brought to this one; what is none of jobshim's is left as it is.
fn begin(database: &Database, first: Vec<Step>) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    let is_empty = transaction.list_tables()?.next().is_none();
    match about(&transaction)? {
        About::Format(THIS_FORMAT) => return Ok(()),
        About::Format(newer) => return Err(Fault::Newer(newer)),
        About::Nothing if is_empty => steps(&transaction, &first).map(drop)?,
        About::Nothing => before::take_over(&transaction)?,
    }
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(PROGRAM.0, PROGRAM.1)?;
        about.insert(FORMAT, THIS_FORMAT.to_string().as_str())?;
    }
    transaction.commit()?;
    Ok(())
}

/// What a file says of itself.
enum About {
    Nothing,
    Format(u32),
}

fn about(transaction: &WriteTransaction) -> Result<About, Fault> {
    let is_there = transaction
        .list_tables()?
        .any(|table| redb::TableHandle::name(&table) == redb::TableHandle::name(&ABOUT));
    if !is_there {
        return Ok(About::Nothing);
    }
    let about = transaction.open_table(ABOUT)?;
    let text = |name| -> Result<Option<String>, Fault> { Ok(about.get(name)?.map(|text| text.value().to_owned())) };
    if text(PROGRAM.0)?.as_deref() != Some(PROGRAM.1) {
        return Err(Fault::Foreign);
    }
    let format = text(FORMAT)?.and_then(|format| format.parse().ok());
    format
        .filter(|format| *format > 0)
        .map(About::Format)
        .ok_or_else(|| Fault::Unreadable("it does not say in which form it is".to_owned()))
}

/// The name of a table in the file.
fn rows_of(table: &'static str) -> Rows {
    TableDefinition::new(table)
}

fn read(database: &Database, table: &'static str) -> Result<Vec<Row>, Fault> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(rows_of(table)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut rows = Vec::with_capacity(usize::try_from(table.len()?).unwrap_or_default());
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(rows)
}

fn read_one(database: &Database, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let transaction = database.begin_read()?;
    match transaction.open_table(rows_of(table)) {
        Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does the steps in one transaction, and says what each row is after it.
fn write(database: &Database, all: &[Step]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    // What is only told waits for no disk.
    if !all.iter().any(is_stored) {
        return Ok(vec![None; all.len()]);
    }
    let transaction = database.begin_write()?;
    let now = steps(&transaction, all)?;
    transaction.commit()?;
    Ok(now)
}

fn steps(transaction: &WriteTransaction, all: &[Step]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    all.iter().map(|step| take(transaction, step)).collect()
}

/// Whether it is of rows that a folder has. Those that expire are for others at the same time, of which there are none.
fn is_stored(step: &Step) -> bool {
    !matches!(step.action, Action::PutFor(..) | Action::Tell)
}

fn take(transaction: &WriteTransaction, step: &Step) -> Result<Option<Vec<u8>>, Fault> {
    if !is_stored(step) {
        return Ok(None);
    }
    let mut table = transaction.open_table(rows_of(step.table))?;
    let key = step.key.as_slice();
    let before = table.get(key)?.map(|value| value.value().to_vec());
    let now = match (&step.action, before) {
        (Action::Put(value), _) | (Action::PutNew(value), None) => {
            table.insert(key, value.as_slice())?;
            Some(value.clone())
        }
        (Action::Expect(value), before) if *value == before => return Ok(before),
        (Action::Expect(_), _) => return Err(Fault::Changed),
        (Action::Remove, _) => None,
        (Action::RemoveIf(value), before) if before.as_ref() == Some(value) => None,
        (Action::PutNew(_) | Action::RemoveIf(_), before) => before,
        (Action::PutFor(..) | Action::Tell, _) => None,
    };
    if now.is_none() {
        table.remove(key)?;
    }
    Ok(now)
}
