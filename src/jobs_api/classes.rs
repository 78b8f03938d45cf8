//! What node classes are: which are output nodes, and which inputs they have. Asked once a class, remembered.

use super::{JobsError, JobsSession, accept, caller::filled, unreadable};
use crate::{
    http::segments::has_dots,
    jobs_api::coalescer::Coalescer,
    mapping::{
        ClassInputs, Classes,
        json::{find, key_is, members},
    },
    telemetry::Call,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer is believed: node packs are installed and updated while jobshim runs.
const BELIEVED: Duration = Duration::from_secs(600);
/// How much is remembered of classes, in bytes: far more than the largest installation has. Beyond that all is learnt anew.
const MAX_BYTES: usize = 32 << 20;
/// What a class costs besides its name and its inputs.
const CLASS_BYTES: usize = 128;
/// How many classes are asked for side by side.
const SIDE_BY_SIDE: usize = 16;

/// What a server says of one class.
#[derive(Debug)]
struct Class {
    is_output: bool,
    /// `None` where nothing is said of them.
    inputs: Option<ClassInputs>,
}

/// A class by its name; `None` where the server does not describe it.
type Named = (String, Option<Arc<Class>>);

/// What was learnt. It says nothing of any user, so it is shared by all.
#[derive(Default)]
pub(super) struct ClassMemory {
    known: Mutex<Known>,
    /// Classes that are being asked for.
    asked: Coalescer<String, Result<Option<Arc<Class>>, JobsError>>,
}

#[derive(Default)]
struct Known {
    /// By its name, a class, and since when that is believed.
    classes: HashMap<String, (Arc<Class>, Instant)>,
    /// What they take.
    bytes: usize,
}

/// The classes that one prompt uses, sorted.
#[derive(Debug, Default)]
pub struct KnownClasses(Vec<Named>);

impl KnownClasses {
    fn get(&self, class: &str) -> Option<&Class> {
        let at = self.0.binary_search_by(|(name, _)| name.as_str().cmp(class)).ok()?;
        self.0.get(at)?.1.as_deref()
    }
}

impl Classes for KnownClasses {
    fn is_output(&self, class: &str) -> Option<bool> {
        self.get(class).map(|class| class.is_output)
    }

    fn inputs(&self, class: &str) -> Option<&ClassInputs> {
        self.get(class)?.inputs.as_ref()
    }
}

impl ClassMemory {
    /// What is known of `classes`, and those of which nothing is.
    fn look_up(&self, classes: Vec<String>) -> (Vec<Named>, Vec<String>) {
        let (mut found, mut unknown) = (Vec::with_capacity(classes.len()), Vec::new());
        let now = Instant::now();
        let known = self.known.lock();
        for name in classes {
            match known.classes.get(&name) {
                Some((class, since)) if now.duration_since(*since) < BELIEVED => {
                    found.push((name, Some(Arc::clone(class))));
                }
                _ => unknown.push(name),
            }
        }
        (found, unknown)
    }

    fn learn(&self, name: &str, class: &Arc<Class>) {
        let cost = |class: &Class| name.len() + CLASS_BYTES + class.inputs.as_ref().map_or(0, ClassInputs::bytes);
        let mut known = self.known.lock();
        if known.bytes + cost(class) > MAX_BYTES {
            *known = Known::default();
        }
        known.bytes += cost(class);
        let before = known
            .classes
            .insert(name.to_owned(), (Arc::clone(class), Instant::now()));
        if let Some((before, _)) = before {
            known.bytes = known.bytes.saturating_sub(cost(&before));
        }
    }

    /// Forgets all: the server behind may be another one.
    pub(super) fn forget(&self) {
        *self.known.lock() = Known::default();
    }
}

impl JobsSession {
    /// Finds out about `classes`.
    pub async fn classes(&self, classes: Vec<String>) -> Result<KnownClasses, JobsError> {
        if self.dialect().names.v2.is_some() {
            // It describes none.
            return Ok(KnownClasses::default());
        }
        let (mut known, unknown) = self.jobs.classes.look_up(classes);
        if !unknown.is_empty() {
            let learnt: Vec<_> = stream::iter(unknown)
                .map(|class| self.class(class).boxed())
                .buffer_unordered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            known.extend(learnt);
        }
        known.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(KnownClasses(known))
    }

    async fn class(&self, class: String) -> Result<Named, JobsError> {
        let ask = || {
            let (session, class) = (self.clone(), class.clone());
            async move { session.ask_class(&class).await }
        };
        let known = match self.jobs.classes.asked.share(class.clone(), Result::is_ok, ask).await {
            // The failure may be another user's: this one asks for itself.
            (Err(_), true) => self.ask_class(&class).await?,
            (outcome, _) => outcome?,
        };
        // An unknown class may be installed the next moment.
        if let Some(known) = &known {
            self.jobs.classes.learn(&class, known);
        }
        Ok((class, known))
    }

    /// `None`: the server does not describe this class.
    async fn ask_class(&self, class: &str) -> Result<Option<Arc<Class>>, JobsError> {
        if has_dots(class) {
            return Ok(None);
        }
        let names = &self.dialect().names.classes;
        let path = filled(&names.path, class);
        let answer = self
            .jobs
            .ask(Call::Class, &self.caller, Some(self.kind), &path, "")
            .await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
            // A server of the other dialect describes classes elsewhere.
            self.jobs.doubt_dialect();
            return Ok(None);
        }
        let answer = accept(&Method::GET, &path, answer)?;
        let mut described = None;
        let visited = members(&answer.body, |key, value| {
            if key_is(key, class) {
                described = Some(value);
            }
        });
        visited.map_err(|error| unreadable(&path, &error))?;
        let Some(described) = described.filter(|text| text.starts_with(b"{")) else {
            return Ok(None);
        };
        let [flag] = find(described, [&names.output]).map_err(|error| unreadable(&path, &error))?;
        let inputs = match &names.inputs {
            Some(names) => ClassInputs::read(described, names).map_err(|error| unreadable(&path, &error))?,
            None => None,
        };
        Ok(Some(Arc::new(Class {
            is_output: flag == Some(b"true"),
            inputs,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_classes_takes_no_more_than_it_may() {
        let memory = ClassMemory::default();
        let class = Arc::new(Class {
            is_output: true,
            inputs: None,
        });
        let name = |nth: usize| nth.to_string().repeat(MAX_BYTES / 16);
        for nth in 0..20 {
            memory.learn(&name(nth), &class);
            memory.learn(&name(nth), &class);
            let known = memory.known.lock();
            let names: usize = known.classes.keys().map(String::len).sum();
            assert!(
                names <= known.bytes && known.bytes <= MAX_BYTES,
                "{nth}: {names} {}",
                known.bytes
            );
            assert!(known.classes.contains_key(&name(nth)), "{nth}");
        }
    }
}
