//! Where a request goes on the server: prefix, sort words and the socket's key, as the dialect's table says.

use crate::{
    auth::scope,
    http::via,
    jobs_api::{DialectKind, Jobs, PathRules, SocketNames},
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
    // The configured key is for those who have nothing of their own to show.
    let configured = |socket: &SocketNames| match scope::is_shown(headers, uri) {
        true => None,
        false => upstream.header(&socket.header),
    };
    let key = |socket: &SocketNames| headers.get(&socket.header).or_else(|| configured(socket));
    let dialects = jobs.dialects();
    // Another jobshim uses a server's own words, and asks for others to find out whose this server's are.
    let known = match via::has_any_signed(headers) {
        true => &[],
        false => dialects.as_slice(),
    };
    in_dialect(uri, dialect, known, dialect.names.socket.as_ref().and_then(key))
}

/// Whether what is asked for at `uri` is elsewhere on a server of one dialect than on that of another.
pub fn depends_on_dialect(uri: &Uri, known: &[&Dialect]) -> bool {
    let mut targets = known.iter().map(|dialect| prefixed(as_sent(uri), uri.path(), dialect));
    let first = targets.next();
    targets.any(|target| Some(target) != first)
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
        && !query.is_some_and(|query| parameters(query, &socket.token).any(|token| !token.is_empty()))
        && let Some(key) = key
        && let Ok(key) = key.to_str()
    {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
        // An empty one would be found first.
        let kept = query.into_iter().flat_map(|query| query.split('&'));
        let kept = kept.filter(|parameter| named(parameter).0 != socket.token);
        let query: Vec<Cow<'_, str>> = kept
            .map(Cow::Borrowed)
            .chain([format!("{}={key}", socket.token).into()])
            .collect();
        target = Cow::Owned(format!("{path}?{}", query.join("&")));
    }
    target
}

/// The target where this server has it: with the prefix that its paths have, or at the root, or under another name.
fn prefixed<'a>(sent: Cow<'a, str>, path: &str, dialect: &Dialect) -> Cow<'a, str> {
    let Some(rules) = &dialect.names.paths else {
        return sent;
    };
    let below = path
        .strip_prefix(rules.prefix.as_str())
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let bare = below.unwrap_or(path);
    let query = || sent.get(path.len()..).unwrap_or_default();
    if let Some((elsewhere, rest)) = moved(bare, rules) {
        return Cow::Owned(format!("{}{elsewhere}{rest}{}", rules.prefix, query()));
    }
    let is_at_root = rules.except.iter().any(|except| except == bare);
    match (below, is_at_root) {
        // The prefix alone is a place of its own.
        (Some("" | "/"), _) | (Some(_), false) | (None, true) => sent,
        (Some(_), true) => Cow::Owned(format!("{bare}{}", query())),
        (None, false) => Cow::Owned(format!("{}{sent}", rules.prefix)),
    }
}

/// What a path that is elsewhere on this server begins with there, and the rest of it.
fn moved<'a>(bare: &'a str, rules: &'a PathRules) -> Option<(&'a str, &'a str)> {
    rules.moved.iter().find_map(|(from, to)| {
        let rest = bare.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some((to.as_str(), rest))
    })
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

fn named(parameter: &str) -> (&str, &str) {
    parameter.split_once('=').unwrap_or((parameter, ""))
}

/// The values of the parameters of this name.
fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let parameters = query.split('&').map(named);
    parameters
        .filter(move |(known, _)| *known == name)
        .map(|(_, value)| value)
}
