//! What becomes of each legacy route before a server that was examined, in the mode that is configured for it.

use super::{Examination, Found, Queued};
use crate::{
    config::{Config, Mode, StatePlace},
    jobs_api::DialectKind,
    mapping::dialect::Dialect,
    routes::{Calls, ENDPOINTS, EndpointRow, RouteName},
};
use std::fmt;

/// What becomes of a route, in words.
pub(super) enum Outcome {
    /// It has an answer.
    Answered(String),
    /// It has none, as was configured.
    Gone(String),
    /// It has none.
    None(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Answered(text) | Self::Gone(text) | Self::None(text)) = self;
        out.write_str(text)
    }
}

/// Each legacy route.
pub(super) fn routes(
    config: &Config,
    dialect: &Dialect,
    kind: DialectKind,
    found: &Examination,
) -> Vec<(&'static str, Outcome)> {
    let translations = Translations {
        config,
        dialect,
        kind,
        found,
    };
    let routes = ENDPOINTS.iter().filter_map(|row| {
        let outcome = translations.outcome(row, row.mode?, row.calls?);
        Some((row.shown, outcome))
    });
    routes.collect()
}

struct Translations<'a> {
    config: &'a Config,
    dialect: &'a Dialect,
    kind: DialectKind,
    found: &'a Examination,
}

impl Translations<'_> {
    fn outcome(&self, row: &EndpointRow, route: RouteName, calls: Calls) -> Outcome {
        let policy = self.config.legacy.policy(route);
        let meaning = || policy.meaning(route, self.config.legacy_url());
        if policy.needs_legacy_endpoint() {
            let is_the_clouds = row.request.as_ref().is_some_and(|(_, path)| path.only_under_api);
            if is_the_clouds && self.kind == DialectKind::Comfyui && self.config.legacy.upstream.is_none() {
                return Outcome::Answered(
                    "404, as without jobshim: no ComfyUI has this endpoint of the cloud's".to_owned(),
                );
            }
            return match (policy.mode, self.found.own_reads) {
                (_, Some(false)) => Outcome::None(format!(
                    "404: mode {} asks the server's own endpoint, and it has none",
                    <&str>::from(policy.mode)
                )),
                (Mode::Canary, _) => match self.translated(row, calls) {
                    Ok(_) => Outcome::Answered(meaning()),
                    Err(reason) => Outcome::None(format!("{}: {reason}", meaning())),
                },
                _ => Outcome::Answered(meaning()),
            };
        }
        match (policy.mode, self.translated(row, calls)) {
            (Mode::Gone, _) => Outcome::Gone(meaning()),
            (_, Ok(text)) => Outcome::Answered(text),
            (_, Err(reason)) => Outcome::None(reason),
        }
    }

    /// How the Jobs API answers it, or why it does not.
    fn translated(&self, row: &EndpointRow, calls: Calls) -> Result<String, String> {
        let classes = match row.classes && !self.found.classes.is_there() {
            true => "; the nodes to execute are those with outputs, as the server does not describe its nodes",
            false => "",
        };
        match calls {
            Calls::AllJobs | Calls::OneJob => self.read(classes),
            Calls::QueuedJobs => self.read(&format!("{}{classes}", self.queued_prompts())),
            Calls::CancelMany | Calls::CancelRunning => self.cancel(row.shown),
            Calls::CancelOne => self.cancel_one(),
            Calls::Hide => Ok(self.hide()),
        }
    }

    fn read(&self, also: &str) -> Result<String, String> {
        // Of Comfy API v2, the list is put together from jobs that went through jobshim.
        let is_v2 = self.dialect.names.v2.is_some();
        match (is_v2 || self.found.list.is_there()) && self.found.detail.is_there() {
            true if is_v2 => Ok(format!("from Comfy API v2{also}")),
            true => Ok(format!("from the Jobs API{also}")),
            false => Err("no answer: the Jobs API is not whole".to_owned()),
        }
    }

    fn queued_prompts(&self) -> &'static str {
        match self.found.queued {
            Queued::Told | Queued::Unclear(_) => "",
            Queued::NotTold => "; the prompt of a queued job is known only if it was sent through jobshim",
            Queued::Empty => "; whether with the prompts of queued jobs is not known now",
        }
    }

    fn cancel(&self, path: &str) -> Result<String, String> {
        match (&self.found.cancel, self.found.own_queue.is_there()) {
            (Found::Yes, _) => Ok(format!("by POST {}", self.dialect.names.cancel.path)),
            (_, true) if self.kind == DialectKind::Comfyui => {
                Ok(format!("by the server's own {path}: it has no cancel calls"))
            }
            _ => {
                Err("501: the server can neither cancel (ComfyUI can since 0.26.0) nor has it the old call".to_owned())
            }
        }
    }

    fn cancel_one(&self) -> Result<String, String> {
        match &self.found.cancel {
            Found::Yes => Ok(format!("by POST {}", self.dialect.names.cancel.path)),
            _ => Err("501: the server cannot cancel (ComfyUI can since 0.26.0)".to_owned()),
        }
    }

    fn hide(&self) -> String {
        let remembers = |place: &dyn std::fmt::Display| {
            format!("jobshim hides those jobs, and remembers it in {place}: the server cannot forget them")
        };
        match (self.found.own_history.is_there(), &self.config.state.place) {
            (true, _) => "by the server's own POST /history".to_owned(),
            (false, StatePlace::Folder(folder)) => remembers(&folder.display()),
            (false, StatePlace::Valkey(url)) => remembers(url),
            (false, StatePlace::Memory) => {
                "jobshim hides those jobs until it ends; with --state also after that".to_owned()
            }
        }
    }
}
