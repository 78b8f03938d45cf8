//! Every table in force, loaded together.

use super::{
    answers::AnswerTables,
    dialect::{Dialect, DialectNames},
    files::{TableFile, built_in_text, file_of},
    job::JobSlots,
    json::PathSet,
    table::PromptTable,
    table_error::TableError,
    v2::V2Tables,
    writes::WriteNames,
};
use std::{hash::Hasher, path::Path, sync::Arc};
use twox_hash::XxHash3_64;

/// Every table in force.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The legacy views of a job.
    pub answers: Arc<AnswerTables>,
    /// What is kept of `POST /prompt`.
    pub prompt: PromptTable,
    /// The bodies of the legacy writes.
    pub writes: WriteNames,
    /// How a self-hosted server speaks.
    pub comfyui: Dialect,
    /// How the cloud speaks.
    pub cloud: Dialect,
    /// How a server of Comfy API v2 speaks.
    pub v2: Dialect,
    /// What its jobs, and its answers to prompts, become.
    pub of_v2: Arc<V2Tables>,
    /// The files that they were read from.
    pub files: Vec<TableFile>,
}

impl Tables {
    /// Loads and checks every table; files in `dir` replace built-in ones of the same name.
    pub fn load(dir: Option<&Path>) -> Result<Self, TableError> {
        Self::compile(TableFile::read_all(dir)?)
    }

    /// The same, but for the legacy views of a job, which are as the built-in tables have them; `None` where they are
    /// that anyway.
    pub fn with_built_in_answers(&self) -> Result<Option<Self>, TableError> {
        let is_answer = |file: &TableFile| self.answers.all().any(|table| table.name == file.name);
        // All tables there are, in the same order.
        let pairs = self.files.iter().zip(TableFile::read_all(None)?);
        let files = pairs.map(|(own, built_in)| match is_answer(own) {
            true => built_in,
            false => own.clone(),
        });
        let files: Vec<TableFile> = files.collect();
        (files != self.files).then(|| Self::compile(files)).transpose()
    }

    /// Whether the table `name` says what the built-in one says.
    pub fn is_built_in(&self, name: &str) -> bool {
        let said = self.files.iter().find(|file| file.name == name);
        said.map(|file| file.text.as_str()) == built_in_text(name)
    }

    fn compile(files: Vec<TableFile>) -> Result<Self, TableError> {
        let names = |name| {
            let TableFile { file, text, .. } = file_of(&files, name)?;
            DialectNames::parse(file, text)
        };
        let (comfyui, cloud, v2) = (names("dialect-comfyui")?, names("dialect-cloud")?, names("dialect-v2")?);
        let mut job = PathSet::default();
        let slots = [&comfyui, &cloud, &v2].map(|names| JobSlots::new(&names.job, &mut job));
        let answers = Arc::new(AnswerTables::parse(&files, job)?);
        let [comfyui_slots, cloud_slots, v2_slots] = slots;
        let (prompt, writes) = (file_of(&files, "prompt")?, file_of(&files, "writes")?);
        Ok(Self {
            prompt: PromptTable::parse(&prompt.file, &prompt.text)?,
            writes: WriteNames::parse(&writes.file, &writes.text)?,
            comfyui: Dialect::new(comfyui, comfyui_slots, Arc::clone(&answers)),
            cloud: Dialect::new(cloud, cloud_slots, Arc::clone(&answers)),
            v2: Dialect::new(v2, v2_slots, Arc::clone(&answers)),
            of_v2: Arc::new(V2Tables::parse(&files)?),
            answers,
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
}
