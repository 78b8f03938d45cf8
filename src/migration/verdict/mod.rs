//! What there is to say of one legacy route: the same words on the page, in the report, in `/usage` and in `/metrics`.

use super::modes::RollbackRecord;
use crate::{
    config::{Mode, Policy, Share},
    telemetry::{Compared, Field, Found, RecentCalls},
};
use serde::Serialize;
use std::fmt;
use strum::IntoStaticStr;

/// So many jobs must be the same before a route is called ready.
pub const ENOUGH: u64 = 20;
/// The most translations in a hundred that may fail where they are compared.
const MOST_FAILED: u64 = 1;
/// So many requests in a row find no endpoint on the server before it is believed to have none.
const ABSENT: u64 = 3;
/// So many answers must have been noise, and none anything else, before that is said.
const ONLY_NOISE: u64 = 3;
/// After so many days without a call a route is called unused, unless somebody says otherwise.
pub const UNUSED_DAYS: u64 = 30;
/// Fields and clients that are named; the others are counted.
const NAMED: usize = 3;

/// What is known of a route.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Its mode.
    pub policy: &'a Policy,
    /// Whether answers of it can be compared: those of writes cannot.
    pub is_read: bool,
    /// That its canary has gone back.
    pub back: Option<&'a RollbackRecord>,
    /// What comparisons found.
    pub found: Option<&'a Found>,
    /// What became of the latest calls.
    pub recent: RecentCalls,
    /// For how many days nobody has called it, of those that jobshim was there.
    pub quiet_days: u64,
    /// After how many of them it is called unused.
    pub unused_days: u64,
}

/// What there is to say of a route.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// Its calls fail.
    Failing(RecentCalls),
    /// Its canary went back by itself.
    RolledBack {
        /// Why.
        reason: String,
        /// When, in ms since 1970.
        at_ms: u64,
    },
    /// Nobody calls it any more, for so many days.
    Unused(u64),
    /// The server has no endpoint of its own to compare with, and clients get its 404.
    NoEndpoint,
    /// Translations say something else.
    Differs(Differing),
    /// Translations lack what the Jobs API does not carry.
    Loses(Differing),
    /// Its clients are answered, but translations that were to be compared fail: so many of so many.
    CannotTranslate(u64, u64),
    /// So many answers of the server have no ids for their jobs.
    Unpaired(u64),
    /// So many answers were compared, and in all of them the server's own endpoint differs from itself.
    OnlyNoise(u64),
    /// So many jobs were compared, and nothing differs.
    ReadyForCanary(u64),
    /// This share of its clients is answered from the Jobs API.
    Canary(Share),
    /// So many jobs were the same, too few to say anything.
    Watching(u64),
    /// It is answered from the Jobs API.
    Translated,
    /// It is answered by the server's own endpoint, and nothing is compared.
    Forwarded {
        /// Whether it could be: answers of writes cannot.
        is_read: bool,
    },
    /// This share of its requests is answered with 410.
    Gone(Share),
}

/// In how many jobs two answers are not the same, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    jobs: u64,
    of: u64,
    fields: Vec<String>,
    clients: Vec<String>,
}

/// How many of how many.
impl fmt::Display for Differing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {} jobs", self.jobs, self.of)
    }
}

/// A verdict as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct ShownVerdict {
    /// The route.
    pub route: &'static str,
    /// In one word, as `/metrics` has it.
    pub verdict: &'static str,
    /// In a sentence.
    pub words: String,
    /// What to do now.
    pub next_step: &'static str,
    /// Something is wrong.
    pub bad: bool,
    /// When it came about, in ms since 1970, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
}

