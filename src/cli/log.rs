//! Where the log goes, and how it looks.

use super::background::LogFile;
use crate::{
    config::{LogConfig, LogFormat},
    os::log_has_colours,
    telemetry::{JsonLines, TextFields},
};
use std::{io::stderr, sync::Arc};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    fmt::{self, format::JsonFields, writer::BoxMakeWriter},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Begins the log, on the standard error or in `file`; what comes back sets its verbosity anew.
pub fn begin(log: &LogConfig, file: Option<LogFile>) -> impl Fn(u8) + Send + Sync + use<> {
    let level = |verbosity| match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let (filter, handle) = reload::Layer::new(level(log.verbosity));
    let (colours, writer) = match file {
        Some(file) => (false, BoxMakeWriter::new(Arc::new(file))),
        None => (log_has_colours(), BoxMakeWriter::new(stderr)),
    };
    let lines = fmt::layer().with_target(false).with_writer(writer);
    let lines = match log.format {
        LogFormat::Text => lines.fmt_fields(TextFields::default()).with_ansi(colours).boxed(),
        LogFormat::Json => {
            let format = fmt::format().json().flatten_event(true).with_target(false);
            lines
                .fmt_fields(JsonFields::new())
                .event_format(JsonLines::new(format))
                .boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    move |verbosity| {
        if let Err(error) = handle.reload(level(verbosity)) {
            tracing::warn!(%error, "the log's verbosity stays as it was");
        }
    }
}
