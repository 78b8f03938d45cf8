//! The words that requests and calls are counted under. Each set is closed: no id, no path, no user agent is a label.

use crate::config;
use http::StatusCode;

/// The mode under which a request was answered; `Pass` where modes do not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not a legacy route: passed through.
    Pass,
    /// Answered from the Jobs API.
    Translate,
    /// Answered by the server's own legacy endpoint.
    Forward,
    /// Forwarded, and compared with the translation.
    Shadow,
    /// One of the two, by client.
    Canary,
    /// Translated unless the server cannot.
    Auto,
    /// No longer answered.
    Gone,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Translate,
        Self::Forward,
        Self::Shadow,
        Self::Canary,
        Self::Auto,
        Self::Gone,
    ];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Translate => "translate",
            Self::Forward => "forward",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Auto => "auto",
            Self::Gone => "gone",
        }
    }
}

impl From<config::Mode> for Mode {
    fn from(mode: config::Mode) -> Self {
        match mode {
            config::Mode::Translate => Self::Translate,
            config::Mode::Forward => Self::Forward,
            config::Mode::Shadow => Self::Shadow,
            config::Mode::Canary => Self::Canary,
            config::Mode::Auto => Self::Auto,
            config::Mode::Gone => Self::Gone,
        }
    }
}

/// Where an answer came from: under `canary` and `auto` the mode does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Made from the Jobs API.
    JobsApi,
    /// The upstream's own answer to the same request.
    Upstream,
    /// jobshim itself: a refusal, or a request that was never answered.
    Jobshim,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::JobsApi, Self::Upstream, Self::Jobshim];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::JobsApi => "jobs_api",
            Self::Upstream => "upstream",
            Self::Jobshim => "jobshim",
        }
    }
}

/// The first digit of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// The client went away before there was an answer.
    None,
    /// 1xx: an upgrade.
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirection,
    /// 4xx
    ClientError,
    /// 5xx and what is none of HTTP's.
    ServerError,
}

impl StatusClass {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    /// The class of an answer's status.
    pub fn of(status: Option<StatusCode>) -> Self {
        match status.map(|status| status.as_u16() / 100) {
            None => Self::None,
            Some(1) => Self::Informational,
            Some(2) => Self::Success,
            Some(3) => Self::Redirection,
            Some(4) => Self::ClientError,
            Some(_) => Self::ServerError,
        }
    }

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// What the upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A page of `GET /api/jobs`.
    List,
    /// `GET /api/jobs/{id}`
    Detail,
    /// A cancel.
    Cancel,
    /// A node class.
    Class,
    /// Which dialect it speaks, or whether it is there.
    Probe,
    /// What a client sent, passed on.
    Pass,
    /// A legacy call, passed on to `legacy.upstream`.
    Elsewhere,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::List,
        Self::Detail,
        Self::Cancel,
        Self::Class,
        Self::Probe,
        Self::Pass,
        Self::Elsewhere,
    ];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Detail => "detail",
            Self::Cancel => "cancel",
            Self::Class => "class",
            Self::Probe => "probe",
            Self::Pass => "pass",
            Self::Elsewhere => "legacy_upstream",
        }
    }
}

/// Why a call to the upstream has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection.
    Connect,
    /// Too slow.
    Timeout,
    /// Broken off, or not HTTP.
    Interrupted,
    /// Larger than is read.
    TooLarge,
    /// No room for it beside all others.
    NoRoom,
    /// Whoever wanted the answer went away, or the client's body ended early.
    Abandoned,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Timeout,
        Self::Interrupted,
        Self::TooLarge,
        Self::NoRoom,
        Self::Abandoned,
    ];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
            Self::TooLarge => "too_large",
            Self::NoRoom => "no_room",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Whether an answer was in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// It was.
    Hit,
    /// It was not.
    Miss,
}

impl CacheResult {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hit, Self::Miss];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// How a shadow comparison came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compared {
    /// Both answers say the same.
    Same,
    /// They do not.
    Different,
    /// They do not, but the legacy endpoint differs from itself in the same way.
    Noise,
    /// The translation has no answer to compare.
    Failed,
    /// It was not made, so as not to hurt.
    Dropped,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Same, Self::Different, Self::Noise, Self::Failed, Self::Dropped];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Noise => "noise",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_list_is_in_the_order_of_its_numbers_and_has_no_name_twice() {
        fn check<T: Copy>(all: &[T], number: fn(T) -> usize, name: fn(T) -> &'static str) {
            for (place, &one) in all.iter().enumerate() {
                assert_eq!(number(one), place, "{}", name(one));
            }
            let names: HashSet<_> = all.iter().map(|&one| name(one)).collect();
            assert_eq!(names.len(), all.len());
        }
        check(&Mode::ALL, |one| one as usize, Mode::name);
        check(&Source::ALL, |one| one as usize, Source::name);
        check(&StatusClass::ALL, |one| one as usize, StatusClass::name);
        check(&Call::ALL, |one| one as usize, Call::name);
        check(&Failure::ALL, |one| one as usize, Failure::name);
        check(&Compared::ALL, |one| one as usize, Compared::name);
        check(&CacheResult::ALL, |one| one as usize, CacheResult::name);
    }
}
