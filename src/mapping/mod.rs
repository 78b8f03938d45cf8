//! Tables: which field of a job becomes which field of a legacy answer.
//!
//! A table file (`files`) is read (`table`, `row`, `request`, `writes`), checked whole and compiled (`compile`, `shape`) to a
//! flat `plan`. A job is searched once (`json`), by its `dialect`, for what all tables need (`answers`, `tables`); its entry in
//! a `view` is written from the spans that were found (`job`, `plan`). `derive` holds the few things a path cannot say,
//! `inputs` and `classes` what is known of node classes for that, `v2` has the tables of Comfy API v2, and `print` and `guide` show the tables to people.

mod answers;
mod classes;
mod compile;
mod derive;
pub mod dialect;
mod files;
pub mod guide;
mod inputs;
mod job;
pub mod json;
mod json_text;
pub(crate) mod limits;
mod plan;
pub mod print;
mod request;
mod row;
mod shape;
mod source_path;
mod table;
mod table_error;
mod tables;
mod v2;
mod view;
mod writes;

pub use answers::AnswerTables;
pub use classes::Classes;
pub use derive::rfc3339_from_ms;
pub use files::{TableFile, files_in, names};
pub use inputs::{ChoiceNames, ClassInputs, InputNames, NestedNames, ValueType};
pub use job::{JobFields, ListedJob, ListedJobs, ParsedJob};
pub(crate) use json_text::json_text;
pub use plan::{PreparedEntry, RenderError};
pub use request::{Chosen, QueuePlace, RequestRules};
pub use row::{Allowance, Fidelity, Line, Rows};
pub use table::{HistoryTable, JobTable, ListTable, PaginationNames, PromptTable, QueueTable, Table};
pub use table_error::TableError;
pub use tables::Tables;
pub use v2::{NoClasses, V2Tables};
pub use view::View;
pub use writes::{CloudQueue, WriteNames, WriteRequest};
