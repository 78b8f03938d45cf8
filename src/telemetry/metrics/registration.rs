//! Under which names, in which units and with which words the metrics are shown.

use super::Metrics;
use crate::telemetry::findings::Findings;
use prometheus_client::{
    metrics::info::Info,
    registry::{Registry, Unit},
};
use std::sync::Arc;

impl Metrics {
    /// The names of all metrics; `findings` counts for itself.
    pub(super) fn registry(&self, findings: Arc<Findings>) -> Registry {
        let mut registry = Registry::with_prefix("jobshim");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which jobshim this is", build);
        registry.register(
            "config_last_reload_successful",
            "1 when the last configuration that was read is in force, 0 when it was refused",
            self.config_taken.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "When a configuration was last put in force, since 1970",
            Unit::Seconds,
            self.config_taken_at.clone(),
        );
        self.name_requests(&mut registry);
        self.name_upstream(&mut registry);
        self.name_cache(&mut registry);
        registry.register_with_unit(
            "state_stale",
            "For how long the store that replicas share has not answered; 0 while it does, and where there is none",
            Unit::Seconds,
            self.state_stale.clone(),
        );
        registry.register(
            "kept_jobs",
            "Jobs that stay answerable after their server has lost them (history.keep)",
            self.kept_jobs.clone(),
        );
        registry.register_with_unit(
            "kept",
            "What those take in the store",
            Unit::Bytes,
            self.kept_bytes.clone(),
        );
        registry.register_collector(Box::new(findings));
        registry.register_with_unit(
            "shadow_translation_duration",
            "How long it took to make a translation that was compared; its client did not wait for it",
            Unit::Seconds,
            self.shadow_durations.family.clone(),
        );
        registry.register(
            "canary_rolled_back",
            "By route in mode canary: 1 when it has gone back to forwarding by itself, 0 while it goes on",
            self.rolled_back.clone(),
        );
        registry.register(
            "verdict",
            "1 for the verdict on each legacy route, as the page and the report have it in words",
            self.verdicts.clone(),
        );
        registry
    }

    fn name_requests(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests by route, mode, where the answer came from and class of its status; none: the client left first",
            self.requests.family.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the last byte of its answer",
            Unit::Seconds,
            self.durations.family.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests whose answer is not complete",
            self.in_flight.clone(),
        );
        registry.register(
            "panics",
            "Requests that failed for a mistake in jobshim; the log has more",
            self.panics.clone(),
        );
        registry.register_with_unit(
            "request",
            "Bytes of request bodies",
            Unit::Bytes,
            self.received.family.clone(),
        );
        registry.register_with_unit(
            "response",
            "Bytes of answer bodies",
            Unit::Bytes,
            self.sent.family.clone(),
        );
        registry.register(
            "connections",
            "Connections accepted from clients",
            self.connections.clone(),
        );
        registry.register(
            "connections_open",
            "Connections of clients that are open, upgraded ones included",
            self.connections_open.clone(),
        );
        registry.register(
            "tunnels_open",
            "Upgraded connections, such as WebSockets, that are open",
            self.tunnels_open.clone(),
        );
        registry.register_with_unit(
            "tunnel",
            "Bytes through upgraded connections, counted as they end",
            Unit::Bytes,
            self.tunnel_bytes.family.clone(),
        );
    }

    fn name_upstream(&self, registry: &mut Registry) {
        registry.register(
            "upstream_calls",
            "Calls to the upstream by what was asked and class of the answer's status; none: there was no answer",
            self.calls.family.clone(),
        );
        registry.register_with_unit(
            "upstream_call_duration",
            "How long a call took: what is passed on to the head of its answer, others to the last byte",
            Unit::Seconds,
            self.call_durations.family.clone(),
        );
        registry.register(
            "upstream_failures",
            "Calls to the upstream that have no answer, by what was asked and why",
            self.failures.family.clone(),
        );
        registry.register(
            "upstream_up",
            "1 when the last call to the upstream was answered, 0 when it was not or none was made",
            self.upstream_up.clone(),
        );
    }

    fn name_cache(&self, registry: &mut Registry) {
        registry.register(
            "cache_lookups",
            "Jobs looked up in memory, by whether they were there",
            self.lookups.family.clone(),
        );
        registry.register_with_unit(
            "buffered",
            "Bodies held in memory, and what is kept of lists while they are read, of server.max_buffered",
            Unit::Bytes,
            self.buffered.clone(),
        );
        registry.register("cache_entries", "Jobs kept in memory", self.cache_entries.clone());
        registry.register_with_unit(
            "cache",
            "What the jobs kept in memory take",
            Unit::Bytes,
            self.cache_bytes.clone(),
        );
    }
}
