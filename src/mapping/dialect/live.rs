//! The names by which a server of Comfy API v2 tells how a job goes on.

use crate::mapping::json::MemberPath;
use serde::Deserialize;

/// The event stream of a job.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveNames {
    /// The path of the WebSocket, which may begin with `/api`.
    pub socket: String,
    /// The path of a job's event stream, with `{id}`.
    pub path: String,
    /// The type of the event that says where the job stands.
    pub status: String,
    /// The same, how far it is.
    pub progress: String,
    /// The same, with a picture of what it is at.
    pub preview: String,
    /// The same, with one of its outputs.
    pub output: String,
    /// The words of states of a job that waits.
    pub waiting: Vec<String>,
    /// The same, that runs.
    pub running: Vec<String>,
    /// The same, that ended well.
    pub succeeded: Vec<String>,
    /// The same, of which a node failed.
    pub failed: Vec<String>,
    /// The same, that was stopped while it ran.
    pub interrupted: Vec<String>,
    /// Members of a job.
    pub job: LiveJobNames,
    /// Members of what the events tell.
    pub members: LiveMembers,
}

/// The members of a job that its events tell of, too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveJobNames {
    /// How far it is.
    pub progress: MemberPath,
    /// The list of its outputs.
    pub outputs: String,
    /// Why it failed, as the Jobs API tells it.
    pub failure: MemberPath,
}

/// The members of progress, outputs and previews.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveMembers {
    /// The node that runs.
    pub node: MemberPath,
    /// How many of its steps are over.
    pub step: MemberPath,
    /// How many it has.
    pub steps: MemberPath,
    /// The node of an output.
    pub output_node: MemberPath,
    /// What tells an output from all others.
    pub output_id: MemberPath,
    /// Its name.
    pub output_name: MemberPath,
    /// The picture of a preview, in Base64.
    pub image: MemberPath,
    /// The content type of that.
    pub image_type: MemberPath,
    /// The member of a node in a workflow with its class.
    pub class: String,
}

/// Where a job stands, as far as its client hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveState {
    /// It waits.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
    /// It was stopped while it ran.
    Interrupted,
    /// Nothing is left of it.
    Gone,
    /// It is there, and has not ended. What it does is not known.
    Unknown,
}

impl LiveState {
    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running | Self::Unknown)
    }
}

impl LiveNames {
    /// The state that the server has this word for; those in `over` stay, and of a job in one of them that has no other
    /// meaning here nothing is left.
    pub(super) fn state(&self, word: &str, over: &[String]) -> LiveState {
        let states = [
            (&self.waiting, LiveState::Waiting),
            (&self.running, LiveState::Running),
            (&self.succeeded, LiveState::Succeeded),
            (&self.failed, LiveState::Failed),
            (&self.interrupted, LiveState::Interrupted),
        ];
        let has = |words: &[String]| words.iter().any(|one| one == word);
        match states.into_iter().find(|(words, _)| has(words)) {
            Some((_, state)) => state,
            None if has(over) => LiveState::Gone,
            None => LiveState::Unknown,
        }
    }
}
