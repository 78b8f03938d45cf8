//! Who is let in: with an access token configured, whoever shows it. It is ours, and goes no further.

use crate::{
    auth::scope::{ScopeKey, bearer, token_value},
    config::Secret,
    http::header_flags::API_KEY,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, REFERER},
    request,
    uri::{Parts, PathAndQuery},
};
use memchr::memmem;
use percent_encoding::percent_decode_str;

/// The token that lets a request in, if one is configured.
#[derive(Clone)]
pub struct Access(Option<Secret>);

impl Access {
    /// `None` lets everyone in.
    pub fn new(token: Option<Secret>) -> Self {
        Self(token)
    }

    /// Whether a request may come in: as `Authorization: Bearer`, as `X-API-Key`, or as `?token=`, which is all that a
    /// WebSocket of a browser can send. What would let it in is taken out wherever it stands, so that the server never
    /// sees it.
    pub fn admits(&self, head: &mut request::Parts, key: &ScopeKey) -> bool {
        let (headers, uri) = (&mut head.headers, &mut head.uri);
        let Some(token) = &self.0 else {
            return true;
        };
        let token = token.reveal();
        let fits = |shown: &[u8]| key.same(token.as_bytes(), shown);
        let by_bearer = |value: &HeaderValue| bearer(value).is_some_and(fits);
        let by_key = |value: &HeaderValue| fits(value.as_bytes());
        let is_shown = |value: &str| readings(value).any(|value| fits(&value));
        let query = uri.query().unwrap_or_default();
        let admitted = headers.get_all(AUTHORIZATION).iter().any(by_bearer)
            || headers.get_all(API_KEY).iter().any(by_key)
            || query.split('&').filter_map(token_value).any(is_shown);
        if !admitted {
            return false;
        }
        for name in [AUTHORIZATION, API_KEY] {
            retain(headers, &name, |value| !by_bearer(value) && !by_key(value));
        }
        clean_referer(headers, token);
        // Under whichever name.
        let is_clean = |parameter: &&str| !parameter.split_once('=').is_some_and(|(_, value)| is_shown(value));
        if !query.split('&').all(|parameter| is_clean(&parameter)) {
            let kept: Vec<&str> = query.split('&').filter(is_clean).collect();
            match with_query(uri, &kept.join("&")) {
                Some(without) => *uri = without,
                None => return false,
            }
        }
        true
    }
}

/// What servers may read in a part of a query: some take a plus for a blank.
fn readings(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let plus = text.contains('+').then(|| text.replace('+', " "));
    let read = |text: &str| percent_decode_str(text).collect();
    [Some(read(text)), plus.as_deref().map(read)].into_iter().flatten()
}

/// Leaves the values of `name` that are to stay.
fn retain(headers: &mut HeaderMap, name: &HeaderName, stays: impl Fn(&HeaderValue) -> bool) {
    if headers.get_all(name).iter().all(&stays) {
        return;
    }
    let values = headers.get_all(name).iter();
    let kept: Vec<HeaderValue> = values.filter(|value| stays(value)).cloned().collect();
    headers.remove(name);
    for value in kept {
        headers.append(name, value);
    }
}

