//! `[notices]`

use crate::config::{
    key::{Key, Section},
    values,
};

section! {
    /// What legacy answers tell clients, in headers.
    NOTICES: NoticesSettings => NoticesConfig, "notices", "Notices to clients";

    /// Header Deprecation of legacy answers: since when, as 2025-12-01 or a Unix time; off for none
    ///
    /// See RFC 9745. The default is the month in which ComfyUI got the Jobs API.
    deprecation: Option<u64> = values::day_or_off {
        flag: "--deprecation", value: "DAY", variable: "JOBSHIM_DEPRECATION", default: "2025-12-01", live: true,
    }

    /// Header Sunset of legacy answers: when the legacy endpoints end
    ///
    /// See RFC 8594.
    sunset: Option<u64> = values::day_or_off {
        flag: "--sunset", value: "DAY", variable: "JOBSHIM_SUNSET", default: "off", live: true,
    }

    /// Header Link of legacy answers: the Jobs API's URL for the same
    ///
    /// Its rel is "successor-version".
    successor: bool = values::flag {
        flag: "--successor", value: "true|false", variable: "JOBSHIM_SUCCESSOR", default: "true", live: true,
    }

    /// Header Link of legacy answers: a page that tells how to move to the Jobs API
    ///
    /// Its rel is "deprecation". The body of a 410 names the page, too.
    guide: Option<http::Uri> = values::optional_link {
        flag: "--guide", value: "URL", variable: "JOBSHIM_GUIDE", default: "", live: true,
    }

    /// Header Jobshim-Job-State of an empty /history/ID: pending, in_progress or unknown
    job_state: bool = values::flag {
        flag: "--job-state", value: "true|false", variable: "JOBSHIM_JOB_STATE", default: "true", live: true,
    }
}
