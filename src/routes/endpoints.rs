//! The table of endpoints: what there is to know of each without asking anybody. Routing, metric labels, modes, usage,
//! `explain`, `report` and the documents go by it.

use super::RouteName;

/// Which endpoint a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `GET /history`
    History,
    /// `GET /history/{id}`
    HistoryEntry,
    /// `GET /queue`
    Queue,
    /// `GET /api/history_v2`
    HistoryV2,
    /// `GET /api/history_v2/{id}`
    HistoryV2Entry,
    /// `GET /api/job/{id}/status`
    JobStatus,
    /// `POST /queue`
    QueueWrite,
    /// `POST /history`
    HistoryWrite,
    /// `POST /interrupt`
    Interrupt,
    /// `POST /api/job/{id}/cancel`
    JobCancel,
    /// `POST /prompt`
    Prompt,
    /// A legacy path asked with a method that it does not have.
    WrongMethod,
    /// Everything else.
    Other,
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, and HEAD.
    Read,
    /// POST.
    Write,
}

/// Which calls of the Jobs API answer an endpoint: what it costs the server, and what the server must have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// The list, and the detail of each job that is shown.
    AllJobs,
    /// The same, of what is queued.
    QueuedJobs,
    /// The detail of one job.
    OneJob,
    /// The list of what is queued, and a cancel of many.
    CancelMany,
    /// The list of what is queued, and a cancel of one.
    CancelRunning,
    /// A cancel of one.
    CancelOne,
    /// The list: there is no call that makes a server forget jobs, so they are hidden.
    Hide,
}

/// The paths of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct PathPattern {
    /// Whether it exists only under `/api`; the others exist with and without.
    pub only_under_api: bool,
    /// What stands before the id, after `/api` where that is there; the whole path where there is no id.
    pub before: &'static str,
    /// What stands after the id; `None` where there is no id.
    pub after: Option<&'static str>,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRow {
    /// Which.
    pub endpoint: Endpoint,
    /// What metrics, log and findings call it.
    pub label: &'static str,
    /// What people call it.
    pub shown: &'static str,
    /// How it is asked, and where; `None` for what may be anything.
    pub request: Option<(Method, PathPattern)>,
    /// Whose mode it goes by; `None` for what is no legacy endpoint.
    pub mode: Option<RouteName>,
    /// Which calls answer it from the Jobs API; `None` for what is no legacy endpoint.
    pub calls: Option<Calls>,
    /// Whether its answers need the descriptions of node classes, too.
    pub classes: bool,
}

/// A path with and without `/api`.
const fn both(before: &'static str, after: Option<&'static str>) -> PathPattern {
    PathPattern {
        only_under_api: false,
        before,
        after,
    }
}

/// A path under `/api` alone.
const fn api(before: &'static str, after: Option<&'static str>) -> PathPattern {
    PathPattern {
        only_under_api: true,
        before,
        after,
    }
}

/// Every endpoint, in the order of [`Endpoint`]: those of the legacy surface come first.
pub const ENDPOINTS: [EndpointRow; 13] = [
    EndpointRow {
        endpoint: Endpoint::History,
        label: "history",
        shown: "GET /history",
        request: Some((Method::Read, both("/history", None))),
        mode: Some(RouteName::History),
        calls: Some(Calls::AllJobs),
        classes: true,
    },
    EndpointRow {
        endpoint: Endpoint::HistoryEntry,
        label: "history_entry",
        shown: "GET /history/{id}",
        request: Some((Method::Read, both("/history/", Some("")))),
        mode: Some(RouteName::HistoryEntry),
        calls: Some(Calls::OneJob),
        classes: true,
    },
    EndpointRow {
        endpoint: Endpoint::Queue,
        label: "queue",
        shown: "GET /queue",
        request: Some((Method::Read, both("/queue", None))),
        mode: Some(RouteName::Queue),
        calls: Some(Calls::QueuedJobs),
        classes: true,
    },
    EndpointRow {
        endpoint: Endpoint::HistoryV2,
        label: "history_v2",
        shown: "GET /api/history_v2",
        request: Some((Method::Read, api("/history_v2", None))),
        mode: Some(RouteName::HistoryV2),
        calls: Some(Calls::AllJobs),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::HistoryV2Entry,
        label: "history_v2_entry",
        shown: "GET /api/history_v2/{id}",
        request: Some((Method::Read, api("/history_v2/", Some("")))),
        mode: Some(RouteName::HistoryV2Entry),
        calls: Some(Calls::OneJob),
        classes: true,
    },
    EndpointRow {
        endpoint: Endpoint::JobStatus,
        label: "job_status",
        shown: "GET /api/job/{id}/status",
        request: Some((Method::Read, api("/job/", Some("/status")))),
        mode: Some(RouteName::JobStatus),
        calls: Some(Calls::OneJob),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::QueueWrite,
        label: "queue_write",
        shown: "POST /queue",
        request: Some((Method::Write, both("/queue", None))),
        mode: Some(RouteName::Queue),
        calls: Some(Calls::CancelMany),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::HistoryWrite,
        label: "history_write",
        shown: "POST /history",
        request: Some((Method::Write, both("/history", None))),
        mode: Some(RouteName::History),
        calls: Some(Calls::Hide),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::Interrupt,
        label: "interrupt",
        shown: "POST /interrupt",
        request: Some((Method::Write, both("/interrupt", None))),
        mode: Some(RouteName::Interrupt),
        calls: Some(Calls::CancelRunning),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::JobCancel,
        label: "job_cancel",
        shown: "POST /api/job/{id}/cancel",
        request: Some((Method::Write, api("/job/", Some("/cancel")))),
        mode: Some(RouteName::JobCancel),
        calls: Some(Calls::CancelOne),
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::Prompt,
        label: "prompt",
        shown: "POST /prompt",
        request: Some((Method::Write, both("/prompt", None))),
        mode: None,
        calls: None,
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::WrongMethod,
        label: "wrong_method",
        shown: "wrong method",
        request: None,
        mode: None,
        calls: None,
        classes: false,
    },
    EndpointRow {
        endpoint: Endpoint::Other,
        label: "other",
        shown: "everything else",
        request: None,
        mode: None,
        calls: None,
        classes: false,
    },
];

