//! What is in force, as people may see it: no secret is in it.

use super::load::Loaded;
use crate::routes::RouteName;
use std::fmt;

/// Every setting, and every route.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// By key.
    pub settings: Vec<Line>,
    /// By route.
    pub routes: Vec<Line>,
    /// The keys that have changed and wait for a restart.
    pub waiting: Vec<&'static str>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Line {
    /// The key, or the route.
    pub name: &'static str,
    /// What it is set to.
    pub value: String,
    /// Where that comes from, or what it means.
    pub note: String,
}

impl InForce {
    /// What `loaded` puts in force.
    pub fn of(loaded: &Loaded) -> Self {
        let settings = loaded.values.iter().map(|value| Line {
            name: value.key.name,
            value: match value.shown() {
                nothing if nothing.is_empty() => "(none)".to_owned(),
                shown => shown,
            },
            note: value.origin.to_string(),
        });
        let legacy = &loaded.config.legacy;
        let routes = RouteName::ALL.iter().map(|&route| Line {
            name: route.as_str(),
            value: legacy.policy(route).to_string(),
            note: legacy.policy(route).meaning(route, loaded.config.legacy_url()),
        });
        Self {
            settings: settings.collect(),
            routes: routes.collect(),
            waiting: Vec::new(),
        }
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.settings.iter().chain(&self.routes);
        let length = |text: &str| text.chars().count();
        let names = all().map(|line| length(line.name)).max().unwrap_or(0);
        let values = all().map(|line| length(&line.value)).filter(|&length| length <= WIDEST);
        let values = values.max().unwrap_or(0);
        for lines in [&self.settings, &self.routes] {
            for Line { name, value, note } in lines {
                match length(value) > values {
                    // A long value has a line of its own, so that the columns stay where they are.
                    true => writeln!(out, "{name:<names$}  {value}\n{:<names$}  {:<values$}  {note}", "", "")?,
                    false => writeln!(out, "{name:<names$}  {value:<values$}  {note}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// The longest value that still has its note beside it.
const WIDEST: usize = 36;
