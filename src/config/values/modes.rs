//! Modes as people write them: `translate`, `canary:30,compare`, `gone:5`, one for all legacy routes or one for each.

use super::invalid_value::InvalidValue;
use crate::{
    config::{field_path::FieldPath, nearest::known_names},
    routes::RouteName,
};
use std::{collections::BTreeMap, fmt};
use strum::{EnumString, IntoStaticStr, VariantNames};

/// Who answers the calls of a legacy route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum Mode {
    /// The Jobs API, by translation.
    Translate,
    /// The server's own legacy endpoint.
    Forward,
    /// The same, and the translated answer is compared with it.
    Shadow,
    /// The Jobs API for some clients, the legacy endpoint for the others.
    Canary,
    /// The Jobs API, or the legacy endpoint while the server has no Jobs API.
    Auto,
    /// Nobody: 410.
    Gone,
}

/// A part of a whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// The whole.
    pub const ALL: Self = Self(10_000);

    /// Whether `draw`, a number that may be anything with equal chance, falls into the share.
    pub fn has(self, draw: u64) -> bool {
        draw % u64::from(Self::ALL.0) < u64::from(self.0)
    }

    /// Whether `part` is more than this share of `whole`.
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        part.saturating_mul(u64::from(Self::ALL.0)) > whole.saturating_mul(u64::from(self.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let percent: f64 = text.trim_end_matches('%').trim().parse().ok()?;
        let share = (0.0..=100.0).contains(&percent).then(|| (percent * 100.0).round())?;
        Some(Self(share as u16))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", f64::from(self.0) / 100.0)
    }
}

/// The mode of one route, and its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who answers.
    pub mode: Mode,
    /// Of the clients (canary) or the requests (gone); the whole where a mode has no share.
    pub percent: Share,
    /// Whether forwarded reads of a canary are compared with what translation makes of them.
    pub compare: bool,
    /// When a canary goes back by itself.
    pub rollback: Option<Rollback>,
}

/// The shares beyond which a canary goes back to forwarding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollback {
    /// Of compared answers, those that differ.
    pub differences: Option<Share>,
    /// Of translated answers, those that are failures.
    pub failures: Option<Share>,
}

