//! Which requests are legacy ones: path and method to [`LegacyRoute`].

use http::Method;
use percent_encoding::percent_decode_str;

/// One legacy endpoint that is answered from the Jobs API (CONTRACT.md section 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegacyRoute {
    /// `GET /history`
    History,
    /// `GET /history/{id}`
    HistoryOne(String),
    /// `GET /api/history_v2`
    HistoryV2,
    /// `GET /api/history_v2/{id}`
    HistoryV2One(String),
    /// `GET /queue`; `api` when the path begins with `/api`, where the surface decides on the items.
    Queue {
        /// Whether the path begins with `/api`.
        api: bool,
    },
    /// `GET /api/job/{id}/status`
    JobStatus(String),
}

/// Which way a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Translated.
    Legacy(LegacyRoute),
    /// A legacy path that does not know this method; the methods it does know, for `Allow`.
    WrongMethod(&'static str),
    /// Everything else.
    PassThrough,
}

/// What a legacy path may be asked. OPTIONS is the upstream's: it answers CORS preflights.
struct Methods {
    reads: bool,
    writes: bool,
}

impl Methods {
    const READ: Self = Self {
        reads: true,
        writes: false,
    };
    const WRITE: Self = Self {
        reads: false,
        writes: true,
    };
    const BOTH: Self = Self {
        reads: true,
        writes: true,
    };

    fn allow(&self) -> &'static str {
        match (self.reads, self.writes) {
            (true, true) => "GET, HEAD, OPTIONS, POST",
            (true, false) => "GET, HEAD, OPTIONS",
            (false, _) => "OPTIONS, POST",
        }
    }
}

/// Decides by the path as sent; a path that differs in any way from a legacy one passes through.
pub fn route(method: &Method, path: &str) -> Way {
    let Some((route, methods)) = find(path) else {
        return Way::PassThrough;
    };
    match (method, route) {
        (&Method::GET | &Method::HEAD, Some(route)) if methods.reads => Way::Legacy(route),
        (&Method::POST, _) if methods.writes => Way::PassThrough,
        (&Method::OPTIONS, _) => Way::PassThrough,
        _ => Way::WrongMethod(methods.allow()),
    }
}

fn find(path: &str) -> Option<(Option<LegacyRoute>, Methods)> {
    let (api, rest) = match path.strip_prefix("/api/") {
        Some(rest) => (true, rest),
        None => (false, path.strip_prefix('/')?),
    };
    let segments: Vec<&str> = rest.split('/').collect();
    let found = match (api, segments.as_slice()) {
        (_, ["history"]) => (Some(LegacyRoute::History), Methods::BOTH),
        (_, ["history", id]) => (Some(LegacyRoute::HistoryOne(job_id(id)?)), Methods::READ),
        (_, ["queue"]) => (Some(LegacyRoute::Queue { api }), Methods::BOTH),
        (_, ["interrupt"]) => (None, Methods::WRITE),
        (true, ["history_v2"]) => (Some(LegacyRoute::HistoryV2), Methods::READ),
        (true, ["history_v2", id]) => (Some(LegacyRoute::HistoryV2One(job_id(id)?)), Methods::READ),
        (true, ["job", id, "status"]) => (Some(LegacyRoute::JobStatus(job_id(id)?)), Methods::READ),
        (true, ["job", _, "cancel"]) => (None, Methods::WRITE),
        _ => return None,
    };
    Some(found)
}

/// An id is one path segment, decoded here and encoded again when it is sent. An empty one, or one that is not
/// UTF-8, is no id.
fn job_id(segment: &str) -> Option<String> {
    let id = percent_decode_str(segment).decode_utf8().ok()?;
    (!id.is_empty()).then(|| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy(path: &str) -> Way {
        route(&Method::GET, path)
    }

    #[test]
    fn self_hosted_paths_exist_with_and_without_api() {
        for prefix in ["", "/api"] {
            assert_eq!(legacy(&format!("{prefix}/history")), Way::Legacy(LegacyRoute::History));
            let one = Way::Legacy(LegacyRoute::HistoryOne("a b".to_owned()));
            assert_eq!(legacy(&format!("{prefix}/history/a%20b")), one);
            let queue = Way::Legacy(LegacyRoute::Queue {
                api: !prefix.is_empty(),
            });
            assert_eq!(legacy(&format!("{prefix}/queue")), queue);
        }
    }

    #[test]
    fn cloud_paths_exist_under_api_only() {
        assert_eq!(legacy("/api/history_v2"), Way::Legacy(LegacyRoute::HistoryV2));
        assert_eq!(
            legacy("/api/job/x/status"),
            Way::Legacy(LegacyRoute::JobStatus("x".to_owned()))
        );
        for path in ["/history_v2", "/history_v2/x", "/job/x/status"] {
            assert_eq!(legacy(path), Way::PassThrough, "{path}");
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
            assert_eq!(legacy(path), Way::PassThrough, "{path}");
        }
    }

    #[test]
    fn writes_and_preflights_pass_and_other_methods_are_refused() {
        assert_eq!(route(&Method::POST, "/queue"), Way::PassThrough);
        assert_eq!(route(&Method::OPTIONS, "/history/x"), Way::PassThrough);
        assert_eq!(
            route(&Method::DELETE, "/history"),
            Way::WrongMethod("GET, HEAD, OPTIONS, POST")
        );
        assert_eq!(
            route(&Method::POST, "/history/x"),
            Way::WrongMethod("GET, HEAD, OPTIONS")
        );
        assert_eq!(route(&Method::GET, "/interrupt"), Way::WrongMethod("OPTIONS, POST"));
    }
}
