//! Files and folders.

use super::invalid_value::InvalidValue;
use std::path::PathBuf;

/// A folder that is made when it is needed.
pub(crate) fn folder_to_be(text: &str) -> Result<Option<PathBuf>, InvalidValue> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if path.exists() && !path.is_dir() => Err("it is no folder".into()),
        _ => Ok(path),
    }
}

pub(crate) fn optional_file(text: &str) -> Result<Option<PathBuf>, InvalidValue> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if path.is_dir() => Err("it is a folder, and a file is expected".into()),
        Some(path) if !path.is_file() => Err("there is no such file".into()),
        _ => Ok(path),
    }
}

pub(crate) fn optional_folder(text: &str) -> Result<Option<PathBuf>, InvalidValue> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if !path.is_dir() => Err("there is no such folder".into()),
        _ => Ok(path),
    }
}
