//! Which requests are legacy ones: path and method to [`LegacyRoute`].

use http::Method;
use memchr::memchr;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, sync::Arc};

/// One legacy endpoint that is answered from the Jobs API (docs/contract.md section 1).
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    pub const ALL: [Self; 8] = [
        Self::History,
        Self::HistoryEntry,
        Self::HistoryV2,
        Self::HistoryV2Entry,
        Self::Queue,
        Self::JobStatus,
        Self::Interrupt,
        Self::JobCancel,
    ];

    /// Whether it can be read: the others only change something.
    pub fn has_reads(self) -> bool {
        !matches!(self, Self::Interrupt | Self::JobCancel)
    }

    /// What it is called in configuration, log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::HistoryEntry => "history_entry",
            Self::HistoryV2 => "history_v2",
            Self::HistoryV2Entry => "history_v2_entry",
            Self::Queue => "queue",
            Self::JobStatus => "job_status",
            Self::Interrupt => "interrupt",
            Self::JobCancel => "job_cancel",
        }
    }
}

impl LegacyRoute {
    /// The endpoint, whatever the id.
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

/// A method that a legacy path does not know: where the server's own endpoint is not asked, it is refused as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongMethod {
    /// Whose mode it goes by.
    pub route: RouteName,
    /// The methods it does know, for `Allow`; `None` where the path looks like nothing that is there: a self-hosted server
    /// looks for a file of its web page then.
    pub allow: Option<&'static str>,
}

/// What a legacy path may be asked.
struct LegacyPath {
    read: Option<LegacyRoute>,
    write: Option<LegacyWrite>,
}

impl LegacyPath {
    fn read(route: LegacyRoute) -> Self {
        Self {
            read: Some(route),
            write: None,
        }
    }

    fn write(write: LegacyWrite) -> Self {
        Self {
            read: None,
            write: Some(write),
        }
    }

    fn wrong_method(&self, method: &Method) -> Option<WrongMethod> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let (route, allow) = match (&self.read, &self.write) {
            (Some(read), Some(_)) => (read.name(), Some("GET, HEAD, OPTIONS, POST")),
            (Some(read), None) => (read.name(), Some("GET, HEAD, OPTIONS")),
            (None, Some(LegacyWrite::Interrupt)) if reads => (RouteName::Interrupt, None),
            (None, Some(write)) => (write.name(), Some("OPTIONS, POST")),
            (None, None) => return None,
        };
        Some(WrongMethod { route, allow })
    }
}

/// Decides by the path as sent; a path that differs in any way from a legacy one passes through.
pub fn route(method: &Method, path: &str) -> Route {
    if method == Method::POST && matches!(path, "/prompt" | "/api/prompt") {
        return Route::Prompt;
    }
    let Some(endpoint) = find(path) else {
        return Route::PassThrough;
    };
    let wrong_method = endpoint.wrong_method(method);
    let way = match *method {
        Method::GET | Method::HEAD => endpoint.read.map(Route::Legacy),
        Method::POST => endpoint.write.map(Route::Write),
        // The upstream answers CORS preflights.
        Method::OPTIONS => Some(Route::PassThrough),
        _ => None,
    };
    way.or(wrong_method.map(Route::WrongMethod))
        .unwrap_or(Route::PassThrough)
}

fn find(path: &str) -> Option<LegacyPath> {
    let (api, rest) = match path.strip_prefix("/api/") {
        Some(rest) => (true, rest),
        None => (false, path.strip_prefix('/')?),
    };
    let (first, rest) = cut(rest);
    let (second, third) = rest.map_or((None, None), |rest| {
        let (second, third) = cut(rest);
        (Some(second), third)
    });
    Some(match (api, first, second, third) {
        (_, "history", None, None) => LegacyPath {
            read: Some(LegacyRoute::History),
            write: Some(LegacyWrite::History),
        },
        (_, "history", Some(id), None) => LegacyPath::read(LegacyRoute::HistoryOne(job_id(id)?.into())),
        (_, "queue", None, None) => LegacyPath {
            read: Some(LegacyRoute::Queue { api }),
            write: Some(LegacyWrite::Queue { api }),
        },
        (_, "interrupt", None, None) => LegacyPath::write(LegacyWrite::Interrupt),
        (true, "history_v2", None, None) => LegacyPath::read(LegacyRoute::HistoryV2),
        (true, "history_v2", Some(id), None) => LegacyPath::read(LegacyRoute::HistoryV2One(job_id(id)?.into())),
        (true, "job", Some(id), Some("status")) => LegacyPath::read(LegacyRoute::JobStatus(job_id(id)?.into())),
        (true, "job", Some(id), Some("cancel")) => LegacyPath::write(LegacyWrite::JobCancel(job_id(id)?.into())),
        _ => return None,
    })
}

/// The first segment, and what follows it.
fn cut(path: &str) -> (&str, Option<&str>) {
    // Every request goes through here: `str::split` takes ten times as long.
    let cut = memchr(b'/', path.as_bytes()).and_then(|at| path.split_at_checked(at));
    cut.map_or((path, None), |(first, rest)| (first, rest.strip_prefix('/')))
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
