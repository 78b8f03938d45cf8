//! Tables: which field of a job becomes which field of a legacy answer.
//!
//! A table file (`table`) is checked whole and compiled (`compile`) to a flat `plan`; rendering a job runs over its bytes once
//! (`json`) and writes the entry from the spans it found. `derive` holds the few things a path cannot say, `inputs` what is
//! known of node classes for that, `files` the built-in tables and the folder that replaces them, `print` shows them to people.

mod compile;
mod context;
mod derive;
pub mod dialect;
mod files;
mod inputs;
pub mod json;
mod json_text;
pub(crate) mod limits;
mod plan;
pub mod print;
mod table;
mod table_error;
mod tables;
mod writes;

pub use context::{Classes, Context};
pub use derive::moment;
pub use files::{TableFile, files_in, names};
pub use inputs::{ChoiceNames, ClassInputs, InputNames, NestedNames, ValueType};
pub use json::{Found, ParsedJob, Paths, Spans};
pub(crate) use json_text::json_text;
pub use plan::{Plan, Reading, RenderError};
pub use table::{Allowance, Answer, Chosen, Fidelity, Line, RequestRules, Rows, Table};
pub(crate) use table_error::Complaint;
pub use table_error::TableError;
pub use tables::Tables;
pub use writes::{CloudQueue, WriteNames, WriteRequest};
