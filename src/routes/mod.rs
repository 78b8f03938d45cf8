//! Which requests are legacy ones: path and method to [`Route`], by the table of endpoints.

mod endpoints;
mod shown_path;

pub use endpoints::{Calls, ENDPOINTS, Endpoint, EndpointRow, PathPattern};
pub use shown_path::shown_path;

use http::Method;
use memchr::memchr;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, sync::Arc};
use strum::VariantArray;

/// One legacy endpoint that is answered from the Jobs API (docs/contract.md section 1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LegacyRoute {
    /// `GET /history`
    History,
    /// `GET /history/{id}`
    HistoryOne(Arc<str>),
    /// `GET /api/history_v2`
    HistoryV2,
    /// `GET /api/history_v2/{id}`
    HistoryV2One(Arc<str>),
    /// `GET /queue`; `api` when the path begins with `/api`, where the surface decides on the items.
    Queue {
        /// Whether the path begins with `/api`.
        api: bool,
    },
    /// `GET /api/job/{id}/status`
    JobStatus(Arc<str>),
}

/// One legacy endpoint that changes something (docs/contract.md section 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LegacyWrite {
    /// `POST /queue`
    Queue {
        /// Whether the path begins with `/api`.
        api: bool,
    },
    /// `POST /history`
    History,
    /// `POST /interrupt`
    Interrupt,
    /// `POST /api/job/{id}/cancel`
    JobCancel(Arc<str>),
}

/// A legacy endpoint without its ids and methods: what modes, counts and reports go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray)]
pub enum RouteName {
    /// `/history`
    History,
    /// `/history/{id}`
    HistoryEntry,
    /// `/api/history_v2`
    HistoryV2,
    /// `/api/history_v2/{id}`
    HistoryV2Entry,
    /// `/queue`
    Queue,
    /// `/api/job/{id}/status`
    JobStatus,
    /// `/interrupt`
    Interrupt,
    /// `/api/job/{id}/cancel`
    JobCancel,
}

impl RouteName {
    /// Every route there is.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Whether it can be read: the others only change something.
    pub fn has_reads(self) -> bool {
        !matches!(self, Self::Interrupt | Self::JobCancel)
    }

    /// What it is called in configuration, log and metrics.
    pub fn as_str(self) -> &'static str {
        let row = ENDPOINTS.iter().find(|row| row.mode == Some(self));
        row.map_or("", |row| row.label)
    }
}

impl LegacyRoute {
    /// The endpoint, whatever the id.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::History => Endpoint::History,
            Self::HistoryOne(_) => Endpoint::HistoryEntry,
            Self::HistoryV2 => Endpoint::HistoryV2,
            Self::HistoryV2One(_) => Endpoint::HistoryV2Entry,
            Self::Queue { .. } => Endpoint::Queue,
            Self::JobStatus(_) => Endpoint::JobStatus,
        }
    }

    /// The job that it asks for by its id.
    pub fn id(&self) -> Option<&Arc<str>> {
        match self {
            Self::HistoryOne(id) | Self::HistoryV2One(id) | Self::JobStatus(id) => Some(id),
            Self::History | Self::HistoryV2 | Self::Queue { .. } => None,
        }
    }

    /// Whose mode it goes by.
    pub fn name(&self) -> RouteName {
        match self {
            Self::History => RouteName::History,
            Self::HistoryOne(_) => RouteName::HistoryEntry,
            Self::HistoryV2 => RouteName::HistoryV2,
            Self::HistoryV2One(_) => RouteName::HistoryV2Entry,
            Self::Queue { .. } => RouteName::Queue,
            Self::JobStatus(_) => RouteName::JobStatus,
        }
    }
}

impl LegacyWrite {
    /// The endpoint, whatever the id.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Queue { .. } => Endpoint::QueueWrite,
            Self::History => Endpoint::HistoryWrite,
            Self::Interrupt => Endpoint::Interrupt,
            Self::JobCancel(_) => Endpoint::JobCancel,
        }
    }

    /// The job that it is about, where its path says so.
    pub fn id(&self) -> Option<&Arc<str>> {
        match self {
            Self::JobCancel(id) => Some(id),
            Self::Queue { .. } | Self::History | Self::Interrupt => None,
        }
    }

    /// Whose mode it goes by.
    pub fn name(&self) -> RouteName {
        match self {
            Self::Queue { .. } => RouteName::Queue,
            Self::History => RouteName::History,
            Self::Interrupt => RouteName::Interrupt,
            Self::JobCancel(_) => RouteName::JobCancel,
        }
    }
}

