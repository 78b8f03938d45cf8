//! The mistakes that people make most, told from each other: what an error or a refusal means, and what to do about it.

use crate::{marks::Marks, origin::SEC_FETCH_SITE, pool::LineError};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{HOST, ORIGIN},
};
use rustls::CertificateError;
use std::{
    collections::BTreeMap,
    error::Error,
    io,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the same advice is logged: clients poll.
const ADVICE_PAUSE: Duration = Duration::from_secs(60);

/// Why the upstream gave no answer, as far as the error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing listens there.
    Refused,
    /// The name does not resolve.
    NoSuchName,
    /// Its certificate is signed by nobody we trust.
    Untrusted,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate is out of date, or not yet valid.
    OutOfDate,
    /// Its certificate is bad in another way, or TLS could not be agreed on.
    BadTls,
    /// It was asked through TLS and does not speak it.
    NotTls,
    /// What it says is not HTTP.
    NotHttp,
    /// It ended the connection without an answer, or in the middle of one.
    Closed,
    /// Anything else.
    Other,
}

impl Cause {
    /// Reads it from an error and what caused that.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        sources(error).find_map(one).unwrap_or(Self::Other)
    }

    /// The error type of RFC 9209 section 2.3.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::NoSuchName => "dns_error",
            Self::Untrusted | Self::WrongName | Self::OutOfDate => "tls_certificate_error",
            Self::BadTls | Self::NotTls => "tls_protocol_error",
            Self::NotHttp => "http_protocol_error",
            Self::Closed => "connection_terminated",
            Self::Other => "destination_unavailable",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Refused => {
                "nothing listens there: is the server running, and is the port in upstream.url right? ComfyUI's is 8188 \
                 unless --port says otherwise"
            }
            Self::NoSuchName => {
                "the name in upstream.url does not resolve: is it spelt right? Inside a container it must be a name that \
                 the container's network knows, such as the service's"
            }
            Self::Untrusted => {
                "nobody trusted signed the server's certificate: give the certificate of its issuer in upstream.ca_file"
            }
            Self::WrongName => "the server's certificate is for another name: write that name in upstream.url",
            Self::OutOfDate => "the server's certificate is out of date: renew it, or set this machine's clock",
            Self::BadTls => "TLS with the server failed: its certificate or its TLS settings are at fault",
            Self::NotTls => "the server does not speak TLS: write http:// in upstream.url instead of https://",
            Self::NotHttp => {
                "what answers there does not speak HTTP: if it speaks https, write https:// in upstream.url; else the \
                 port is wrong"
            }
            Self::Closed => {
                "the server's own log may say why; if it speaks https, write https:// in upstream.url instead of http://"
            }
            Self::Other => "is the server running, and is upstream.url right? Its own log may say more",
        }
    }
}

fn one(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources.
        if let Some(inner) = error.get_ref() {
            let inner: &(dyn Error + 'static) = inner;
            return sources(inner).find_map(one);
        }
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Some(Cause::Closed)
            }
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidMessage(_) => Cause::NotTls,
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Cause::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Cause::WrongName,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Cause::OutOfDate,
                _ => Cause::BadTls,
            },
            _ => Cause::BadTls,
        });
    }
    match error.downcast_ref::<LineError>() {
        Some(LineError::NotHttp(_)) => return Some(Cause::NotHttp),
        Some(LineError::Closed) => return Some(Cause::Closed),
        _ => {}
    }
    // The connector's error has no type of its own that could be asked.
    error.to_string().starts_with("dns error").then_some(Cause::NoSuchName)
}

/// The error and what caused it, outermost first.
pub fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// What of a request ComfyUI decides by whether to refuse it (CONTRACT.md section 6).
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `Host` and `Origin`, where there are both.
    sites: Option<(HeaderValue, HeaderValue)>,
    /// `Sec-Fetch-Site` says `cross-site`.
    cross_site: bool,
}

impl Asked {
    /// Takes it from the headers, and their marks, as the client sent them.
    pub fn of(marks: Marks, headers: &HeaderMap) -> Self {
        let value = |mark, name| marks.has(mark).then(|| headers.get(name)).flatten();
        let origin = value(Marks::ORIGIN, ORIGIN);
        Self {
            sites: origin.and_then(|origin| Some((headers.get(HOST)?.clone(), origin.clone()))),
            cross_site: value(Marks::FETCH_SITE, SEC_FETCH_SITE).is_some_and(|site| site == "cross-site"),
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
pub fn refusal(status: StatusCode, asked: &Asked, cloud: bool) -> Option<&'static str> {
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
pub struct Adviser(Mutex<BTreeMap<String, Instant>>);

impl Adviser {
    /// Whether `advice` is due.
    fn is_due(&self, advice: &str) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn asked(headers: &[(&'static str, &'static str)]) -> Asked {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = headers.collect();
        Asked::of(Marks::of(&headers), &headers)
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
        let adviser = Adviser::default();
        assert!(adviser.is_due("a"));
        assert!(!adviser.is_due("a"));
        assert!(adviser.is_due("b"));
    }
}
