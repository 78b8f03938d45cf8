//! Files that cannot be read, in words.

use crate::http::system_error::without_number;
use std::io::{self, ErrorKind};

/// Why a file cannot be read, without the numbers of the system.
pub(crate) fn why_unread(error: &io::Error) -> String {
    match error.kind() {
        // It has words already.
        _ if error.get_ref().is_some() => error.to_string(),
        ErrorKind::NotFound => "not found".to_owned(),
        ErrorKind::IsADirectory => "it is a folder, and a file is expected".to_owned(),
        ErrorKind::NotADirectory => "not found: a part of its path is no folder".to_owned(),
        ErrorKind::PermissionDenied => "the user of this process may not read it".to_owned(),
        ErrorKind::InvalidData => "it is no text in UTF-8".to_owned(),
        _ => without_number(&error.to_string()).to_owned(),
    }
}
