//! Every setting there is, one file for each section of the configuration file. A row here is all that a new setting needs: the
//! field of the section's struct, the flag, the variable, the help, `config.example.toml` and `docs/configuration.md` come of
//! it.
//!
//! The build script reads these files too, for man pages and completions, where types and parsers are not known. So they name
//! those by `values::` and import nothing else of the program.

mod admin;
mod cache;
mod folders;
mod history;
mod legacy;
mod listen;
mod log;
mod notes;
mod notices;
mod server;
mod shadow;
mod state;
mod upstream;

pub use admin::*;
pub use cache::*;
pub use folders::*;
pub use history::*;
pub use legacy::*;
pub use listen::*;
pub use log::*;
pub use notes::*;
pub use notices::*;
pub use server::*;
pub use shadow::*;
pub use state::*;
pub use upstream::*;

use super::key::{Key, Section};

/// In the order of `--help` and `check`.
pub const SECTIONS: &[Section] = &[
    ListenSettings::SECTION,
    UpstreamSettings::SECTION,
    LegacySettings::SECTION,
    HistorySettings::SECTION,
    CacheSettings::SECTION,
    FolderSettings::SECTION,
    StateSettings::SECTION,
    NotesSettings::SECTION,
    AdminSettings::SECTION,
    ShadowSettings::SECTION,
    NoticesSettings::SECTION,
    ServerSettings::SECTION,
    LogSettings::SECTION,
];

/// Every key there is, in the order of `--help` and `check`.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys.iter().copied())
}
