//! Every table in force, loaded together.

use super::{
    dialect::Dialect, files::TableFile, json::Paths, table::Table, table_error::TableError, writes::WriteNames,
};
use std::{hash::Hasher, path::Path, sync::Arc};
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
    /// The files that they were read from.
    pub files: Vec<TableFile>,
}

impl Tables {
    /// Loads and checks every table; files in `dir` replace built-in ones of the same name.
    pub fn load(dir: Option<&Path>) -> Result<Self, TableError> {
        let files = TableFile::read_all(dir)?;
        let file = |name: &str| {
            let found = files.iter().find(|file| file.name == name);
            found.ok_or_else(|| TableError {
                file: name.to_owned(),
                line: 1,
                reason: "no such table".to_owned(),
            })
        };
        // Whatever reads a job's detail has it searched for the same paths, once.
        let mut job = Arc::<Paths>::default();
        let mut dialect = |name| {
            let source = file(name)?;
            let mut dialect = Dialect::parse(&source.file, &source.text)?;
            dialect.search_beside(Arc::make_mut(&mut job));
            Ok(dialect)
        };
        let (mut comfyui, mut cloud) = (dialect("dialect-comfyui")?, dialect("dialect-cloud")?);
        let mut shape = |name| {
            let source = file(name)?;
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
        let (prompt, writes) = (file("prompt")?, file("writes")?);
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
            files,
        })
    }

    /// A number for the texts of all tables, the same after a restart.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = XxHash3_64::new();
        for TableFile { name, text, .. } in &self.files {
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
