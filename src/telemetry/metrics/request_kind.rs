//! What one request is counted under, as one number.

use crate::{
    routes::Endpoint,
    telemetry::labels::{Mode, Source, StatusClass},
};

/// What one request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKind {
    /// Its endpoint.
    pub route: Endpoint,
    /// Its mode.
    pub mode: Mode,
    /// Where its answer came from.
    pub source: Source,
    /// What the answer was.
    pub status: StatusClass,
}

impl RequestKind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = Endpoint::ALL.len() * Mode::ALL.len() * Source::ALL.len() * StatusClass::ALL.len();

    /// Its number, less than [`Self::COUNT`].
    pub(in crate::telemetry) fn number(self) -> usize {
        let number = self.route as usize;
        let number = number * Mode::ALL.len() + self.mode as usize;
        let number = number * Source::ALL.len() + self.source as usize;
        number * StatusClass::ALL.len() + self.status as usize
    }

    /// The kind with this number.
    pub fn numbered(number: usize) -> Option<Self> {
        let (rest, status) = (number / StatusClass::ALL.len(), number % StatusClass::ALL.len());
        let (rest, source) = (rest / Source::ALL.len(), rest % Source::ALL.len());
        let (rest, mode) = (rest / Mode::ALL.len(), rest % Mode::ALL.len());
        Some(Self {
            route: *Endpoint::ALL.get(rest)?,
            mode: *Mode::ALL.get(mode)?,
            source: *Source::ALL.get(source)?,
            status: *StatusClass::ALL.get(status)?,
        })
    }

    /// In words, which other versions understand.
    pub(in crate::telemetry) fn words(self) -> String {
        let (route, mode, source, status) = (
            self.route.name(),
            self.mode.name(),
            self.source.name(),
            self.status.name(),
        );
        format!("{route} {mode} {source} {status}")
    }

    /// The kind that these words are of.
    pub(in crate::telemetry) fn from_words(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let mut next = || words.next();
        let (route, mode, source, status) = (next()?, next()?, next()?, next()?);
        Some(Self {
            route: Endpoint::ALL.into_iter().find(|one| one.name() == route)?,
            mode: *Mode::ALL.iter().find(|one| one.name() == mode)?,
            source: *Source::ALL.iter().find(|one| one.name() == source)?,
            status: *StatusClass::ALL.iter().find(|one| one.name() == status)?,
        })
    }
}
