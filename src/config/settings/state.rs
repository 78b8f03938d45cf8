//! `[state]`

use crate::config::{
    key::{Key, Section},
    values,
};
use std::time::Duration;

section! {
    /// What must outlive a request, a restart, or the one jobshim of several that was told of it.
    STATE: StateSettings => StateSection, "state", "State";

    /// Where deleted jobs, rollbacks and callers are kept: memory, a folder for one jobshim, or a Valkey or Redis for many
    ///
    /// Such as /var/lib/jobshim, valkey://10.0.0.5:6379/0, valkeys://user@host with TLS, valkey-sentinel://one,two/name-of-the-primary
    /// or valkey-cluster://one,two,three; redis and rediss are the same. In the file, state = "..." is short for it.
    store: values::StatePlace = values::state {
        flag: "--state", value: "PLACE", variable: "JOBSHIM_STATE", default: "memory", common: true,
    }

    /// The password of a Valkey, which its URL does not hold; env:NAME or file:PATH says where it is kept
    password: Option<values::Secret> = values::optional_secret(places) {
        flag: "--state-password", value: "SECRET", variable: "JOBSHIM_STATE_PASSWORD", default: "",
    }

    /// PEM certificates by which the Valkey is trusted, in place of the system's
    ca_file: Option<std::path::PathBuf> = values::optional_file {
        flag: "--state-ca-file", value: "FILE", variable: "JOBSHIM_STATE_CA_FILE", default: "",
    }

    /// How long one call to a Valkey may take
    timeout: Duration = values::duration {
        flag: "--state-timeout", value: "TIME", variable: "JOBSHIM_STATE_TIMEOUT", default: "1s",
    }

    /// How long answers go on by what is known while a Valkey does not answer
    ///
    /// After that they are 503: a job that was deleted through another jobshim is not shown. Writes that must be kept are 503 at
    /// once.
    max_stale: Duration = values::duration_or_none {
        flag: "--state-max-stale", value: "TIME", variable: "JOBSHIM_STATE_MAX_STALE", default: "1m",
    }

    /// A secret by which all values in the store are encrypted, 32 letters at least; env:NAME or file:PATH says where it is kept
    ///
    /// A store that was begun without it, or with another, is refused.
    key: Option<values::Secret> = values::long_secret(places) {
        flag: "--state-key", value: "SECRET", variable: "JOBSHIM_STATE_KEY", default: "",
    }
}
