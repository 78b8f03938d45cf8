//! One job: the states that it goes through, and what its event stream says meanwhile.

use super::{
    options::Variant,
    script::{NodeRun, SavedFile},
};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits.
    Queued,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It still runs, and will be stopped.
    Canceling,
    /// It was stopped while it ran.
    Canceled,
    /// A node failed.
    Failed,
    /// It was cancelled while it waited, or its time was over.
    Expired,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
        Self::Expired,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// Whether it stays so.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Canceling)
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub value: f64,
    pub done: usize,
    pub total: usize,
    /// The node that runs, its step, and how many it has. Nothing is known of nodes before the first one has moved on.
    pub node: Option<(String, u32, u32)>,
}

/// Why a job failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub message: String,
    pub node: String,
    pub class: String,
}

/// What an event stream says.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Status(Status),
    Progress(Progress),
    /// A picture of what a node is at.
    Preview(String),
    /// The output of this number.
    Output(usize),
}

/// One output: the file, and its id as an asset.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub made: SavedFile,
    pub id: String,
}

/// One job. Times are in µs.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: String,
    /// Whose key it was submitted with; empty where everybody is let in.
    pub owner: String,
    /// The graph that runs, as text.
    pub workflow: String,
    pub status: Status,
    pub created: i64,
    pub started: Option<i64>,
    pub completed: Option<i64>,
    pub progress: Option<Progress>,
    pub outputs: Vec<Output>,
    pub failure: Option<Failure>,
    /// All that a stream that was open from the start has said.
    pub events: Vec<Event>,
    pub variant: Variant,
    script: Vec<NodeRun>,
    /// The node that runs, the steps of it that are over, and all steps that are over.
    at: (usize, u32, u32),
}

impl Job {
    pub(super) fn new(
        id: String,
        owner: String,
        workflow: String,
        script: Vec<NodeRun>,
        variant: Variant,
        created: i64,
    ) -> Self {
        Self {
            id,
            owner,
            workflow,
            status: Status::Queued,
            created,
            started: None,
            completed: None,
            progress: None,
            outputs: Vec::new(),
            failure: None,
            events: vec![Event::Status(Status::Queued)],
            script,
            variant,
            at: (0, 0, 0),
        }
    }

    /// How many steps it has, and how many of them are over.
    pub(super) fn steps(&self) -> (u32, u32) {
        (self.script.iter().map(|node| node.steps).sum(), self.at.2)
    }

    pub(super) fn start(&mut self, now: i64) {
        if self.status == Status::Queued {
            self.started = Some(now);
            self.enter(Status::Running);
            self.tell_progress(Progress::default());
        }
    }

    /// The next step of a job that runs; one that is to be stopped stops.
    pub(super) fn step(&mut self, now: i64, asset_id: &mut dyn FnMut() -> String) {
        match self.status {
            Status::Canceling => self.end(Status::Canceled, now),
            Status::Running => self.run(now, asset_id),
            _ => {}
        }
    }

    fn run(&mut self, now: i64, asset_id: &mut dyn FnMut() -> String) {
        let Some(node) = self.script.get(self.at.0).cloned() else {
            return self.end(Status::Succeeded, now);
        };
        self.at = (self.at.0, self.at.1 + 1, self.at.2 + 1);
        let total = self.script.len();
        if node.steps > 1 {
            let part = f64::from(self.at.1) / f64::from(node.steps);
            self.tell_progress(Progress {
                value: portion(self.at.0, part, total),
                done: self.at.0,
                total,
                node: Some((node.node.clone(), self.at.1, node.steps)),
            });
            self.events.push(Event::Preview(node.node.clone()));
        }
        if self.at.1 < node.steps {
            return;
        }
        if let Some(message) = node.fails {
            self.failure = Some(Failure {
                message,
                node: node.node,
                class: node.class,
            });
            return self.end(Status::Failed, now);
        }
        let first = self.outputs.len();
        let outputs = node.makes.into_iter().map(|made| Output { made, id: asset_id() });
        self.outputs.extend(outputs);
        let told = (first..self.outputs.len()).map(Event::Output);
        self.at = (self.at.0 + 1, 0, self.at.2);
        let is_last = self.at.0 == total;
        // The recorded server tells of the last ones behind the final status.
        let is_late = is_last && self.variant == Variant::ApiProxy;
        if !is_late {
            self.events.extend(told.clone());
        }
        self.tell_progress(Progress {
            value: portion(self.at.0, 0.0, total),
            done: self.at.0,
            total,
            node: None,
        });
        if is_last {
            self.end(Status::Succeeded, now);
        }
        if is_late {
            self.events.extend(told);
        }
    }

    /// What runs is stopped at its next step, what waits is gone; what has ended stays as it is.
    pub(super) fn cancel(&mut self, now: i64) {
        match self.status {
            Status::Queued => self.end(Status::Expired, now),
            Status::Running => self.enter(Status::Canceling),
            _ => {}
        }
    }

    /// Its time is over.
    pub(super) fn expire(&mut self, now: i64) {
        self.outputs.clear();
        self.events.retain(|event| !matches!(event, Event::Output(_)));
        self.end(Status::Expired, now);
    }

    fn end(&mut self, status: Status, now: i64) {
        self.progress = None;
        self.completed = Some(self.completed.unwrap_or(now));
        self.enter(status);
    }

    fn enter(&mut self, status: Status) {
        self.status = status;
        self.events.push(Event::Status(status));
    }

    fn tell_progress(&mut self, progress: Progress) {
        self.progress = Some(progress.clone());
        self.events.push(Event::Progress(progress));
    }

    /// What a stream that is opened now says first.
    pub(super) fn snapshot(&self) -> Vec<Event> {
        let progress = self.progress.clone().map(Event::Progress);
        let mut events = vec![Event::Status(self.status)];
        events.extend(progress);
        events.extend((0..self.outputs.len()).map(Event::Output));
        events
    }
}

/// Which portion of all nodes is done.
fn portion(done: usize, part: f64, total: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (number(done) + part) / number(total.max(1))
}