impl Endpoint {
    /// All of them; those of the legacy surface first.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub const ALL: [Self; ENDPOINTS.len()] = {
        let mut all = [Self::Other; ENDPOINTS.len()];
        let mut place = 0;
        while place < all.len() {
            all[place] = ENDPOINTS[place].endpoint;
            place += 1;
        }
        all
    };
    /// How many of [`Endpoint::ALL`] are the legacy surface.
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    pub const LEGACY: usize = {
        let mut legacy = 0;
        while ENDPOINTS[legacy].mode.is_some() {
            legacy += 1;
        }
        legacy
    };

    /// Its row of the table.
    pub fn row(self) -> &'static EndpointRow {
        // The table has a row for each, in their order: a test says so.
        ENDPOINTS.get(self as usize).unwrap_or(&ENDPOINTS[0])
    }

    /// The label.
    pub fn name(self) -> &'static str {
        self.row().label
    }

    /// What people call it.
    pub fn shown(self) -> &'static str {
        self.row().shown
    }

    /// Its path, with names in the place of ids; `None` where paths may be anything.
    pub fn template(self) -> Option<&'static str> {
        self.row().request?;
        self.shown().split_once(' ').map(|(_, path)| path)
    }

    /// Whose mode it goes by; `None` for what is no legacy endpoint.
    pub fn mode_of(self) -> Option<RouteName> {
        self.row().mode
    }

    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        let request = &self.row().request;
        request.as_ref().is_some_and(|(method, _)| *method == Method::Read)
    }

    /// Whether it is an endpoint of the legacy surface.
    pub fn is_legacy(self) -> bool {
        self.mode_of().is_some()
    }
}

impl PathPattern {
    /// Whether `path`, which follows `/api` if `under_api`, is one of these, and the id in it, as it was sent.
    pub fn matches<'a>(&self, under_api: bool, path: &'a str) -> Option<Option<&'a str>> {
        let rest = path.strip_prefix(self.before)?;
        if self.only_under_api && !under_api {
            return None;
        }
        match self.after {
            None => rest.is_empty().then_some(None),
            Some(after) => {
                let id = rest.strip_suffix(after)?;
                (!id.is_empty() && !id.contains('/')).then_some(Some(id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_endpoint_in_their_order() {
        for (place, row) in ENDPOINTS.iter().enumerate() {
            assert_eq!(row.endpoint as usize, place, "{}", row.label);
        }
        assert_eq!(Endpoint::Other as usize + 1, ENDPOINTS.len());
        assert_eq!(Endpoint::LEGACY, 10);
    }

    #[test]
    fn what_people_call_an_endpoint_is_how_it_is_asked() {
        for row in ENDPOINTS {
            let Some((method, path)) = row.request else {
                continue;
            };
            let method = match method {
                Method::Read => "GET",
                Method::Write => "POST",
            };
            let prefix = if path.only_under_api { "/api" } else { "" };
            let id = path.after.map(|after| format!("{{id}}{after}")).unwrap_or_default();
            assert_eq!(row.shown, format!("{method} {prefix}{}{id}", path.before));
        }
    }
}
