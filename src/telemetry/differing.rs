//! The last answers that differed from their translation, field by field and without their texts: what somebody who mends
//! a table looks at. Bounded in answers, fields and length.

use super::found::Sample;
use crate::{http::outside::is_visible, routes::Endpoint};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::VecDeque};

/// Answers kept.
pub(super) const MOST: usize = 20;
/// Fields kept of each.
const MOST_FIELDS: usize = 40;
/// Characters kept of a text.
const LONGEST: usize = 200;

/// One answer that differed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingAnswer {
    /// The legacy route.
    pub route: Cow<'static, str>,
    /// When, in ms since 1970.
    pub at_ms: u64,
    /// As in the log.
    pub request_id: String,
    /// Where, and what stands there on both sides.
    pub fields: Vec<Sample>,
    /// How many more fields there are.
    pub more: usize,
}

/// The last of them.
#[derive(Debug, Default)]
pub struct Differing(Mutex<VecDeque<DifferingAnswer>>);

impl Differing {
    /// The answer to the request with this id differed in these fields. What the samples say is shown: without texts.
    pub fn note<'a>(
        &self,
        route: Endpoint,
        at_ms: u64,
        request_id: &str,
        fields: impl IntoIterator<Item = &'a Sample>,
    ) {
        let mut fields = fields.into_iter();
        let kept = fields.by_ref().take(MOST_FIELDS).map(|field| Sample {
            path: short(&field.path),
            forwarded: short(&field.forwarded),
            translated: short(&field.translated),
        });
        let answer = DifferingAnswer {
            route: route.name().into(),
            at_ms,
            request_id: short(request_id),
            fields: kept.collect(),
            more: fields.count(),
        };
        let mut all = self.0.lock();
        all.push_front(answer);
        all.truncate(MOST);
    }

    /// Begins anew: what was found says nothing of other tables.
    pub fn forget(&self) {
        self.0.lock().clear();
    }

    /// All that are kept, the latest first.
    pub fn latest(&self) -> Vec<DifferingAnswer> {
        self.0.lock().iter().cloned().collect()
    }
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|letter| is_visible(*letter))
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_are_kept_and_none_grows() {
        let differing = Differing::default();
        let long = Sample {
            path: "outputs.9".repeat(100),
            forwarded: "1".to_owned(),
            translated: "2\u{1b}[1m".to_owned(),
        };
        let fields = vec![long; MOST_FIELDS + 3];
        for at_ms in 0..50 {
            differing.note(Endpoint::History, at_ms, "id", &fields);
        }
        let all = differing.latest();
        let times: Vec<_> = all.iter().map(|answer| answer.at_ms).collect();
        assert_eq!(times, (30..50).rev().collect::<Vec<_>>());
        for answer in &all {
            assert_eq!((answer.fields.len(), answer.more), (MOST_FIELDS, 3));
            assert_eq!(answer.fields[0].path.chars().count(), LONGEST);
            assert_eq!(answer.fields[0].translated, "2[1m");
        }
        differing.forget();
        assert_eq!(differing.latest(), []);
    }
}
