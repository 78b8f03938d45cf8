//! `[notes]`

use crate::config::{
    key::{Key, Section},
    values,
};

section! {
    /// What POST /prompt says is noted on its way, since the Jobs API does not tell all of it later. Keys are never noted.
    NOTES: NotesSettings => NotesConfig, "notes", "Notes of prompts";

    /// The largest POST /prompt that is noted for later answers
    max_body: usize = values::size {
        flag: "--notes-max-body", value: "SIZE", variable: "JOBSHIM_NOTES_MAX_BODY", default: "8MiB",
    }

    /// The most memory that all notes may take; 0 keeps none
    ///
    /// The longest unused go first.
    max_bytes: usize = values::size_or_none {
        flag: "--notes-max-bytes", value: "SIZE", variable: "JOBSHIM_NOTES_MAX_BYTES", default: "64MiB",
    }
}
