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
        for Line { name, value, note } in &self.settings {
            writeln!(out, "{name:<26} {value:<28} {note}")?;
        }
        writeln!(out)?;
        for Line { name, value, note } in &self.routes {
            writeln!(out, "{name:<26} {value:<28} {note}")?;
        }
        Ok(())
    }
}
