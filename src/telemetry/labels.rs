//! The words that requests and calls are counted under. Each set is closed: no id, no path, no user agent is a label.

use crate::config;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The mode under which a request was answered; `Pass` where modes do not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The first digit of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StatusClass {
    /// The client went away before there was an answer.
    None,
    /// 1xx: an upgrade.
    #[strum(serialize = "1xx")]
    Informational,
    /// 2xx
    #[strum(serialize = "2xx")]
    Success,
    /// 3xx
    #[strum(serialize = "3xx")]
    Redirection,
    /// 4xx
    #[strum(serialize = "4xx")]
    ClientError,
    /// 5xx and what is none of HTTP's.
    #[strum(serialize = "5xx")]
    ServerError,
}

impl StatusClass {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;

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
        self.into()
    }
}

/// What the upstream is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
    #[strum(serialize = "legacy_upstream")]
    Elsewhere,
}

impl Call {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Why a call to the upstream has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Whether an answer was in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum CacheResult {
    /// It was.
    Hit,
    /// It was not.
    Miss,
}

impl CacheResult {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How a shadow comparison came out; what is worse is greater, up to [`Compared::Different`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Compared {
    /// There was nothing in them that could differ, such as an empty list.
    Empty,
    /// Both answers say the same.
    Same,
    /// They do not, but the legacy endpoint differs from itself in the same way.
    Noise,
    /// They do, but for what the Jobs API does not carry.
    Lost,
    /// They do not.
    Different,
    /// The translation has no answer to compare.
    Failed,
    /// It was not made, so as not to hurt.
    Dropped,
    /// The server has no such endpoint: there was no answer to compare with.
    Absent,
    /// The entries of the legacy answer have no ids: nothing says which is compared with which.
    Unpaired,
}

impl Compared {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, fmt::Debug};

    #[test]
    fn no_set_has_a_word_twice() {
        fn check<T: Copy + Debug + Into<&'static str>>(all: &[T]) {
            let words: HashSet<&str> = all.iter().map(|&one| one.into()).collect();
            assert_eq!(words.len(), all.len(), "{all:?}");
        }
        check(Mode::ALL);
        check(Source::ALL);
        check(StatusClass::ALL);
        check(Call::ALL);
        check(Failure::ALL);
        check(Compared::ALL);
        check(CacheResult::ALL);
    }
}
