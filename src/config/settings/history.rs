//! `[history]`

use crate::config::{
    key::{Key, Section},
    values,
};
use std::time::Duration;

section! {
    /// Which jobs a history is made of.
    HISTORY: HistorySettings => HistoryConfig, "history", "History";

    /// The longest that a job may take from its creation to its end: how far back a short history looks
    ///
    /// A short history (max_items) asks for the newest created jobs and stops where no older one can have ended later.
    longest_job: Duration = values::duration {
        flag: "--longest-job", value: "TIME", variable: "JOBSHIM_LONGEST_JOB", default: "24h",
    }

    /// The most memory that deleted and cleared jobs may take; further ones are refused, and none is shown again
    ///
    /// They are kept here as the server has no POST /history: some 100 bytes a deleted job, some 400 a user. What is refused
    /// gets 507.
    max_hidden: usize = values::size {
        flag: "--max-hidden", value: "SIZE", variable: "JOBSHIM_MAX_HIDDEN", default: "64MiB",
    }

    /// Hide deleted and cleared jobs in answers of the Jobs API as well, for the client that deleted them
    ///
    /// Current web interfaces list by those answers. The numbers of a page (total, offset) stay the server's.
    hide_in_jobs_api: bool = values::flag {
        flag: "--hide-in-jobs-api", value: "true|false", variable: "JOBSHIM_HIDE_IN_JOBS_API", default: "true",
    }

    /// Keep finished jobs answerable after their server has lost them, within these limits: 30d, 10000 jobs, 2GiB
    ///
    /// A ComfyUI forgets its history with each restart. Kept jobs are where the state is (state.store), and what is not named is
    /// 10000 jobs and 2GiB at most. Jobs that were submitted through jobshim and are lost before they end become errors that say
    /// so.
    keep: Option<values::KeepLimits> = values::keep {
        flag: "--keep-history", value: "LIMITS", variable: "JOBSHIM_KEEP_HISTORY", default: "off",
    }

    /// How long a job that has not ended may be missing on its server until it is said to be lost
    lost_after: Duration = values::duration {
        flag: "--lost-after", value: "TIME", variable: "JOBSHIM_LOST_AFTER", default: "1m",
    }
}
