//! Who may look: a browser that was led here by another site may not, whatever name it was given for this address.

use crate::http::outside::Outside;
use http::{HeaderMap, Method, StatusCode, Uri, header::HOST, header::ORIGIN, uri::Authority};

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Nothing here can be changed.
    #[error("only GET and HEAD are answered here")]
    Method,
    /// DNS rebinding: another site's name may point to this address.
    #[error("\"{}\" is no name under which this may be asked; admin.hosts lists more", Outside::new(.0))]
    Host(String),
    /// A page of another site asks.
    #[error("requests from pages of other sites are not answered")]
    CrossSite,
}

impl Refusal {
    /// Of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite => StatusCode::FORBIDDEN,
        }
    }
}

/// Lets a request in or says why not. An address in `Host` is always good: only a name can be made to point elsewhere.
pub(super) fn admit(method: &Method, uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<(), Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::Method);
    }
    let host = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| headers.get(HOST).map(|host| host.as_bytes()));
    let host = String::from_utf8_lossy(host.unwrap_or_default()).to_ascii_lowercase();
    if !is_known(&host, hosts) {
        return Err(Refusal::Host(host));
    }
    let other_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    let other_origin = headers.get(ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.strip_prefix("http://").map(str::to_ascii_lowercase).as_deref() != Some(&*host)
    });
    if other_site || other_origin {
        return Err(Refusal::CrossSite);
    }
    Ok(())
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || hosts.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        admit(
            &Method::GET,
            &"/metrics".parse().expect("a target"),
            &map,
            &["jobshim.lan".to_owned()],
        )
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_good_and_other_names_are_not() {
        for host in [
            "127.0.0.1:8186",
            "[::1]:8186",
            "10.1.2.3",
            "localhost:8186",
            "LOCALHOST",
            "a.localhost:1",
            "jobshim.lan:8186",
            "Jobshim.LAN",
        ] {
            assert_eq!(admitted(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8186",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notjobshim.lan",
            "jobshim.lan.evil.example",
        ] {
            let refused = admitted(&[("host", host)]);
            assert!(matches!(refused, Err(Refusal::Host(_))), "{host}: {refused:?}");
        }
        assert!(matches!(admitted(&[]), Err(Refusal::Host(_))));
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_people_and_programs_are_not() {
        let with = |name, value| admitted(&[("host", "127.0.0.1:8186"), (name, value)]);
        for (name, value) in [
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://127.0.0.1:8186"),
        ] {
            assert_eq!(with(name, value), Ok(()), "{name}: {value}");
        }
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:8187"),
            ("origin", "null"),
        ] {
            assert_eq!(with(name, value), Err(Refusal::CrossSite), "{name}: {value}");
        }
    }

    #[test]
    fn nothing_can_be_changed() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1".parse().expect("a value"));
        let target = "/metrics".parse().expect("a target");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(admit(&method, &target, &headers, &[]), Err(Refusal::Method), "{method}");
        }
    }
}
