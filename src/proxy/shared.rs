//! What stays for as long as the program runs, whatever a reload replaces.

use super::{diagnosis::Diagnosis, forward::ClientSockets, hints::RateLimitedLog};
use crate::{
    auth::access_token::Access,
    config::TrustedProxies,
    http::{buffered::BufferBudget, validate::HeadLimits},
    legacy::live::LiveFeeds,
    store::Store,
    telemetry::Observer,
    upstream::Upstream,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, Semaphore};

/// What all requests share. It is made once, at the start.
pub(super) struct Shared {
    pub access: Access,
    pub upstream: Arc<Upstream>,
    /// Where forwarded legacy calls go, when it is another server.
    pub legacy_upstream: Option<Arc<Upstream>>,
    /// Whether answers may be compressed.
    pub compress: bool,
    pub store: Arc<Store>,
    /// The longest prompt that is looked into, in bytes.
    pub max_noted: usize,
    pub budget: BufferBudget,
    /// The WebSockets that are open.
    pub sockets: Arc<ClientSockets>,
    /// The clients that listen where the server has no WebSockets.
    pub live: Arc<LiveFeeds>,
    pub trusted_proxies: TrustedProxies,
    /// The largest body of a legacy write, in bytes.
    pub max_write_body: usize,
    pub bounds: HeadLimits,
    /// How long a client may send nothing of a body.
    pub idle_timeout: Duration,
    /// Permits to make an answer.
    pub translation_permits: Arc<Semaphore>,
    pub log_hint: RateLimitedLog,
    pub diagnosis: Diagnosis,
    pub observer: Arc<Observer>,
    /// Held while asking whether the upstream is there.
    pub probing: Mutex<()>,
}
