//! One job as its client hears of it: each thing once, in ComfyUI's order, however often it is told here.

use super::messages::{self, LiveMessage, NodeProgress};
use crate::{
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
}

impl Story {
    pub(super) fn new(id: Arc<str>) -> Self {
        Self {
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
        if !self.executed.contains(&node) && self.executed.len() < MAX_FILES {
            self.executed.push(node);
        }
    }

    fn add(&mut self, output: LiveOutput) {
        let key = (output.node.clone(), output.key.clone());
        if self.files.len() < MAX_FILES && self.keys.insert(key) {
            if !self.untold.contains(&output.node) {
                self.untold.push(output.node.clone());
            }
            self.files.push(output);
        }
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

    /// A node shows `output`, and has ended with it.
    pub(super) fn executed(&mut self, node: &str, output: &Value) -> Vec<LiveMessage> {
        let mut said = Vec::new();
        self.start(&mut said);
        self.enter(node, &mut said);
        said.push(messages::executed(&self.id, node, output));
        self.leave(&mut said);
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
