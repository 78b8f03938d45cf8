//! One job as its client hears of it: each thing once, in ComfyUI's order, however often it is told here.

use super::messages::{self, LiveMessage, NodeProgress};
use crate::{
    http::buffered::Share,
    jobs_api::{LiveEvent, LiveOutput, LiveProgress, LiveState},
    telemetry::now_ms,
};
use bytes::Bytes;
use serde_json::{Map, Number, Value};
use std::{collections::HashSet, sync::Arc};

/// The most nodes whose progress is told: the oldest go first.
const MAX_NODES: usize = 256;
/// The most files of a job that are told of.
const MAX_FILES: usize = 10_000;

/// What was told of a job.
pub(super) struct Story {
    id: Arc<str>,
    is_started: bool,
    /// The node that runs.
    node: Option<String>,
    nodes: Vec<NodeProgress>,
    /// Nodes that have shown something, in their order.
    executed: Vec<String>,
    /// All files, by node.
    files: Vec<LiveOutput>,
    keys: HashSet<(String, String)>,
    /// Nodes with files that were not told of.
    untold: Vec<String>,
    /// What the files take counts within `server.max_buffered`.
    share: Share,
}

impl Story {
    pub(super) fn new(id: Arc<str>, share: Share) -> Self {
        Self {
            share,
            id,
            is_started: false,
            node: None,
            nodes: Vec::new(),
            executed: Vec::new(),
            files: Vec::new(),
            keys: HashSet::new(),
            untold: Vec::new(),
        }
    }

    /// It ran before anybody listened.
    pub(super) fn has_started(&mut self) {
        self.is_started = true;
    }

    pub(super) fn is_started(&self) -> bool {
        self.is_started
    }