/// A page that was opened with the token in its address names that address in `Referer`. Its query goes as a whole, and
/// all of it where that is not enough: no server needs it.
fn clean_referer(headers: &mut HeaderMap, token: &str) {
    let holds = |text: &str| readings(text).any(|text| memmem::find(&text, token.as_bytes()).is_some());
    let is_clean = |value: &HeaderValue| value.to_str().is_ok_and(|text| !holds(text));
    if headers.get_all(REFERER).iter().all(is_clean) {
        return;
    }
    let page = headers.get(REFERER).and_then(|value| value.to_str().ok());
    let page = page.and_then(|text| text.split(['?', '#']).next());
    let page = page.filter(|page| !holds(page)).and_then(|page| page.parse().ok());
    match page {
        Some(page) => drop(headers.insert(REFERER, page)),
        None => drop(headers.remove(REFERER)),
    }
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let target = match query.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{query}", uri.path()),
    };
    let mut parts: Parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options, settings::LISTEN};
    use http::{HeaderMap, Request};

    fn access() -> Access {
        let options = Options::default().with(&LISTEN.access_token.key, "s3cret value");
        Access::new(
            config::load(&options, |_| None)
                .expect("a configuration")
                .config
                .listen
                .access_token,
        )
    }

    fn shown(headers: &[(&'static str, &str)], target: &str) -> (bool, HeaderMap, String) {
        let (mut head, ()) = Request::get(target).body(()).expect("a request").into_parts();
        for (name, value) in headers {
            head.headers.append(*name, value.parse().expect("a value"));
        }
        let admitted = access().admits(&mut head, &ScopeKey::new(&[7; 32]));
        (admitted, head.headers, head.uri.to_string())
    }

    #[test]
    fn the_token_opens_in_each_of_its_three_ways_and_goes_no_further() {
        for (headers, target) in [
            (&[("authorization", "Bearer s3cret value")][..], "/queue"),
            (&[("authorization", "bearer s3cret value")], "/queue"),
            (&[("x-api-key", "s3cret value")], "/queue"),
            (&[], "/queue?token=s3cret%20value"),
        ] {
            let (admitted, left, uri) = shown(headers, target);
            assert!(admitted, "{headers:?} {target}");
            assert!(left.is_empty() && uri == "/queue", "{left:?} {uri}");
        }
        let (_, _, uri) = shown(&[], "/ws?clientId=a%20b&token=s3cret%20value&x");
        assert_eq!(uri, "/ws?clientId=a%20b&x");
    }

    #[test]
    fn the_token_goes_no_further_from_wherever_else_it_stands() {
        let open = ("authorization", "Bearer s3cret value");
        for (headers, target, left, uri) in [
            (&[][..], "/q?%74oken=s3cret%20value", &[][..], "/q"),
            (&[], "/q?token=s3cret%20value&a=b&tok%65n=s3cret%20value", &[], "/q?a=b"),
            (&[], "/q?token=s3cret+value&key=s3cret%20value", &[], "/q"),
            (&[open], "/q?token=s3cret%20value", &[], "/q"),
            (&[open], "/q?token=own", &[], "/q?token=own"),
            (
                &[open, ("x-api-key", "s3cret value"), ("x-api-key", "own")],
                "/q",
                &[("x-api-key", "own")],
                "/q",
            ),
            (
                &[("authorization", "Bearer own"), open],
                "/q",
                &[("authorization", "Bearer own")],
                "/q",
            ),
            (
                &[open, ("referer", "http://a/?x=1&%74oken=s3cret%20value#x")],
                "/q",
                &[("referer", "http://a/")],
                "/q",
            ),
            (
                &[open, ("referer", "http://a/?x;token=s3cret+value")],
                "/q",
                &[("referer", "http://a/")],
                "/q",
            ),
            (&[open, ("referer", "http://a/s3cret%20value/?x=1")], "/q", &[], "/q"),
            (
                &[open, ("referer", "http://a/?x=1")],
                "/q",
                &[("referer", "http://a/?x=1")],
                "/q",
            ),
        ] {
            let (admitted, map, found) = shown(headers, target);
            assert!(admitted, "{headers:?} {target}");
            let map: Vec<(&str, &str)> = map
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
                .collect();
            assert_eq!((map.as_slice(), found.as_str()), (left, uri), "{headers:?} {target}");
        }
    }

    #[test]
    fn nothing_else_opens_and_other_credentials_stay() {
        for (headers, target) in [
            (&[][..], "/queue"),
            (&[("authorization", "s3cret value")], "/queue"),
            (&[("authorization", "Basic s3cret value")], "/queue"),
            (&[("x-api-key", "s3cret")], "/queue?token=wrong"),
            (&[("cookie", "token=s3cret value")], "/queue"),
        ] {
            assert!(!shown(headers, target).0, "{headers:?} {target}");
        }
        let (admitted, left, _) = shown(&[("authorization", "Bearer s3cret value"), ("x-api-key", "own")], "/");
        assert!(admitted);
        assert_eq!(left["x-api-key"], "own");
    }
}
