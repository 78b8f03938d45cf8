//! One request on its way: what belongs to it is one value, made once.

use super::shutdown::Shutdown;
use crate::{
    auth::scope::Scope,
    http::{body::Body, request_head::RequestHead},
    jobs_api::Caller,
    migration::modes::Decision,
    telemetry::RequestRecord,
};
use hyper::body::Incoming;
use std::sync::Arc;

/// A request that was let in, and nothing of whose body was read yet.
pub(super) struct ArrivedRequest<'a> {
    /// What is noted of it, and whom it comes from.
    pub record: &'a mut RequestRecord,
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: Incoming,
    /// For what may outlive it: a tunnel, or a write.
    pub shutdown: Option<Shutdown>,
}

/// A request that goes on.
pub(super) struct ClientRequest<'a> {
    /// What is noted of it, and whom it comes from.
    pub record: &'a RequestRecord,
    /// Its head, with the request's id.
    pub head: RequestHead,
    /// Its body.
    pub body: Body,
    /// For what may outlive it: a tunnel, or a write.
    pub shutdown: Option<Shutdown>,
}

impl ClientRequest<'_> {
    /// On whose behalf the Jobs API is asked for it.
    pub(super) fn caller(&self, scope: Scope) -> Arc<Caller> {
        caller(self.record, &self.head, scope)
    }
}

/// A call of a legacy endpoint.
pub(super) struct LegacyRequest<'a> {
    /// The request.
    pub request: ClientRequest<'a>,
    /// Whose it is.
    pub scope: Scope,
    /// Who is to answer it.
    pub decision: Decision,
}

impl LegacyRequest<'_> {
    /// On whose behalf the Jobs API is asked for it.
    pub(super) fn caller(&self) -> Arc<Caller> {
        self.request.caller(self.scope)
    }

    /// As [`LegacyRequest::caller`], where what is done is not what the request itself needs.
    pub(super) fn caller_beside(&self) -> Arc<Caller> {
        caller_beside(self.request.record, &self.request.head, self.scope)
    }
}

/// As [`caller`], where what is done is not what the request itself needs.
pub(super) fn caller_beside(record: &RequestRecord, head: &RequestHead, scope: Scope) -> Arc<Caller> {
    let stats = Arc::new(record.stats.beside());
    let address = record.peer.address.ip();
    Arc::new(Caller::new(head.headers(), head.uri(), address, scope, stats))
}

/// On whose behalf the Jobs API is asked for a request.
pub(super) fn caller(record: &RequestRecord, head: &RequestHead, scope: Scope) -> Arc<Caller> {
    let address = record.peer.address.ip();
    Arc::new(Caller::new(
        head.headers(),
        head.uri(),
        address,
        scope,
        Arc::clone(&record.stats),
    ))
}
