//! What of a self-hosted ComfyUI a client may ask for that a server of Comfy API v2 has under other names, or not at all.

use super::{Legacy, passing::JobsCall};
use crate::{http::request_head::RequestHead, jobs_api::DialectKind, mapping::dialect::V2Instead};
use http::Method;

/// What is asked for.
pub enum V2Call<'a> {
    /// The Jobs API, as a self-hosted ComfyUI has it.
    Jobs(JobsCall),
    /// What has something else in its place.
    Other(V2Instead<'a>),
}

impl Legacy {
    /// What a passing request asks for in other words than the server has, if the server speaks Comfy API v2, or it is not known
    /// that it does not.
    pub fn v2_call(&self, head: &RequestHead) -> Option<V2Call<'_>> {
        if !matches!(self.jobs.known_dialect(), None | Some(DialectKind::V2)) || *head.method() == Method::OPTIONS {
            return None;
        }
        let names = self.jobs.names(DialectKind::V2).names.v2.as_ref()?;
        let path = head.uri().path();
        // By the names that a self-hosted ComfyUI has: clients go by those.
        match JobsCall::of(head.method(), path, self.jobs.names(DialectKind::Comfyui)) {
            Some(call) => Some(V2Call::Jobs(call)),
            None => names.instead(path).map(V2Call::Other),
        }
    }
}
