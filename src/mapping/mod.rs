//! Tables: which field of a job becomes which field of a legacy answer.
//!
//! A table file (`table`) is checked whole and compiled (`compile`) to a flat `plan`; rendering a job runs the `scanner`
//! over its bytes once and writes the entry from the spans it found (`paths`). `grammar` is the scanner's innermost part,
//! `derive` holds the few things a path cannot say, `inputs` what is known of node classes for that, `store` the built-in tables and the folder that replaces them,
//! `print` shows them to people.

mod compile;
mod derive;
mod grammar;
mod inputs;
pub(crate) mod limits;
mod paths;
mod pieces;
mod plan;
pub mod print;
pub mod scanner;
mod store;
mod table;
mod writes;

pub use derive::moment;
pub use inputs::{ChoiceNames, ClassInputs, InputNames, NestedNames, ValueType};
pub use paths::{Found, Paths, Searched, Spans};
pub use pieces::{Beginning, Elements, Judge, Unclear};
pub use plan::{Classes, Context, Plan, Reading, RenderError};
pub use store::{Tables, names};
pub use table::{Allowance, Answer, Chosen, Fidelity, Line, RequestRules, Rows, Table, TableError};
pub(crate) use table::{Complaint, json_text, line_of};
pub use writes::{CloudQueue, WriteNames, WriteRequest};
