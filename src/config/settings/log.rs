//! `[log]`

use crate::config::{
    key::{Key, Kind, Section},
    values,
};

section! {
    /// How log lines look and how many there are.
    LOG: LogSettings => LogConfig, "log", "Log";

    /// Log lines as text or json
    format: values::LogFormat = values::log_format {
        flag: "--log-format", value: "WORD", variable: "JOBSHIM_LOG_FORMAT", default: "text",
        words: &["text", "json"],
    }

    /// A log line for each request
    ///
    /// It is written once the request is answered, with its id, method, route, mode, status, bytes, time, and calls to the
    /// server; no credential, and a path only with --verbose, without ids and query.
    access: bool = values::flag {
        flag: "--log-access", value: "true|false", variable: "JOBSHIM_LOG_ACCESS", default: "true",
    }

    /// More log lines; twice for still more
    ///
    /// 0: what happens to the program, 1: every call to the server and the paths of requests too, 2: everything.
    verbosity: u8 = values::verbosity {
        flag: "--verbose", value: "", variable: "JOBSHIM_VERBOSITY", default: "0", kind: Kind::Count, live: true,
        common: true,
    }
}
