//! The built-in tables, and the folder whose files replace them by name.

use super::{
    table::{Table, TableError},
    writes::WriteNames,
};
use crate::jobs::Dialect;
use std::{fs, path::Path};

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
    if let Some(path) = own.filter(|path| path.exists()) {
        let file = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| refuse(&file, error.to_string()))?;
        return Ok(Source { file, text });
    }
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let (_, text) = built_in.ok_or_else(|| refuse(name, "no such table".to_owned()))?;
    Ok(Source {
        file: format!("mappings/{name}.toml (built in)"),
        text: (*text).to_owned(),
    })
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
        let table = |name| {
            let source = source(dir, name)?;
            Table::parse(name, &source.file, &source.text)
        };
        let dialect = |name| {
            let source = source(dir, name)?;
            Dialect::parse(&source.file, &source.text)
        };
        let writes = source(dir, "writes")?;
        Ok(Self {
            history: table("history")?,
            history_v2: table("history_v2")?,
            history_v2_detail: table("history_v2_detail")?,
            queue: table("queue")?,
            queue_cloud: table("queue_cloud")?,
            job_status: table("job_status")?,
            prompt: table("prompt")?,
            writes: WriteNames::parse(&writes.file, &writes.text)?,
            comfyui: dialect("dialect-comfyui")?,
            cloud: dialect("dialect-cloud")?,
            sources: names()
                .map(|name| Ok((name, source(dir, name)?.text)))
                .collect::<Result<_, TableError>>()?,
        })
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