impl Policy {
    /// A mode that has no numbers, or all of its own.
    fn of(mode: Mode) -> Self {
        Self {
            mode,
            percent: Share::ALL,
            compare: false,
            rollback: None,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.mode.into())?;
        match self.mode {
            Mode::Canary | Mode::Gone => write!(out, " {}", self.percent)?,
            Mode::Translate | Mode::Forward | Mode::Shadow | Mode::Auto => {}
        }
        if self.compare {
            out.write_str(", compare")?;
        }
        let limits = self.rollback.unwrap_or_default();
        for (most, what) in [(limits.differences, "differences"), (limits.failures, "failures")] {
            if let Some(most) = most {
                write!(out, ", back over {most} {what}")?;
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Whether requests go to the server's own legacy endpoint, be there one or not.
    pub fn needs_legacy_endpoint(&self) -> bool {
        match self.mode {
            Mode::Forward | Mode::Shadow => true,
            Mode::Canary => self.percent != Share::ALL,
            Mode::Translate | Mode::Auto | Mode::Gone => false,
        }
    }

    /// What it means for `route`, for people; `legacy` is where forwarded calls go.
    pub fn meaning(&self, route: RouteName, legacy: &http::Uri) -> String {
        let percent = self.percent;
        let rest = match percent == Share::ALL {
            true => String::new(),
            false => format!(" to {percent} of the requests; the others are answered from the Jobs API"),
        };
        match self.mode {
            Mode::Translate => "answered from the Jobs API".to_owned(),
            Mode::Forward => format!("passed to {legacy}"),
            Mode::Shadow if !route.has_reads() => format!("passed to {legacy}; writes are not compared"),
            Mode::Shadow => format!("passed to {legacy}; then compared with the answer from the Jobs API"),
            Mode::Canary => {
                format!("answered from the Jobs API for {percent} of clients, passed to {legacy} for the others")
            }
            Mode::Auto => format!("answered from the Jobs API; passed to {legacy} while the server has none"),
            Mode::Gone => format!("answered 410{rest}"),
        }
    }
}

/// Modes of single routes.
pub type RoutePolicies = BTreeMap<RouteName, Policy>;

/// What a mode may be given.
const OPTIONS: [&str; 5] = [
    "mode",
    "percent",
    "compare",
    "rollback.differences",
    "rollback.failures",
];

/// `MODE[:PERCENT][,NAME=VALUE]...`; from a table of the file the mode and the percentage come by their names too.
pub(crate) fn policy(text: &str) -> Result<Policy, InvalidValue> {
    let (mut mode, mut percent, mut compare) = (None, None, false);
    let mut rollback: Option<Rollback> = None;
    let share = |value: &str| Share::parse(value).ok_or(format!("{value:?} is no percentage from 0 to 100"));
    for (nth, part) in text.split(',').map(str::trim).enumerate() {
        let (name, value) = part.split_once('=').unwrap_or((part, "true"));
        match (name.trim(), value.trim()) {
            ("mode", word) => mode = Some(mode_of(word)?),
            ("percent", value) => percent = Some(share(value)?),
            ("compare", "true") => compare = true,
            ("compare", "false") => compare = false,
            ("rollback.differences", value) => rollback.get_or_insert_default().differences = Some(share(value)?),
            ("rollback.failures", value) => rollback.get_or_insert_default().failures = Some(share(value)?),
            (first, "true") if nth == 0 => {
                let (word, value) = match first.split_once(':') {
                    Some((word, value)) => (word, Some(value)),
                    None => (first, None),
                };
                mode = Some(mode_of(word)?);
                percent = match value {
                    Some("") => return Err(format!("a percentage is expected behind {word}:, such as {word}:5").into()),
                    value => value.map(share).transpose()?,
                };
            }
            (other, _) => {
                return Err(format!("{other:?} is no option of a mode; {}", known_names(other, OPTIONS)).into());
            }
        }
    }
    let mode = mode.ok_or("the mode is missing")?;
    if mode != Mode::Canary && (compare || rollback.is_some()) {
        return Err("compare and rollback are for canary; shadow always compares".into());
    }
    if !compare && rollback.is_some_and(|rollback| rollback.differences.is_some()) {
        return Err("rollback.differences needs compare: without it no differences are looked for".into());
    }
    match (mode, percent) {
        (Mode::Canary, None) => Err("canary needs the percentage of clients, such as canary:30".into()),
        (Mode::Canary | Mode::Gone, Some(percent)) => Ok(Policy {
            percent,
            compare,
            rollback,
            ..Policy::of(mode)
        }),
        (_, None) => Ok(Policy::of(mode)),
        (_, Some(_)) => Err("a percentage is for canary and gone".into()),
    }
}

/// Such as `10%`.
pub(crate) fn share(text: &str) -> Result<Share, InvalidValue> {
    Share::parse(text).ok_or_else(|| "a percentage from 0 to 100 is expected, such as 10%".into())
}

/// Paths into an entry, one a line or with `;` between them, such as `prompt[3].client_id` or `outputs.*.text`.
pub(crate) fn paths(text: &str) -> Result<Vec<FieldPath>, InvalidValue> {
    let lines = text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| FieldPath::parse(line).map_err(|error| error.to_string().into()))
        .collect()
}

fn mode_of(word: &str) -> Result<Mode, InvalidValue> {
    word.parse().map_err(|_| {
        format!(
            "{word:?} is no mode; {}",
            known_names(word, Mode::VARIANTS.iter().copied())
        )
        .into()
    })
}

/// One `ROUTE=MODE` a line, or several with `;` between them.
pub(crate) fn routes(text: &str) -> Result<RoutePolicies, InvalidValue> {
    let lines = text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, mode) = line.split_once('=').ok_or("ROUTE=MODE is expected")?;
            let route = RouteName::ALL.iter().find(|route| route.as_str() == name.trim());
            let names = RouteName::ALL.iter().map(|route| route.as_str());
            let route = route.ok_or_else(|| {
                format!(
                    "{:?} is no legacy route; {}",
                    name.trim(),
                    known_names(name.trim(), names)
                )
            })?;
            let policy = policy(mode).map_err(|reason| format!("{name}: {reason}"))?;
            Ok((*route, policy))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_in_its_short_and_its_long_form() {
        for (text, shown) in [
            ("translate", "translate"),
            (" forward ", "forward"),
            ("canary:30", "canary 30%"),
            ("canary:0.5%", "canary 0.5%"),
            ("percent=12.25,mode=canary", "canary 12.25%"),
            ("mode=gone,percent=5", "gone 5%"),
            ("gone", "gone 100%"),
            ("auto", "auto"),
            ("shadow", "shadow"),
            ("canary:30,compare", "canary 30%, compare"),
            (
                "compare=true,mode=canary,percent=30,rollback.differences=1%,rollback.failures=0.5",
                "canary 30%, compare, back over 1% differences, back over 0.5% failures",
            ),
        ] {
            let read = policy(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, reason) in [
            ("", "\"\" is no mode"),
            ("mirror", "\"mirror\" is no mode; there are translate, forward"),
            ("canary", "canary needs the percentage"),
            ("canary:101", "\"101\" is no percentage"),
            ("canary:", "a percentage is expected behind canary:, such as canary:5"),
            ("gone:", "a percentage is expected behind gone:"),
            ("shaddow", "\"shaddow\" is no mode; did you mean shadow?"),
            (
                "canary:5,rolback.failures=1%",
                "\"rolback.failures\" is no option of a mode; did you mean rollback.failures?",
            ),
            ("canary:-1", "\"-1\" is no percentage"),
            ("canary:NaN", "\"NaN\" is no percentage"),
            ("translate:30", "a percentage is for canary and gone"),
            ("canary:30,sometimes", "\"sometimes\" is no option of a mode"),
            ("percent=5", "the mode is missing"),
            ("translate,compare", "compare and rollback are for canary"),
            ("canary:5,rollback.differences=1%", "rollback.differences needs compare"),
        ] {
            let error = policy(text).expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
        assert!(routes("histories=forward").is_err_and(|error| error.contains("history_entry")));
        assert!(routes("history").is_err());
        assert!(routes("history=gone:x").is_err_and(|error| error.starts_with("history: ")));
        assert!(paths("prompt[4]\noutputs.*..text").is_err_and(|error| error.contains("is no path")));
    }

    #[test]
    fn routes_stand_on_lines_or_between_semicolons() {
        let read = routes("history=canary:30; queue = forward\n\njob_cancel=auto").expect("three routes");
        let shown: Vec<String> = read
            .iter()
            .map(|(route, policy)| format!("{}: {policy}", route.as_str()))
            .collect();
        assert_eq!(shown, ["history: canary 30%", "queue: forward", "job_cancel: auto"]);
    }
}
