//! The mistakes that people make most, told from each other: what an error or a refusal means, and what to do about it.

use crate::http::request_head::FlaggedHeaders;
use crate::http::{header_flags::HeaderFlags, origin::SEC_FETCH_SITE};
use http::{
    HeaderValue, StatusCode,
    header::{HOST, ORIGIN},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How often the same advice is logged: clients poll.
const ADVICE_PAUSE: Duration = Duration::from_secs(60);

/// What of a request ComfyUI decides by whether to refuse it (docs/contract.md section 6).
#[derive(Clone, Debug, Default)]
pub struct OriginHeaders {
    /// `Host` and `Origin`, where there are both.
    sites: Option<(HeaderValue, HeaderValue)>,
    /// `Sec-Fetch-Site` says `cross-site`.
    cross_site: bool,
}

impl OriginHeaders {
    /// Takes it from the headers as the client sent them.
    pub fn of(headers: FlaggedHeaders<'_>) -> Self {
        let origin = headers.get(HeaderFlags::ORIGIN, &ORIGIN);
        Self {
            sites: origin.and_then(|origin| Some((headers.all().get(HOST)?.clone(), origin.clone()))),
            cross_site: headers
                .get(HeaderFlags::FETCH_SITE, &SEC_FETCH_SITE)
                .is_some_and(|site| site == "cross-site"),
        }
    }

    /// The public origin behind a loopback `Host`: what is left when a proxy in front rewrites `Host`.
    fn rewritten_host(&self) -> bool {
        let Some((Ok(host), Ok(origin))) = self
            .sites
            .as_ref()
            .map(|(host, origin)| (host.to_str(), origin.to_str()))
        else {
            return false;
        };
        let origin = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        is_loopback(host) && !origin.eq_ignore_ascii_case(host)
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a refusal by the upstream means, for those that people can mend; `cloud` when it is known to be one.
pub fn refusal(status: StatusCode, asked: &OriginHeaders, cloud: bool) -> Option<&'static str> {
    Some(match status.as_u16() {
        401 => {
            "wrong key, or none: the server wants one from the client (X-API-Key or Authorization) or from \
             upstream.headers; this is not jobshim's own access token"
        }
        402 => "the account behind the key has no credits or no subscription left: the server's own pages say which",
        403 if cloud => "not your job: it belongs to another key",
        403 if asked.cross_site => {
            "refused by Sec-Fetch-Site: the browser came from another site, as it does back from a single sign-on page. \
             Load the page again, or let the proxy that does the sign-on take Sec-Fetch-Site away (nginx: \
             proxy_set_header Sec-Fetch-Site \"\")"
        }
        403 if asked.rewritten_host() => {
            "refused by Host: a proxy in front of jobshim writes its own name for it into Host, which then does not match \
             Origin. Let that proxy pass Host on as it came (nginx: proxy_set_header Host $http_host)"
        }
        403 => "refused by Origin, Host or Sec-Fetch-Site, or by a proxy before it",
        413 => {
            "the body is larger than the server takes: raise ComfyUI's --max-upload-size (in MB), or the limit of a proxy \
             before it (nginx: client_max_body_size)"
        }
        429 => "too many requests: ask less often, and wait as long as Retry-After says",
        _ => return None,
    })
}

/// Logs advice, and the same advice not again for a while.
#[derive(Default)]
pub struct RateLimitedLog(Mutex<BTreeMap<String, Instant>>);

impl RateLimitedLog {
    /// Whether `advice` is due.
    fn is_due(&self, advice: &str) -> bool {
        let mut given = self.0.lock();
        given.retain(|_, since| since.elapsed() < ADVICE_PAUSE);
        let due = !given.contains_key(advice);
        if due {
            given.insert(advice.to_owned(), Instant::now());
        }
        due
    }

    /// Warns.
    pub fn say(&self, advice: &str) {
        if self.is_due(advice) {
            tracing::warn!("{advice}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn asked(headers: &[(&'static str, &'static str)]) -> OriginHeaders {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = headers.collect();
        OriginHeaders::of(FlaggedHeaders::scan(&headers))
    }

    #[test]
    fn a_host_is_rewritten_only_when_it_is_loopback_and_the_origin_is_another() {
        for (host, origin, rewritten) in [
            ("127.0.0.1:8187", "https://comfy.example.org", true),
            ("localhost", "http://10.0.0.7", true),
            ("[::1]:8187", "https://comfy.example.org", true),
            ("127.0.0.1:8187", "http://127.0.0.1:8187", false),
            ("comfy.example.org", "https://evil.example.net", false),
        ] {
            let found = asked(&[("host", host), ("origin", origin)]).rewritten_host();
            assert_eq!(found, rewritten, "{host} {origin}");
        }
        assert!(!asked(&[("host", "127.0.0.1")]).rewritten_host());
    }

    #[test]
    fn the_same_advice_is_given_once_in_a_while() {
        let log_hint = RateLimitedLog::default();
        assert!(log_hint.is_due("a"));
        assert!(!log_hint.is_due("a"));
        assert!(log_hint.is_due("b"));
    }
}
