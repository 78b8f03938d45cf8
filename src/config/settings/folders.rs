//! The keys outside of all sections.

use crate::config::{
    key::{Key, Section},
    values,
};

section! {
    /// Folders of whoever runs jobshim.
    FOLDERS: FolderSettings => FolderConfig, "", "Folders";

    /// A folder whose tables replace the built-in ones of the same name
    ///
    /// Its files are called history.toml, dialect-cloud.toml and so on. Empty: the built-in ones.
    mappings_dir: Option<std::path::PathBuf> = values::optional_folder {
        flag: "--mappings-dir", value: "DIR", variable: "JOBSHIM_MAPPINGS_DIR", default: "", live: true,
    }

    /// The same as --state with a folder
    ///
    /// Which jobs were deleted, who calls the legacy endpoints, and which canaries were rolled back survives a restart there.
    state_dir: Option<std::path::PathBuf> = values::folder_to_be {
        flag: "--state-dir", value: "DIR", variable: "JOBSHIM_STATE_DIR", default: "",
    }
}