    /// The node that runs, as far as is told.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// What the client hears of an event. Files are told of when all of a node are there.
    pub(super) fn hear(&mut self, event: LiveEvent) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        match event {
            LiveEvent::State(LiveState::Running) => self.start(&mut said),
            // Its end is told once all files are.
            LiveEvent::State(_) => {}
            LiveEvent::Progress(progress) => {
                self.start(&mut said);
                self.progress(progress, &mut said);
            }
            LiveEvent::Preview { content_type, image } => {
                self.start(&mut said);
                said.extend(messages::preview(&content_type, &image));
            }
            LiveEvent::Output(output) => self.add(output),
        }
        said
    }

    /// It runs, unless that was told.
    pub(super) fn start(&mut self, said: &mut Vec<LiveMessage>) {
        if !self.is_started {
            self.is_started = true;
            said.push(messages::started(&self.id, now_ms()));
        }
    }

    fn progress(&mut self, progress: LiveProgress, said: &mut Vec<LiveMessage>) {
        let Some(node) = progress.node else {
            return self.leave(said);
        };
        self.enter(&node, said);
        let Some((step, steps)) = progress.step else {
            return;
        };
        let known = self.nodes.iter_mut().find(|known| known.node == node);
        if let Some(known) = known.filter(|known| known.step != step || known.steps != steps) {
            (known.step, known.steps) = (step.clone(), steps.clone());
            said.push(messages::progress_state(&self.id, &self.nodes));
            said.push(messages::progress(&self.id, &node, &step, &steps));
        }
    }

    fn enter(&mut self, node: &str, said: &mut Vec<LiveMessage>) {
        if self.node.as_deref() == Some(node) {
            return;
        }
        self.leave(said);
        self.nodes.retain(|known| known.node != node);
        if self.nodes.len() >= MAX_NODES {
            self.nodes.remove(0);
        }
        self.nodes.push(NodeProgress {
            node: node.to_owned(),
            step: Number::from(0),
            steps: Number::from(1),
            is_over: false,
        });
        self.node = Some(node.to_owned());
        said.push(messages::progress_state(&self.id, &self.nodes));
        said.push(messages::executing(&self.id, Some(node)));
    }

    /// The node that runs has ended.
    fn leave(&mut self, said: &mut Vec<LiveMessage>) {
        let Some(node) = self.node.take() else {
            return;
        };
        if let Some(known) = self.nodes.iter_mut().find(|known| known.node == node) {
            known.step = known.steps.clone();
            known.is_over = true;
            said.push(messages::progress_state(&self.id, &self.nodes));
        }
        self.has_ended(node);
    }

    fn has_ended(&mut self, node: String) {
        let is_new = self.executed.len() < MAX_FILES && !self.executed.contains(&node);
        if is_new && self.share.grow(node.len() + size_of::<String>()).is_ok() {
            self.executed.push(node);
        }
    }

    fn add(&mut self, output: LiveOutput) {
        let key = (output.node.clone(), output.key.clone());
        if self.files.len() >= MAX_FILES || self.keys.contains(&key) {
            return;
        }
        let bytes = output.file.len() + 2 * (output.node.len() + output.key.len()) + size_of::<LiveOutput>();
        if let Err(error) = self.share.grow(bytes) {
            tracing::warn!(%error, "clients are not told of a file that a job has made");
            return;
        }
        self.keys.insert(key);
        if !self.untold.contains(&output.node) {
            self.untold.push(output.node.clone());
        }
        self.files.push(output);
    }

    /// Whether files are there that were not told of.
    pub(super) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// The nodes with files that were not told of, each with all of its files: they are told of now.
    pub(super) fn take_untold(&mut self) -> Vec<(String, Vec<Bytes>)> {
        let nodes = std::mem::take(&mut self.untold).into_iter();
        nodes
            .map(|node| {
                let files = self.files.iter().filter(|output| output.node == node);
                let files = files.map(|output| output.file.clone()).collect();
                (node, files)
            })
            .collect()
    }

    /// A node shows `output`, and has ended with it. Where another one runs by now, or that it has ended was told, no more is told.
    pub(super) fn executed(&mut self, node: &str, output: &Value) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        self.start(&mut said);
        let is_late = match &self.node {
            Some(running) => running != node,
            None => self.executed.iter().any(|executed| executed == node),
        };
        let executed = messages::executed(&self.id, node, output);
        if is_late {
            self.has_ended(node.to_owned());
            said.push(executed);
        } else {
            self.enter(node, &mut said);
            said.push(executed);
            self.leave(&mut said);
        }
        said
    }

    /// It has ended well.
    pub(super) fn succeeded(&mut self) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        self.start(&mut said);
        self.leave(&mut said);
        said.push(messages::succeeded(&self.id, now_ms()));
        said
    }

    /// A node failed, as `error` says.
    pub(super) fn failed(&mut self, error: Map<String, Value>) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        self.start(&mut said);
        self.node = None;
        said.push(messages::failed(&self.id, error, &self.executed, now_ms()));
        said
    }

    /// It was stopped at a node of this class.
    pub(super) fn interrupted(&mut self, class: &str) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        self.start(&mut said);
        let node = self.node.take().unwrap_or_default();
        said.push(messages::interrupted(&self.id, &node, class, &self.executed, now_ms()));
        said
    }

    /// Nothing more comes of it.
    pub(super) fn over(&self) -> LiveMessage {
        messages::executing(&self.id, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::buffered::BufferBudget;

    fn runs(node: &str) -> LiveEvent {
        LiveEvent::Progress(LiveProgress {
            node: Some(node.to_owned()),
            step: None,
        })
    }

    fn file(node: &str, key: &str) -> LiveEvent {
        LiveEvent::Output(LiveOutput {
            node: node.to_owned(),
            key: key.to_owned(),
            file: Bytes::from_static(b"{}"),
        })
    }

    #[test]
    fn a_late_file_of_a_node_says_nothing_of_the_node_that_runs() {
        let mut story = Story::new("job".into(), BufferBudget::new(1 << 20).share());
        story.hear(runs("A"));
        story.hear(runs("B"));
        let said = story.executed("A", &Value::Null);
        assert_eq!(said.len(), 1);
        assert_eq!(story.node(), Some("B"));
        // The one that runs ends with what it shows.
        let said = story.executed("B", &Value::Null);
        assert_eq!(said.len(), 2, "executed, and how far all are");
        assert_eq!(story.node(), None);
        assert_eq!(story.executed("B", &Value::Null).len(), 1);
        assert_eq!(story.executed, ["A", "B"]);
    }

    #[test]
    fn files_count_within_what_may_be_held() {
        let budget = BufferBudget::new(1_000);
        let mut story = Story::new("job".into(), budget.share());
        for nth in 0..100 {
            story.hear(file("A", &nth.to_string()));
        }
        assert!(budget.held() > 500 && story.files.len() < 20);
        drop(story);
        assert_eq!(budget.held(), 0);
    }
}
