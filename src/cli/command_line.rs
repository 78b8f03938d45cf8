//! The command line of this process, and what is meant where it cannot be understood.

use super::arguments::Cli;
use crate::config::is_host_and_port;
use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

impl Cli {
    /// What this process was told. Where that cannot be understood it says so, and ends.
    pub fn from_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|error| with_tip(error).exit())
    }
}

/// Says of a file or an address that stands alone behind which flag it belongs.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else {
        return error;
    };
    // Such as "Usage: jobshim report [OPTIONS]".
    let usage = error
        .get(ContextKind::Usage)
        .map(ToString::to_string)
        .unwrap_or_default();
    let command = usage.split_whitespace().nth(2).unwrap_or_default();
    let is_address = word.contains("://") || is_host_and_port(word);
    let url = match word.contains("://") {
        true => word.clone(),
        false => format!("http://{word}"),
    };
    let meant = match command {
        "report" if is_address => format!("--admin {url}"),
        "health" if is_address => format!("--admin {}", word.rsplit("://").next().unwrap_or(word)),
        "demo" | "mapping" | "completions" => return error,
        _ if word.starts_with('-') => return error,
        _ if is_address => format!("--upstream {url}"),
        _ if word.contains(['.', '/']) => format!("--config {word}"),
        _ => return error,
    };
    let tip = format!("what is meant may be '{meant}'");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}
