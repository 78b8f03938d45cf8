//! Which node classes are output nodes: asked once a class, remembered.

use super::{Caller, DialectKind, Jobs, JobsError, accept, caller::filled, shape};
use crate::{
    mapping::{
        Classes, Paths,
        scanner::{key_is, members},
    },
    observe::Call,
    segments::has_dots,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode};
use moka::future::Cache;
use std::time::Duration;

/// How long an answer is believed: node packs are installed and updated while jobshim runs.
const BELIEVED: Duration = Duration::from_secs(600);
/// Far more classes than the largest installation has.
const MOST_CLASSES: u64 = 50_000;
/// How many classes are asked for side by side.
const SIDE_BY_SIDE: usize = 16;

/// What was learnt, by class name. It says nothing of any user, so it is shared by all.
pub(super) struct ClassMemory {
    known: Cache<String, Option<bool>>,
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
    pub(super) fn new() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(MOST_CLASSES)
                .time_to_live(BELIEVED)
                .build(),
        }
    }
}

impl Jobs {
    /// Finds out about `classes`.
    pub async fn classes(
        &self,
        caller: &Caller,
        kind: DialectKind,
        classes: Vec<String>,
    ) -> Result<KnownClasses, JobsError> {
        let mut known = Vec::with_capacity(classes.len());
        let mut unknown = Vec::new();
        for class in classes {
            match self.classes.known.get(&class).await {
                Some(is_output) => known.push((class, is_output)),
                None => unknown.push(class),
            }
        }
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
        &self,
        caller: &Caller,
        kind: DialectKind,
        class: String,
    ) -> Result<(String, Option<bool>), JobsError> {
        let memory = &self.classes.known;
        let shared = memory.try_get_with_by_ref(&class, self.ask_class(caller, kind, &class));
        let known = match shared.await {
            Ok(known) => known,
            // The failure may be another user's: this one asks for itself.
            Err(_) => self.ask_class(caller, kind, &class).await?,
        };
        if known.is_none() {
            // An unknown class may be installed the next moment.
            memory.invalidate(&class).await;
        }
        Ok((class, known))
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
