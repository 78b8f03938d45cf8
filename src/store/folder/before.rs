//! Stores of jobshim before they said in which form they are: six tables, each of types of its own.

use super::{file::Fault, rows_of};
use crate::store::{DELETED, KEY, ScopeKeyRow};
use redb::{ReadableTable, TableDefinition, TableHandle, WriteTransaction};

/// Scope and job id of each deleted job.
const DELETED_JOBS: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
/// When such a job was created, in ms; of some it was not known.
const CREATED: TableDefinition<(&[u8], &str), f64> = TableDefinition::new("deleted_created");
const CLEARED: TableDefinition<&[u8], &str> = TableDefinition::new("cleared");
const SCOPE_KEY: TableDefinition<(), &[u8]> = TableDefinition::new("key");
const ROLLBACKS: TableDefinition<&str, &str> = TableDefinition::new("rollbacks");
const USAGE: TableDefinition<(), &str> = TableDefinition::new("usage");

const TABLES: [&str; 6] = ["deleted", "deleted_created", "cleared", "key", "rollbacks", "usage"];

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Brings what is there to the form of today.
///
/// # Errors
/// There is something else, or rows that such a store cannot have.
pub(super) fn take_over(transaction: &WriteTransaction) -> Result<(), Fault> {
    let tables: Vec<_> = transaction.list_tables()?.collect();
    let is_ours = tables.iter().any(|table| table.name() == SCOPE_KEY.name())
        && tables.iter().all(|table| TABLES.contains(&table.name()));
    if !is_ours {
        return Err(Fault::Foreign);
    }
    let taken: [(&'static str, Rows); 5] = [
        (DELETED.name, deleted(transaction)?),
        (KEY.name, scope_key(transaction)?),
        ("cleared", texts(transaction, CLEARED, <[u8]>::to_vec)?),
        (
            "rollbacks",
            texts(transaction, ROLLBACKS, |route: &str| route.as_bytes().to_vec())?,
        ),
        ("usage", texts(transaction, USAGE, |()| Vec::new())?),
    ];
    // Reading has made those that were not there.
    let tables: Vec<_> = transaction.list_tables()?.collect();
    for table in tables {
        transaction.delete_table(table)?;
    }
    for (name, rows) in taken {
        let mut table = transaction.open_table(rows_of(name))?;
        for (key, value) in rows {
            table.insert(key.as_slice(), value.as_slice())?;
        }
    }
    Ok(())
}

fn deleted(transaction: &WriteTransaction) -> Result<Rows, Fault> {
    let (jobs, created) = (transaction.open_table(DELETED_JOBS)?, transaction.open_table(CREATED)?);
    let mut rows = Rows::new();
    for row in jobs.iter()? {
        let (key, _) = row?;
        let (scope, id) = key.value();
        let created = created.get(key.value())?.map(|created| created.value());
        rows.push(([scope, id.as_bytes()].concat(), json(&created)?));
    }
    Ok(rows)
}

/// The key of scopes. Without it nobody is whom the rows are about.
fn scope_key(transaction: &WriteTransaction) -> Result<Rows, Fault> {
    let table = transaction.open_table(SCOPE_KEY)?;
    let key = table.get(())?.map(|key| key.value().to_vec());
    let key = key.ok_or_else(|| Fault::Unreadable("the key of its scopes is gone".to_owned()))?;
    Ok(vec![(
        Vec::new(),
        json(&ScopeKeyRow::from_bytes(&key).map_err(Fault::Row)?)?,
    )])
}

/// A table whose values are JSON already.
fn texts<K: redb::Key + 'static>(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, K, &'static str>,
    key: impl for<'a> Fn(K::SelfType<'a>) -> Vec<u8>,
) -> Result<Rows, Fault> {
    let table = transaction.open_table(table)?;
    let mut rows = Rows::new();
    for row in table.iter()? {
        let (stored, text) = row?;
        rows.push((key(stored.value()), text.value().as_bytes().to_vec()));
    }
    Ok(rows)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| Fault::Unreadable(error.to_string()))
}
