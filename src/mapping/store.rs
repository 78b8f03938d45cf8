//! The built-in tables, and the folder whose files replace them by name.

use super::{json::Paths, limits, table::Table, table_error::TableError, writes::WriteNames};
use crate::mapping::dialect::Dialect;
use std::{
    fs,
    hash::Hasher,
    io::{self, Read},
    path::Path,
    sync::Arc,
};
use twox_hash::XxHash3_64;

/// Every table in force.
#[derive(Clone, Debug)]
pub struct Tables {
    /// `GET /history` and `/history/{id}`.
    pub history: Table,
    /// `GET /api/history_v2`.
    pub history_v2: Table,
    /// `GET /api/history_v2/{id}`.
    pub history_v2_detail: Table,
    /// `GET /queue`.
    pub queue: Table,
    /// `GET /api/queue` with cloud items.
    pub queue_cloud: Table,
    /// `GET /api/job/{id}/status`.
    pub job_status: Table,
    /// What is kept of `POST /prompt`.
    pub prompt: Table,
    /// The bodies of the legacy writes.
    pub writes: WriteNames,
    /// How a self-hosted server speaks.
    pub comfyui: Dialect,
    /// How the cloud speaks.
    pub cloud: Dialect,
    /// Every table file in force: its name, and its text.
    pub sources: Vec<(&'static str, String)>,
}

macro_rules! built_in {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../mappings/", $name, ".toml")))),*]
    };
}

const BUILT_IN: [(&str, &str); 10] = built_in!(
    "history",
    "history_v2",
    "history_v2_detail",
    "queue",
    "queue_cloud",
    "job_status",
    "prompt",
    "writes",
    "dialect-comfyui",
    "dialect-cloud"
);

/// The names of all table files, without `.toml`.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A table file's text, and what errors call the file.
struct Source {
    file: String,
    text: String,
}

/// The file of `name` in `dir`, else the built-in one.
fn source(dir: Option<&Path>, name: &str) -> Result<Source, TableError> {
    let own = dir.map(|dir| dir.join(format!("{name}.toml")));
    // Whatever has that name counts, also a link that leads nowhere: it was put there to be in force.
    if let Some(path) = own.filter(|path| !is_absent(path)) {
        let file = path.display().to_string();
        let text = read(&path).map_err(|error| refuse(&file, error.to_string()))?;
        return Ok(Source { file, text });
    }
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let (_, text) = built_in.ok_or_else(|| refuse(name, "no such table".to_owned()))?;
    Ok(Source {
        file: format!("mappings/{name}.toml (built in)"),
        text: (*text).to_owned(),
    })
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
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn refuse(file: &str, reason: String) -> TableError {
    TableError {
        file: file.to_owned(),
        line: 1,
        reason,
    }
}

impl Tables {
    /// Loads and checks every table; files in `dir` replace built-in ones of the same name.
    pub fn load(dir: Option<&Path>) -> Result<Self, TableError> {
        if let Some(dir) = dir {
            refuse_strangers(dir)?;
        }
        // Whatever reads a job's detail has it searched for the same paths, once.
        let mut job = Arc::<Paths>::default();
        let mut dialect = |name| {
            let source = source(dir, name)?;
            let mut dialect = Dialect::parse(&source.file, &source.text)?;
            dialect.search_beside(Arc::make_mut(&mut job));
            Ok(dialect)
        };
        let (mut comfyui, mut cloud) = (dialect("dialect-comfyui")?, dialect("dialect-cloud")?);
        let mut shape = |name| {
            let source = source(dir, name)?;
            let table = Table::parse_beside(name, &source.file, &source.text, Arc::clone(&job))?;
            job = Arc::clone(&table.plan.job);
            Ok(table)
        };
        let mut shapes = [
            shape("history")?,
            shape("history_v2")?,
            shape("history_v2_detail")?,
            shape("queue")?,
            shape("queue_cloud")?,
            shape("job_status")?,
        ];
        for table in &mut shapes {
            table.plan.job = Arc::clone(&job);
        }
        for dialect in [&mut comfyui, &mut cloud] {
            dialect.search(Arc::clone(&job));
        }
        let [history, history_v2, history_v2_detail, queue, queue_cloud, job_status] = shapes;
        let (prompt, writes) = (source(dir, "prompt")?, source(dir, "writes")?);
        Ok(Self {
            history,
            history_v2,
            history_v2_detail,
            queue,
            queue_cloud,
            job_status,
            prompt: Table::parse("prompt", &prompt.file, &prompt.text)?,
            writes: WriteNames::parse(&writes.file, &writes.text)?,
            comfyui,
            cloud,
            sources: names()
                .map(|name| Ok((name, source(dir, name)?.text)))
                .collect::<Result<_, TableError>>()?,
        })
    }

    /// A number for the texts of all tables, the same after a restart.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = XxHash3_64::new();
        for (name, text) in &self.sources {
            for part in [name, text.as_str()] {
                hash.write(&part.len().to_le_bytes());
                hash.write(part.as_bytes());
            }
        }
        hash.finish()
    }

    /// The tables of legacy shapes.
    pub fn shapes(&self) -> [&Table; 6] {
        [
            &self.history,
            &self.history_v2,
            &self.history_v2_detail,
            &self.queue,
            &self.queue_cloud,
            &self.job_status,
        ]
    }
}

/// A misspelt file name would be ignored without a word: it is refused instead.
fn refuse_strangers(dir: &Path) -> Result<(), TableError> {
    let at = dir.display().to_string();
    let entries = fs::read_dir(dir).map_err(|error| refuse(&at, error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(|error| refuse(&at, error.to_string()))?.path();
        let is_table = path.extension().is_some_and(|extension| extension == "toml");
        let known = path.file_stem().is_some_and(|stem| names().any(|name| stem == name));
        if is_table && !known {
            let reason = format!(
                "no table has this name; there are {}",
                names().collect::<Vec<_>>().join(", ")
            );
            return Err(refuse(&path.display().to_string(), reason));
        }
    }
    Ok(())
}
