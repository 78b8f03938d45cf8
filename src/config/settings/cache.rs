//! `[cache]`

use crate::config::{
    key::{Key, Section},
    values,
};
use std::time::Duration;

section! {
    /// Entries of finished jobs and items of queued ones are remembered: they do not change. Which jobs there are, and what
    /// state they are in, is asked for each time.
    CACHE: CacheSettings => CacheConfig, "cache", "Memory of entries";

    /// The most memory that remembered entries may take; 0 remembers none
    max_bytes: usize = values::size_or_none {
        flag: "--cache-max-bytes", value: "SIZE", variable: "JOBSHIM_CACHE_MAX_BYTES", default: "128MiB",
    }

    /// How long an entry is remembered before the server is asked again; a list that tells of the same run renews it
    ttl: Duration = values::duration {
        flag: "--cache-ttl", value: "TIME", variable: "JOBSHIM_CACHE_TTL", default: "10m",
    }

    /// How much longer a finished job may be shown while the server cannot be reached; 0s is never
    max_stale: Duration = values::duration_or_none {
        flag: "--cache-max-stale", value: "TIME", variable: "JOBSHIM_CACHE_MAX_STALE", default: "0s",
    }
}
