//! Who is let in: with an access token configured, whoever shows it. It is ours, and goes no further.

use crate::{
    config::Secret,
    scope::{API_KEY, ScopeKey, TOKEN, bearer},
};
use http::{
    HeaderMap, Uri,
    header::AUTHORIZATION,
    uri::{Parts, PathAndQuery},
};
use percent_encoding::percent_decode_str;

/// The token that opens the door, if there is a door.
#[derive(Clone)]
pub struct Access(Option<Secret>);

impl Access {
    /// `None` lets everyone in.
    pub fn new(token: Option<Secret>) -> Self {
        Self(token)
    }

    /// Whether a request may come in: as `Authorization: Bearer`, as `X-API-Key`, or as `?token=`, which is all that a
    /// WebSocket of a browser can send. What opened the door is taken out, so that the server never sees it.
    pub fn admits(&self, headers: &mut HeaderMap, uri: &mut Uri, key: &ScopeKey) -> bool {
        let Some(token) = &self.0 else {
            return true;
        };
        let fits = |shown: &[u8]| key.same(token.reveal().as_bytes(), shown);
        let by_bearer = headers.get(AUTHORIZATION).and_then(bearer).is_some_and(fits);
        let by_key = headers.get(API_KEY).is_some_and(|value| fits(value.as_bytes()));
        let by_parameter = |parameter: &str| {
            let value = parameter.strip_prefix(TOKEN).map(percent_decode_str);
            value.is_some_and(|value| fits(&value.collect::<Vec<u8>>()))
        };
        let query = uri.query().unwrap_or_default();
        let by_query = query.split('&').any(by_parameter);
        if by_bearer {
            headers.remove(AUTHORIZATION);
        }
        if by_key {
            headers.remove(API_KEY);
        }
        if by_query {
            let kept: Vec<&str> = query.split('&').filter(|parameter| !by_parameter(parameter)).collect();
            match with_query(uri, &kept.join("&")) {
                Some(without) => *uri = without,
                None => return false,
            }
        }
        by_bearer || by_key || by_query
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
    use crate::config;

    fn access() -> Access {
        let options = crate::cli::Options::default().with("listen.access_token", "s3cret value");
        Access::new(
            config::load(&options, |_| None)
                .expect("a configuration")
                .config
                .access_token,
        )
    }

    fn shown(headers: &[(&'static str, &str)], target: &str) -> (bool, HeaderMap, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        let mut uri: Uri = target.parse().expect("a target");
        let admitted = access().admits(&mut map, &mut uri, &ScopeKey::new(&[7; 32]));
        (admitted, map, uri.to_string())
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
