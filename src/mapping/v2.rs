//! The tables of Comfy API v2: what a prompt becomes there, what the answer to it means, and what the Jobs API would tell of a job.

use super::{
    classes::Classes,
    files::{TableFile, file_of},
    plan::RenderError,
    table::Table,
    table_error::TableError,
};

/// Where no table asks for node classes.
pub struct NoClasses;

impl Classes for NoClasses {
    fn is_output(&self, _: &str) -> Option<bool> {
        None
    }
}

/// The tables, compiled.
#[derive(Debug)]
pub struct V2Tables {
    /// A job by itself.
    pub job: Table,
    /// A job in a list.
    pub listed: Table,
    /// A prompt on its way.
    pub submit: Table,
    /// The answer to it.
    pub submitted: Table,
    /// The answer where it is refused.
    pub refused: Table,
}

impl V2Tables {
    /// Compiles the tables in `files`.
    pub(super) fn parse(files: &[TableFile]) -> Result<Self, TableError> {
        let compile = |name: &'static str, parse: fn(&str, &str, &str) -> Result<Table, TableError>| {
            let TableFile { file, text, .. } = file_of(files, name)?;
            parse(name, file, text)
        };
        Ok(Self {
            job: compile("v2_job", Table::parse)?,
            listed: compile("v2_job", Table::parse_list)?,
            submit: compile("v2_submit", Table::parse)?,
            submitted: compile("v2_submitted", Table::parse)?,
            refused: compile("v2_refused", Table::parse)?,
        })
    }

    /// Every table, once.
    pub fn all(&self) -> [&Table; 4] {
        [&self.job, &self.submit, &self.submitted, &self.refused]
    }
}

impl Table {
    /// What the table makes of `text`, a JSON object, and of what was `observed` beside it.
    ///
    /// # Errors
    /// `text` is no JSON object, or lacks what a field cannot do without.
    pub fn written(&self, text: &[u8], observed: Option<&[u8]>) -> Result<Vec<u8>, RenderError> {
        let mut out = Vec::with_capacity(text.len() + 256);
        self.prepare(text, observed)?.write(&NoClasses, &mut out)?;
        Ok(out)
    }
}
