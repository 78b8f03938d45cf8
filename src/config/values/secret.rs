//! Secrets: named by where they are kept, read once, never printed.

use super::invalid_value::InvalidValue;
use crate::config::why_unread::why_unread;
use http::{HeaderName, HeaderValue, Uri};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, fs, path::Path, sync::Arc};

/// A secret's value. It shows itself to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// Stands for a value.
const NOT_SHOWN: &str = "(not shown)";

/// A secret, or none.
pub(crate) fn optional_secret(text: &str, places: Places<'_>) -> Result<Option<Secret>, InvalidValue> {
    match text {
        "" => Ok(None),
        _ => secret(text, places).map(Some),
    }
}

/// The fewest letters of a secret that a key is made of.
const LONG: usize = 32;

/// A secret that nobody can guess, or none.
pub(crate) fn long_secret(text: &str, places: Places<'_>) -> Result<Option<Secret>, InvalidValue> {
    match optional_secret(text, places)? {
        Some(secret) if secret.reveal().len() < LONG => {
            Err(format!("{LONG} letters are expected at least, such as those of: openssl rand -hex 32").into())
        }
        secret => Ok(secret),
    }
}

/// Where secrets are kept.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Looks an environment variable up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What came through pipes.
    pub pipes: &'a Pipes,
}

/// What was read of pipes, by their paths: they are empty the second time, and a reader may wait for ever. A clone has the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipes(Arc<Mutex<HashMap<String, Secret>>>);

impl Pipes {
    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// What a file says, or has said if it cannot be read again.
    fn read(&self, path: &str) -> Result<String, InvalidValue> {
        let known = self.0.lock().get(path).cloned();
        if let Some(Secret(text)) = known
            && !Path::new(path).is_file()
        {
            return Ok(text);
        }
        let is_pipe = is_read_once(Path::new(path));
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {}", why_unread(&error)))?;
        if is_pipe {
            self.0.lock().insert(path.to_owned(), Secret(text.clone()));
        }
        Ok(text)
    }
}

/// Whether what was read of a file is gone from it, as of a pipe.
pub fn is_read_once(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file())
}

/// Reads a secret: `env:NAME`, `file:PATH`, or the value itself.
fn secret(text: &str, places: Places<'_>) -> Result<Secret, InvalidValue> {
    let value = if let Some(name) = text.strip_prefix("env:") {
        (places.environment)(name).ok_or_else(|| format!("the environment has no variable {name}"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        places.pipes.read(path)?
    } else {
        text.to_owned()
    };
    // A file ends with a line break that nobody means.
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err("it is empty".into());
    }
    Ok(Secret(value.to_owned()))
}

/// A secret as it may be shown: a reference as written, a value not at all.
pub(crate) fn shown(text: &str) -> &str {
    match text.split_once(':') {
        _ if text.is_empty() => text,
        Some(("env" | "file", _)) => text,
        _ => NOT_SHOWN,
    }
}

/// A URL as it may be shown: without user and password, which are all that stands before an `@` where there is no sound
/// host in front of it, and without what a query says.
pub fn shown_url(text: &str) -> String {
    let is_plain =
        |url: &Uri| url.query().is_none() && url.authority().is_some_and(|host| !host.as_str().contains('@'));
    if !text.contains(['@', '?']) || text.parse().is_ok_and(|url| is_plain(&url)) {
        return text.replace('\n', "; ");
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (rest, query) = match rest.split_once('?') {
        // A password may hold one.
        Some((host, query)) if !query.contains('@') => match query.split_once('=') {
            Some((name, _)) => (host, format!("?{name}={NOT_SHOWN}")),
            None => (host, format!("?{query}")),
        },
        _ => (rest, String::new()),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{NOT_SHOWN}@{host}{query}"),
        None => format!("{scheme}{rest}{query}"),
    }
}

/// A table of headers as it may be shown: each name, and its value as [`shown`]. What is no name may be a key.
pub(crate) fn shown_headers(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once('=') {
        Some((name, value)) if name.trim().parse::<HeaderName>().is_ok() => {
            format!("{}={}", name.trim(), shown(value.trim()))
        }
        _ => NOT_SHOWN.to_owned(),
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// What a connection or a message is made of, and so not for a table of added headers.
const NOT_ADDED: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
];

/// Headers to add, one `Name=SECRET` a line.
pub(crate) fn headers(text: &str, places: Places<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, InvalidValue> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let expected = "NAME=env:VARIABLE, NAME=file:PATH or NAME=VALUE is expected, one a line";
            let (name, reference) = line.split_once('=').ok_or(expected)?;
            // What is no name is not shown: it may be the key.
            let header: HeaderName = name
                .trim()
                .parse()
                .map_err(|_| format!("there is no header name before the =; {expected}"))?;
            if NOT_ADDED.contains(&header.as_str()) {
                return Err(format!("{header} belongs to the connection and cannot be added").into());
            }
            let value = secret(reference.trim(), places).map_err(|reason| format!("{header}: {reason}"))?;
            let mut value =
                HeaderValue::from_str(value.reveal()).map_err(|_| format!("{header}: it is no header value"))?;
            value.set_sensitive(true);
            Ok((header, value))
        })
        .collect()
}
