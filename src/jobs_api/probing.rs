//! Which dialect the upstream speaks: asked for by one at a time, of which nobody else makes a queue.

use super::{Caller, CallerKey, DialectKind, Jobs, JobsError, accept};
use crate::telemetry::Call;
use http::Method;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// How long somebody else's question is waited for: it may be one that the server lets hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// All dialects, in the order in which they are asked for.
const KINDS: [DialectKind; 3] = [DialectKind::Comfyui, DialectKind::Cloud, DialectKind::V2];

type Outcome = Result<DialectKind, JobsError>;

/// The question under way, if there is one.
#[derive(Default)]
pub(super) struct Probing(Mutex<Option<Question>>);

/// Somebody's question, and its outcome to come.
#[derive(Clone)]
struct Question {
    by: CallerKey,
    outcome: watch::Receiver<Option<Outcome>>,
}

enum Turn {
    /// Nobody asks: whoever has this does, and tells the outcome.
    Mine(watch::Sender<Option<Outcome>>),
    Theirs(Question),
}

impl Probing {
    fn turn(&self, caller_key: &CallerKey) -> Turn {
        let mut asked = self.0.lock();
        // A question whose asker has left, or has told the outcome, is under way no more.
        match &*asked {
            Some(other) if other.outcome.has_changed().is_ok() => Turn::Theirs(other.clone()),
            _ => {
                let (tell, outcome) = watch::channel(None);
                let by = caller_key.clone();
                *asked = Some(Question { by, outcome });
                Turn::Mine(tell)
            }
        }
    }
}

impl Question {
    /// The outcome, if it comes soon and is good for one with `caller_key`.
    async fn outcome_for(mut self, caller_key: &CallerKey) -> Option<Outcome> {
        let told = timeout(PATIENCE, self.outcome.wait_for(Option::is_some)).await.ok()?;
        let outcome = told.ok()?.clone()?;
        let good = match &outcome {
            Ok(_) => true,
            Err(error) => self.by == *caller_key || error.is_for_anybody(),
        };
        good.then_some(outcome)
    }
}

impl Jobs {
    /// The dialect in force: configured, remembered, or asked for with the caller's credentials.
    ///
    /// While one asks, the others go on with what was known; where nothing was, they wait for that one, and ask
    /// themselves, side by side, if it brings nothing that is true for them too.
    pub async fn dialect(&self, caller: &Caller) -> Result<DialectKind, JobsError> {
        match self.configured().or_else(|| self.believed(None)) {
            Some(kind) => Ok(kind),
            None => self.find_out(self.known_dialect(), caller).await,
        }
    }

    /// As [`Jobs::dialect`], where nothing counts that was learnt before `since`.
    pub(super) async fn dialect_learnt_since(&self, since: Instant, caller: &Caller) -> Outcome {
        match self.configured().or_else(|| self.believed(Some(since))) {
            Some(kind) => Ok(kind),
            None => self.find_out(None, caller).await,
        }
    }

    /// Asks, or waits for whoever does; `known` is good enough meanwhile.
    async fn find_out(&self, known: Option<DialectKind>, caller: &Caller) -> Outcome {
        let caller_key = caller.caller_key();
        match (self.probing.turn(&caller_key), known) {
            (Turn::Mine(tell), known) => {
                let outcome = self.probe_and_learn(caller).await;
                tell.send_replace(Some(outcome.clone()));
                match (outcome, known) {
                    // It says nothing of the dialect; the request itself will tell the client.
                    (Err(JobsError::Refused { .. } | JobsError::Upstream(_)), Some(known)) => Ok(known),
                    (outcome, _) => outcome,
                }
            }
            (Turn::Theirs(_), Some(known)) => Ok(known),
            (Turn::Theirs(asked), None) => match asked.outcome_for(&caller_key).await {
                Some(outcome) => outcome,
                None => self.probe_and_learn(caller).await,
            },
        }
    }

    async fn probe_and_learn(&self, caller: &Caller) -> Outcome {
        let kind = self.probe(caller).await?;
        let before = self.found(|found| found.replace((kind, Instant::now())));
        if before.map(|(known, _)| known) != Some(kind) {
            tracing::info!(
                dialect = %kind.name(),
                about = self.names(kind).names.about,
                "the upstream's dialect is known"
            );
        }
        Ok(kind)
    }

    /// Asks which dialect it is, once for each of them at most.
    pub(super) async fn probe(&self, caller: &Caller) -> Outcome {
        let mut missing = None;
        for kind in KINDS {
            let names = &self.names(kind).names;
            let path = names.probe_path();
            // A server that has nothing there has nothing there for the next one either.
            if missing.is_some() && path == self.comfyui.names.list.path {
                continue;
            }
            let asked_in = (kind == DialectKind::V2).then_some(kind);
            let answer = self
                .ask(Call::Probe, caller, asked_in, path, &names.probe.query)
                .await?;
            // Dialects may ask the same question; the answer then settles it at once.
            let settled = KINDS.into_iter().find(|kind| {
                let other = &self.names(*kind).names;
                let is_asked = other.probe.query == names.probe.query && other.probe_path() == path;
                is_asked && other.is_told_by(&answer.body, answer.status.as_u16())
            });
            match (settled, accept(&Method::GET, path, answer)) {
                (Some(kind), _) => return Ok(kind),
                (None, Err(error @ JobsError::Missing { .. })) => drop(missing.get_or_insert(error)),
                (None, Err(error)) => {
                    let is_shape = matches!(error, JobsError::Shape { .. });
                    return Err(missing.filter(|_| is_shape).unwrap_or(error));
                }
                (None, Ok(_)) => {}
            }
        }
        Err(missing.unwrap_or_else(|| JobsError::Shape {
            call: format!("GET {}", self.comfyui.names.list.path),
            reason: "it fits no dialect; set upstream.dialect".to_owned(),
        }))
    }
}
