//! `[legacy]`

use crate::config::{
    key::{Key, Kind, Section},
    values,
};
use std::time::Duration;

section! {
    /// How legacy calls are answered.
    LEGACY: LegacySettings => LegacyConfig, "legacy", "Legacy endpoints";

    /// Which items /api/queue shows: auto is the dialect's, comfyui, or cloud
    ///
    /// Those of /queue are always self-hosted ones.
    surface: values::Surface = values::surface {
        flag: "--surface", value: "WORD", variable: "JOBSHIM_SURFACE", default: "auto", live: true,
        words: &["auto", "comfyui", "cloud"],
    }

    /// Ids of jobs that are no UUIDs: auto submits them under one where the server refuses them, any always, off never
    ///
    /// Servers since 0.25 take lowercase UUIDs alone. A job with another id is submitted under a UUID that is made from the
    /// client's credentials and that id, and its client is told of it by that id alone.
    ids: values::Ids = values::ids {
        flag: "--ids", value: "WORD", variable: "JOBSHIM_IDS", default: "auto", words: &["auto", "any", "off"],
    }

    /// How legacy calls are answered: translate, forward, shadow, canary:PERCENT, auto, or gone[:PERCENT]
    ///
    /// translate: from the Jobs API. forward: by the server's own legacy endpoints. shadow: the same, and the translated
    /// answers are compared with theirs. canary:30: from the Jobs API for 30 % of clients, each of which stays on its side.
    /// auto: from the Jobs API, and by the legacy endpoints while the server has none. gone: by nobody, 410; gone:5: 410 to
    /// 5 % of requests.
    mode: values::Policy = values::policy {
        flag: "--mode", value: "MODE", variable: "JOBSHIM_MODE", default: "translate", live: true, common: true,
        words: &["translate", "forward", "shadow", "canary:", "auto", "gone", "gone:"],
    }

    /// Another mode for one route, such as history=canary:30; may be repeated
    ///
    /// The routes are history, history_entry, history_v2, history_v2_entry, queue, job_status, interrupt and job_cancel. The
    /// variable takes several with ";" between them. A canary with rollback forwards its route once too many answers differ
    /// or fail, and stays so until its mode, one of the numbers or a table changes.
    ///
    /// ```toml
    /// queue = "shadow"
    /// history = { mode = "canary", percent = 30, compare = true, rollback = { differences = "1%", failures = "1%" } }
    /// # the same as "canary:30,compare,rollback.differences=1%,rollback.failures=1%"
    /// ```
    routes: values::RoutePolicies = values::routes {
        flag: "--route", value: "ROUTE=MODE", variable: "JOBSHIM_ROUTES", default: "", kind: Kind::Tables, live: true,
        common: true,
    }

    /// Where forwarded legacy calls go, when it is not --upstream
    ///
    /// That is the old server, while the new one is brought up. It does not get upstream.headers.
    upstream: Option<http::Uri> = values::optional_url {
        flag: "--legacy-upstream", value: "URL", variable: "JOBSHIM_LEGACY_UPSTREAM", default: "",
    }

    /// How long mode auto forwards before it asks again whether the server has the Jobs API
    ask_again: Duration = values::duration {
        flag: "--ask-again", value: "TIME", variable: "JOBSHIM_ASK_AGAIN", default: "1m", live: true,
    }

    /// The largest body of a legacy write
    max_body: usize = values::size {
        flag: "--legacy-max-body", value: "SIZE", variable: "JOBSHIM_LEGACY_MAX_BODY", default: "1MiB",
    }

    /// The most pages of jobs read for one list
    ///
    /// A longer list is an error.
    max_pages: usize = values::count {
        flag: "--max-pages", value: "N", variable: "JOBSHIM_MAX_PAGES", default: "1000",
    }

    /// The most jobs read for one list
    ///
    /// Each takes some 300 bytes while the list is read. A longer list is an error.
    max_jobs: usize = values::count {
        flag: "--max-jobs", value: "N", variable: "JOBSHIM_MAX_JOBS", default: "200000",
    }

    /// Translated answers made at the same time; others wait their turn
    ///
    /// They wait two seconds, and get 503 with Retry-After then.
    max_translations: usize = values::count {
        flag: "--max-translations", value: "N", variable: "JOBSHIM_MAX_TRANSLATIONS", default: "64",
    }

    /// Compress translated answers over 1 KiB for clients that take gzip or zstd
    compress: bool = values::flag {
        flag: "--compress", value: "true|false", variable: "JOBSHIM_COMPRESS", default: "true",
    }
}