/// Which way a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A read, translated.
    Legacy(LegacyRoute),
    /// A write, translated.
    Write(LegacyWrite),
    /// `POST /prompt`: passes through, and is noted.
    Prompt,
    /// A legacy path that does not know this method.
    WrongMethod(WrongMethod),
    /// Everything else.
    PassThrough,
}

impl Route {
    /// What a request of this way is counted as.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Legacy(route) => route.endpoint(),
            Self::Write(write) => write.endpoint(),
            Self::Prompt => Endpoint::Prompt,
            Self::WrongMethod(_) => Endpoint::WrongMethod,
            Self::PassThrough => Endpoint::Other,
        }
    }
}

/// A method that a legacy path does not know: where the server's own endpoint is not asked, it is refused as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongMethod {
    /// Whose mode it goes by.
    pub route: RouteName,
    /// The methods it does know, for `Allow`; `None` where the path looks like nothing that is there: a self-hosted server
    /// looks for a file of its web page then.
    pub allow: Option<&'static str>,
}

/// Decides by the path as sent; a path that differs in any way from a legacy one passes through.
pub fn route(method: &Method, path: &str) -> Route {
    let (under_api, rest) = match path.strip_prefix("/api") {
        Some(rest) if rest.starts_with('/') => (true, rest),
        _ => (false, path),
    };
    let (mut read, mut write, mut segment) = (None, None, None);
    for row in &ENDPOINTS {
        let Some((asked, pattern)) = &row.request else {
            continue;
        };
        let Some(id) = pattern.matches(under_api, rest) else {
            continue;
        };
        segment = id;
        match asked {
            endpoints::Method::Read => read = Some(row.endpoint),
            endpoints::Method::Write => write = Some(row.endpoint),
        }
    }
    if read.is_none() && write.is_none() {
        return Route::PassThrough;
    }
    let id = match segment.map(job_id) {
        Some(None) => return Route::PassThrough,
        id => id.flatten(),
    };
    let asked = match *method {
        Method::GET | Method::HEAD => read,
        Method::POST => write,
        // The upstream answers CORS preflights.
        Method::OPTIONS => return Route::PassThrough,
        _ => None,
    };
    match asked {
        Some(endpoint) => to(endpoint, under_api, id.as_deref().unwrap_or_default()),
        None => wrong_method(method, read, write).map_or(Route::PassThrough, Route::WrongMethod),
    }
}

/// The way to an endpoint.
fn to(endpoint: Endpoint, api: bool, id: &str) -> Route {
    match endpoint {
        Endpoint::History => Route::Legacy(LegacyRoute::History),
        Endpoint::HistoryEntry => Route::Legacy(LegacyRoute::HistoryOne(id.into())),
        Endpoint::Queue => Route::Legacy(LegacyRoute::Queue { api }),
        Endpoint::HistoryV2 => Route::Legacy(LegacyRoute::HistoryV2),
        Endpoint::HistoryV2Entry => Route::Legacy(LegacyRoute::HistoryV2One(id.into())),
        Endpoint::JobStatus => Route::Legacy(LegacyRoute::JobStatus(id.into())),
        Endpoint::QueueWrite => Route::Write(LegacyWrite::Queue { api }),
        Endpoint::HistoryWrite => Route::Write(LegacyWrite::History),
        Endpoint::Interrupt => Route::Write(LegacyWrite::Interrupt),
        Endpoint::JobCancel => Route::Write(LegacyWrite::JobCancel(id.into())),
        Endpoint::Prompt => Route::Prompt,
        Endpoint::WrongMethod | Endpoint::Other => Route::PassThrough,
    }
}

