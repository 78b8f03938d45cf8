//! The first words of the log about the server behind: what it is, and what becomes of legacy calls there.

use super::{
    Pipeline,
    shared_jobs::{KNOWS_NO_JOB, shares_jobs},
};
use crate::{
    config::{Config, Mode},
    http::outside::Outside,
    jobs_api::{Caller, DialectKind, JobsError},
    routes::RouteName,
    upstream::{Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::sync::Arc;

/// A legacy endpoint of every server that has any.
const LEGACY_PATH: &str = "/queue";

impl Pipeline {
    /// Asks the upstream what it is, and logs the answer, or why there is none. A dialect that was configured is believed.
    pub async fn greet_upstream(&self, config: &Config) {
        let kind = match self.legacy.jobs().dialect(&Caller::default()).await {
            Ok(kind) => kind,
            Err(error) => return self.greet_in_vain(&error, config).await,
        };
        if let Err(error) = self.say_connected(kind, config).await {
            tracing::info!("legacy calls are {}", outlook(config, false));
            let error = JobsError::Upstream(error);
            let cause = self.shared.diagnosis.cause(&error).await;
            tracing::warn!(reason = %error, cause, "the upstream cannot be asked yet; it is asked again with the first request");
            return;
        }
        let has_both = self.has_legacy_endpoints(kind).await;
        tracing::info!("legacy calls are {}", outlook(config, has_both == Some(true)));
        warn_of_no_endpoints(config, has_both);
        self.warn_of_other_jobs(kind).await;
    }

    async fn warn_of_other_jobs(&self, kind: DialectKind) {
        let Some(legacy) = &self.shared.legacy_upstream else {
            return;
        };
        let session = self.legacy.jobs().on_behalf_of(&Arc::default(), kind);
        if shares_jobs(&session, legacy).await == Some(false) {
            tracing::warn!("{KNOWS_NO_JOB}");
        }
    }

    async fn greet_in_vain(&self, error: &JobsError, config: &Config) {
        let is_missing = matches!(error, JobsError::Missing { .. });
        let needs_none = config
            .legacy
            .modes()
            .all(|mode| matches!(mode, Mode::Auto | Mode::Forward));
        if is_missing && needs_none && self.has_legacy_endpoints(DialectKind::Comfyui).await == Some(true) {
            // It has just answered.
            let _ = self.say_connected(DialectKind::Comfyui, config).await;
            match config.legacy.modes().any(|mode| mode == Mode::Auto) {
                // It says what that means.
                true => self.modes.jobs_api.found(false),
                false => tracing::info!("legacy calls are {}", outlook(config, true)),
            }
            return;
        }
        let cause = self.shared.diagnosis.cause(error).await;
        tracing::warn!(reason = %error, cause, "the upstream's dialect is not known yet; it is asked again with the first legacy request");
    }

    /// What it is; an error where it is not there.
    async fn say_connected(&self, kind: DialectKind, config: &Config) -> Result<(), UpstreamError> {
        let upstream = &self.shared.upstream;
        let server = match kind {
            DialectKind::Cloud | DialectKind::V2 => {
                let names = &self.legacy.jobs().names(kind).names;
                let target = format!("{}?{}", names.probe_path(), names.probe.query);
                let asked = upstream.call(Method::GET, &target, HeaderMap::new(), Bytes::new());
                let name = match kind {
                    DialectKind::V2 => "a server of Comfy API v2",
                    _ => "Comfy Cloud",
                };
                asked.await.map(|_| name.to_owned())?
            }
            DialectKind::Comfyui => match self.shared.diagnosis.asked_version(upstream).await? {
                Some(version) => format!("ComfyUI {version}"),
                None => "a ComfyUI that does not tell its version".to_owned(),
            },
        };
        tracing::info!(
            upstream = %config.upstream.name(),
            "connected to {}",
            Outside::new(server)
        );
        Ok(())
    }

    /// The cloud's own are answered by its website, which says nothing of them.
    async fn has_legacy_endpoints(&self, kind: DialectKind) -> Option<bool> {
        match (&self.shared.legacy_upstream, kind) {
            (Some(server), _) => has_legacy_endpoints(server).await,
            (None, DialectKind::Comfyui) => has_legacy_endpoints(&self.shared.upstream).await,
            (None, DialectKind::Cloud) => None,
            (None, DialectKind::V2) => Some(false),
        }
    }
}

/// Whether a server has endpoints for legacy calls of its own; `None` where it does not say.
pub async fn has_legacy_endpoints(server: &Upstream) -> Option<bool> {
    let asked = server
        .call(Method::HEAD, LEGACY_PATH, HeaderMap::new(), Bytes::new())
        .await;
    match asked.ok()?.status.as_u16() {
        200 => Some(true),
        404 | 405 | 410 | 501 => Some(false),
        _ => None,
    }
}

/// The routes that ask for the server's own endpoint.
fn forwarded_routes(config: &Config) -> Vec<&'static str> {
    let routes = RouteName::ALL.iter();
    let forwarded = routes.filter(|route| config.legacy.policy(**route).needs_legacy_endpoint());
    forwarded.map(|route| route.as_str()).collect()
}

fn warn_of_no_endpoints(config: &Config, has_legacy_endpoints: Option<bool>) {
    let routes = forwarded_routes(config);
    if has_legacy_endpoints == Some(false) && !routes.is_empty() {
        tracing::warn!(
            "the server has no legacy endpoints of its own, and what the mode of {} sends there is a 404: \
             mode translate answers it from the Jobs API",
            routes.join(", ")
        );
    }
}

/// What becomes of legacy calls before a server with the Jobs API, which may have its own legacy endpoints too.
pub fn outlook(config: &Config, has_legacy_endpoints: bool) -> String {
    let url = config.legacy_url();
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    for &route in RouteName::ALL {
        let meaning = config.legacy.policy(route).meaning(route, url);
        match groups.iter_mut().find(|(known, _)| *known == meaning) {
            Some((_, routes)) => routes.push(route.as_str()),
            None => groups.push((meaning, vec![route.as_str()])),
        }
    }
    let text = match groups.as_slice() {
        [(meaning, _)] => meaning.clone(),
        groups => {
            let parts = groups
                .iter()
                .map(|(meaning, routes)| format!("{meaning} ({})", routes.join(", ")));
            parts.collect::<Vec<_>>().join("; ")
        }
    };
    match has_legacy_endpoints
        && config
            .legacy
            .modes()
            .all(|mode| matches!(mode, Mode::Translate | Mode::Auto))
    {
        true => {
            format!("{text}; the server still has its own legacy endpoints, which --mode forward or shadow would use")
        }
        false => text,
    }
}
