//! Which node classes are output nodes: asked once a class, remembered.

use super::{Caller, DialectKind, Jobs, JobsError, accept, caller::filled, shape};
use crate::{
    flights::Flights,
    lock,
    mapping::{
        Classes, Paths,
        scanner::{key_is, members},
    },
    observe::Call,
    segments::has_dots,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How long an answer is believed: node packs are installed and updated while jobshim runs.
const BELIEVED: Duration = Duration::from_secs(600);
/// Far more classes than the largest installation has: beyond that all is learnt anew.
const MOST_CLASSES: usize = 50_000;
/// How many classes are asked for side by side.
const SIDE_BY_SIDE: usize = 16;

/// What was learnt, by class name. It says nothing of any user, so it is shared by all.
#[derive(Default)]
pub(super) struct ClassMemory {
    /// Whether it is an output node, and since when that is believed.
    known: Mutex<HashMap<String, (bool, Instant)>>,
    /// Classes that are being asked for.
    asked: Flights<String, Result<Option<bool>, JobsError>>,
}

/// The classes that one prompt uses, sorted.
#[derive(Debug, Default)]
pub struct KnownClasses(Vec<(String, Option<bool>)>);

impl Classes for KnownClasses {
    fn is_output(&self, class: &str) -> Option<bool> {
        let at = self.0.binary_search_by(|(name, _)| name.as_str().cmp(class)).ok()?;
        self.0.get(at)?.1
    }
}

impl ClassMemory {
    /// What is known of `classes`, and those of which nothing is.
    fn look_up(&self, classes: Vec<String>) -> (Vec<(String, Option<bool>)>, Vec<String>) {
        let (mut found, mut unknown) = (Vec::with_capacity(classes.len()), Vec::new());
        let now = Instant::now();
        let known = lock(&self.known);
        for class in classes {
            match known.get(&class) {
                Some(&(is_output, since)) if now.duration_since(since) < BELIEVED => {
                    found.push((class, Some(is_output)));
                }
                _ => unknown.push(class),
            }
        }
        (found, unknown)
    }

    fn learn(&self, class: &str, is_output: bool) {
        let mut known = lock(&self.known);
        if known.len() >= MOST_CLASSES {
            known.clear();
        }
        known.insert(class.to_owned(), (is_output, Instant::now()));
    }
}

impl Jobs {
    /// Finds out about `classes`.
    pub async fn classes(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        kind: DialectKind,
        classes: Vec<String>,
    ) -> Result<KnownClasses, JobsError> {
        let (mut known, unknown) = self.classes.look_up(classes);
        if !unknown.is_empty() {
            let learnt: Vec<_> = stream::iter(unknown)
                .map(|class| self.class(caller, kind, class).boxed())
                .buffer_unordered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            known.extend(learnt);
        }
        known.sort_unstable();
        Ok(KnownClasses(known))
    }

    async fn class(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        kind: DialectKind,
        class: String,
    ) -> Result<(String, Option<bool>), JobsError> {
        let ask = || {
            let (jobs, caller, class) = (Arc::clone(self), Arc::clone(caller), class.clone());
            async move { jobs.ask_class(&caller, kind, &class).await }
        };
        let is_output = match self.classes.asked.share(class.clone(), Result::is_ok, ask).await {
            // The failure may be another user's: this one asks for itself.
            (Err(_), true) => self.ask_class(caller, kind, &class).await?,
            (outcome, _) => outcome?,
        };
        // An unknown class may be installed the next moment.
        if let Some(is_output) = is_output {
            self.classes.learn(&class, is_output);
        }
        Ok((class, is_output))
    }

    /// `None`: the server does not describe this class.
    async fn ask_class(&self, caller: &Caller, kind: DialectKind, class: &str) -> Result<Option<bool>, JobsError> {
        if has_dots(class) {
            return Ok(None);
        }
        let names = &self.names(kind).names.classes;
        let path = filled(&names.path, class);
        let answer = self.ask(Call::Class, caller, Some(kind), &path, "").await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
            // A server of the other dialect describes classes elsewhere.
            self.doubt_dialect();
            return Ok(None);
        }
        let answer = accept(&Method::GET, &path, answer)?;
        let mut described = None;
        let visited = members(&answer.body, |key, value| {
            if key_is(key, class) {
                described = Some(value);
            }
        });
        visited.map_err(|error| shape(&path, &error))?;
        let Some(described) = described.filter(|text| text.starts_with(b"{")) else {
            return Ok(None);
        };
        let mut paths = Paths::default();
        let output = paths.add(&names.output);
        let spans = paths.find(described).map_err(|error| shape(&path, &error))?;
        let flag = spans.get(output).copied().flatten().map(|span| span.of(described));
        Ok(Some(flag == Some(b"true")))
    }
}
