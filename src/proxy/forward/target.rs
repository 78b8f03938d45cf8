//! Where a request goes on the server: prefix, sort words and the socket's key, as the dialect's table says.

use crate::{
    jobs_api::{DialectKind, Jobs, SocketNames},
    mapping::dialect::Dialect,
    upstream::Upstream,
};
use http::{HeaderMap, HeaderValue, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

/// The target, path and query, under which the upstream knows what the client asks for at `uri`.
pub fn target<'a>(
    uri: &'a Uri,
    headers: &HeaderMap,
    jobs: &Jobs,
    upstream: &Upstream,
    kind: Option<DialectKind>,
) -> Cow<'a, str> {
    let Some(kind) = kind else {
        return as_sent(uri);
    };
    let dialect = jobs.names(kind);
    let key = |socket: &SocketNames| headers.get(&socket.header).or_else(|| upstream.header(&socket.header));
    in_dialect(
        uri,
        dialect,
        &jobs.dialects(),
        dialect.names.socket.as_ref().and_then(key),
    )
}

fn as_sent(uri: &Uri) -> Cow<'_, str> {
    Cow::Borrowed(uri.path_and_query().map_or("/", |target| target.as_str()))
}

/// The target of `uri` as a server of `dialect` knows it; `known` are all dialects, whose words a client may use, and
/// `key` what it may have to show for a WebSocket. What the tables do not speak of stays as it was sent, to the byte.
pub fn in_dialect<'a>(uri: &'a Uri, dialect: &Dialect, known: &[&Dialect], key: Option<&HeaderValue>) -> Cow<'a, str> {
    let mut target = prefixed(as_sent(uri), uri.path(), dialect);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let list = &dialect.names.list;
    if path == list.path
        && let Some(query) = query
        && let Some(query) = sorted(query, dialect, known)
    {
        target = Cow::Owned(format!("{path}?{query}"));
    } else if let Some(socket) = &dialect.names.socket
        && path == socket.path
        && !query.is_some_and(|query| has_parameter(query, &socket.token))
        && let Some(key) = key
        && let Ok(key) = key.to_str()
    {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        let separator = if query.is_some() { '&' } else { '?' };
        target = Cow::Owned(format!("{target}{separator}{}={key}", socket.token));
    }
    target
}

/// The target with the prefix that this server's paths have.
fn prefixed<'a>(sent: Cow<'a, str>, path: &str, dialect: &Dialect) -> Cow<'a, str> {
    let Some(rules) = &dialect.names.paths else {
        return sent;
    };
    let below = path.strip_prefix(rules.prefix.as_str());
    let has_it = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if has_it || rules.except.iter().any(|except| except == path) {
        return sent;
    }
    Cow::Owned(format!("{}{sent}", rules.prefix))
}

/// The query with another dialect's sort word in the words of `dialect`; `None` when there is nothing to translate.
fn sorted(query: &str, dialect: &Dialect, known: &[&Dialect]) -> Option<String> {
    let own = &dialect.names.list.sort_words;
    let translated = |word: &str| {
        known.iter().find_map(|other| {
            let words = &other.names.list.sort_words;
            match word {
                word if word == words.creation => Some(own.creation.as_str()),
                word if word == words.duration => Some(own.duration.as_str()),
                _ => None,
            }
        })
    };
    let mut changed = false;
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, word)) if name == dialect.names.list.sort => match translated(word) {
            Some(own) if own != word => {
                changed = true;
                Cow::Owned(format!("{name}={own}"))
            }
            _ => Cow::Borrowed(parameter),
        },
        _ => Cow::Borrowed(parameter),
    });
    let query = parameters.collect::<Vec<_>>().join("&");
    changed.then_some(query)
}

fn has_parameter(query: &str, name: &str) -> bool {
    query
        .split('&')
        .any(|parameter| parameter.split_once('=').map_or(parameter, |(name, _)| name) == name)
}