impl Verdict {
    /// By what is known; what is worse comes first.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let Evidence {
            policy,
            is_read,
            back,
            found,
            recent,
            quiet_days,
            unused_days,
        } = *evidence;
        if let Some(back) = back {
            return Self::RolledBack {
                reason: back.reason.clone(),
                at_ms: back.at_ms,
            };
        }
        if recent.mostly_fails() {
            return Self::Failing(recent);
        }
        if quiet_days >= unused_days {
            return Self::Unused(quiet_days);
        }
        let compares = is_read && (policy.mode == Mode::Shadow || (policy.mode == Mode::Canary && policy.compare));
        let compared = compares.then(|| Self::of_comparisons(found, policy));
        match (compared, policy.mode) {
            (Some(bad), _) if bad.is_bad() => bad,
            (_, Mode::Canary) => Self::Canary(policy.percent),
            (Some(verdict), _) => verdict,
            (None, Mode::Translate) => Self::Translated,
            (None, Mode::Auto) if recent.translated > 0 => Self::Translated,
            (None, Mode::Gone) => Self::Gone(policy.percent),
            (None, _) => Self::Forwarded { is_read },
        }
    }

    fn of_comparisons(found: Option<&Found>, policy: &Policy) -> Self {
        let Some(found) = found else {
            return Self::Watching(0);
        };
        if found.absent >= ABSENT && policy.needs_legacy_endpoint() {
            return Self::NoEndpoint;
        }
        let of = found.jobs.total();
        let (same, failed) = (found.jobs.count(Compared::Same), found.count(Compared::Failed));
        let translations = found.answers() + found.count(Compared::Empty) + failed;
        let differing = |outcome, is_meant: fn(&Field) -> bool| {
            let fields = found.fields.iter().filter(|(_, field)| is_meant(field));
            Differing {
                jobs: found.jobs.count(outcome),
                of,
                fields: fields.map(|(name, _)| name.clone()).collect(),
                clients: found.clients.keys().cloned().collect(),
            }
        };
        if found.jobs.count(Compared::Different) > 0 {
            Self::Differs(differing(Compared::Different, |field| field.differences > 0))
        } else if failed * 100 > translations * MOST_FAILED {
            Self::CannotTranslate(failed, translations)
        } else if found.count(Compared::Unpaired) > 0 {
            Self::Unpaired(found.count(Compared::Unpaired))
        } else if found.jobs.count(Compared::Lost) > 0 {
            Self::Loses(differing(Compared::Lost, |field| field.losses > 0))
        } else if found.count(Compared::Noise) >= ONLY_NOISE && found.count(Compared::Noise) == found.answers() {
            Self::OnlyNoise(found.answers())
        } else if same >= ENOUGH {
            Self::ReadyForCanary(same)
        } else {
            Self::Watching(same)
        }
    }

    /// The word for it.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Whether something is wrong.
    pub fn is_bad(&self) -> bool {
        matches!(
            self,
            Self::Failing(_)
                | Self::RolledBack { .. }
                | Self::NoEndpoint
                | Self::Differs(_)
                | Self::Loses(_)
                | Self::CannotTranslate(..)
                | Self::Unpaired(_)
                | Self::OnlyNoise(_)
        )
    }

    /// What to do now.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Failing(_) => "look at the log for the cause",
            Self::NoEndpoint => "set mode translate",
            Self::RolledBack { .. } => "mend the cause; another mode, or other numbers of the canary, begin it anew",
            Self::Unused(_) => "remove the server's own endpoint; when every route is unused, remove jobshim",
            Self::Differs(_) => "look at the differing answers, then mend the table of this route",
            Self::Loses(_) => "find out whether these clients read these fields; if nobody does, set mode canary",
            Self::CannotTranslate(..) => "look at the log for the cause, before any client is answered so",
            Self::Unpaired(_) => "name the place of the ids as entry_id in the table of this route",
            Self::OnlyNoise(_) => {
                "name the fields that are noise in shadow.ignore, or compare while the server is quiet"
            }
            Self::ReadyForCanary(_) => "set mode canary:5%",
            Self::Canary(share) if *share == Share::ALL => "set mode translate",
            Self::Canary(_) => "raise the canary's share while nothing differs or fails",
            Self::Watching(_) => "wait for more jobs",
            Self::Translated => "move the clients to the Jobs API; the server's own endpoint may go",
            Self::Forwarded { is_read: true } => "set mode shadow, to see whether it can be translated",
            Self::Forwarded { is_read: false } => "set mode translate once the reads are ready",
            Self::Gone(Share::ALL) => "look who still calls it, then remove jobshim",
            Self::Gone(_) => "look who still calls it, then raise the share",
        }
    }

    /// As it is shown of `route`.
    pub fn shown(&self, route: &'static str) -> ShownVerdict {
        ShownVerdict {
            route,
            verdict: self.name(),
            words: self.to_string(),
            next_step: self.next_step(),
            bad: self.is_bad(),
            at_ms: match self {
                Self::RolledBack { at_ms, .. } => Some(*at_ms),
                _ => None,
            },
        }
    }
}

fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED).map(|name| match name.as_str() {
        "" => "(no user agent)",
        name => name,
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing(RecentCalls { calls, failed, .. }) => {
                write!(out, "failing: {failed} of the last {calls} calls")
            }
            Self::RolledBack { reason, .. } => write!(out, "rolled back: {reason}"),
            Self::Unused(days) => write!(
                out,
                "unused for {days} days: safe to remove, the server's own endpoint and jobshim for it"
            ),
            Self::NoEndpoint => write!(
                out,
                "nothing to compare with: the server has no endpoint of its own, and clients get its 404"
            ),
            Self::Differs(found) => write!(
                out,
                "differs: {found}, in {}; seen by {}",
                some(&found.fields),
                some(&found.clients)
            ),
            Self::Loses(found) => write!(
                out,
                "loses {} in {found}, which the Jobs API does not carry; ready, if nobody reads that: seen by {}",
                some(&found.fields),
                some(&found.clients)
            ),
            Self::CannotTranslate(failed, of) => {
                write!(
                    out,
                    "cannot be translated: {failed} of {of} translations beside the answers failed"
                )
            }
            Self::Unpaired(answers) => write!(
                out,
                "cannot be compared: the jobs in {answers} answers of the server have no ids, so nobody knows whether they differ"
            ),
            Self::OnlyNoise(answers) => write!(
                out,
                "cannot be compared: in all {answers} compared answers the server's own endpoint differs from itself, so \
                 nobody knows whether translations do"
            ),
            Self::ReadyForCanary(jobs) => write!(
                out,
                "ready for canary: {jobs} compared jobs are the same, and none differs"
            ),
            Self::Canary(share) => write!(out, "canary at {share}"),
            Self::Watching(jobs) => write!(out, "watching: {jobs} of {ENOUGH} jobs compared"),
            Self::Translated => write!(out, "translated: the server's own endpoint is not asked any more"),
            Self::Forwarded { is_read: true } => write!(out, "forwarded, and not compared"),
            Self::Forwarded { is_read: false } => write!(out, "forwarded: answers of writes are not compared"),
            Self::Gone(Share::ALL) => write!(out, "gone: answered with 410"),
            Self::Gone(share) => write!(
                out,
                "gone for {share} of the requests: answered with 410, the others from the Jobs API"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