/// What is said of a method that a path with these endpoints does not know.
fn wrong_method(method: &Method, read: Option<Endpoint>, write: Option<Endpoint>) -> Option<WrongMethod> {
    let allow = match (read, write) {
        (Some(_), Some(_)) => Some("GET, HEAD, OPTIONS, POST"),
        (Some(_), None) => Some("GET, HEAD, OPTIONS"),
        // A self-hosted server looks for a file of its web page.
        (None, Some(Endpoint::Interrupt)) if matches!(*method, Method::GET | Method::HEAD) => None,
        (None, _) => Some("OPTIONS, POST"),
    };
    let route = read.or(write)?.mode_of()?;
    Some(WrongMethod { route, allow })
}

/// An id is one path segment, decoded here and encoded again when it is sent. An empty one, or one that is not
/// UTF-8, is no id.
fn job_id(segment: &str) -> Option<Cow<'_, str>> {
    let id = match memchr(b'%', segment.as_bytes()) {
        Some(_) => percent_decode_str(segment).decode_utf8().ok()?,
        None => segment.into(),
    };
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy(path: &str) -> Route {
        route(&Method::GET, path)
    }

    #[test]
    fn self_hosted_paths_exist_with_and_without_api() {
        for prefix in ["", "/api"] {
            assert_eq!(
                legacy(&format!("{prefix}/history")),
                Route::Legacy(LegacyRoute::History)
            );
            let one = Route::Legacy(LegacyRoute::HistoryOne("a b".into()));
            assert_eq!(legacy(&format!("{prefix}/history/a%20b")), one);
            let queue = Route::Legacy(LegacyRoute::Queue {
                api: !prefix.is_empty(),
            });
            assert_eq!(legacy(&format!("{prefix}/queue")), queue);
        }
    }

    #[test]
    fn cloud_paths_exist_under_api_only() {
        assert_eq!(legacy("/api/history_v2"), Route::Legacy(LegacyRoute::HistoryV2));
        assert_eq!(
            legacy("/api/job/x/status"),
            Route::Legacy(LegacyRoute::JobStatus("x".into()))
        );
        for path in ["/history_v2", "/history_v2/x", "/job/x/status"] {
            assert_eq!(legacy(path), Route::PassThrough, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_a_legacy_path_passes_through() {
        for path in [
            "/",
            "/history/",
            "/History",
            "/history/a/b",
            "//history",
            "/api/jobs",
            "/api",
            "/queue/x",
            "*",
        ] {
            assert_eq!(legacy(path), Route::PassThrough, "{path}");
        }
    }

    #[test]
    fn writes_are_routed_preflights_pass_and_other_methods_are_refused() {
        for (path, write) in [
            ("/queue", LegacyWrite::Queue { api: false }),
            ("/api/queue", LegacyWrite::Queue { api: true }),
            ("/history", LegacyWrite::History),
            ("/api/history", LegacyWrite::History),
            ("/interrupt", LegacyWrite::Interrupt),
            ("/api/interrupt", LegacyWrite::Interrupt),
            ("/api/job/x%20y/cancel", LegacyWrite::JobCancel("x y".into())),
        ] {
            assert_eq!(route(&Method::POST, path), Route::Write(write), "{path}");
        }
        assert_eq!(route(&Method::POST, "/job/x/cancel"), Route::PassThrough);
        assert_eq!(route(&Method::POST, "/api/prompt"), Route::Prompt);
        assert_eq!(route(&Method::GET, "/prompt"), Route::PassThrough);
        assert_eq!(route(&Method::OPTIONS, "/history/x"), Route::PassThrough);
        for (method, path, name, allow) in [
            (
                Method::DELETE,
                "/history",
                RouteName::History,
                Some("GET, HEAD, OPTIONS, POST"),
            ),
            (
                Method::POST,
                "/history/x",
                RouteName::HistoryEntry,
                Some("GET, HEAD, OPTIONS"),
            ),
            (Method::PUT, "/interrupt", RouteName::Interrupt, Some("OPTIONS, POST")),
            (Method::GET, "/interrupt", RouteName::Interrupt, None),
            (Method::HEAD, "/api/interrupt", RouteName::Interrupt, None),
            (
                Method::GET,
                "/api/job/x/cancel",
                RouteName::JobCancel,
                Some("OPTIONS, POST"),
            ),
        ] {
            let expected = Route::WrongMethod(WrongMethod { route: name, allow });
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}
