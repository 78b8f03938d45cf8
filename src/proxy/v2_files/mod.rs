//! Files of clients of ComfyUI at a server of Comfy API v2: an upload becomes an asset, and `/view` shows one.

mod upload;
mod upload_body;
mod view;

use super::{Pipeline, forward::ForwardedRequest};
use crate::{
    http::request_head::RequestHead, jobs_api::DialectKind, telemetry::RequestRecord, upstream::UpstreamError,
};

impl Pipeline {
    /// The way of a request to `target` of a server of Comfy API v2.
    fn passage_at<'a>(
        &'a self,
        record: &'a RequestRecord,
        head: &RequestHead,
        target: &str,
    ) -> Result<ForwardedRequest<'a>, UpstreamError> {
        let uri = self.shared.upstream.uri(target)?;
        let forwarded = self.passage_to(record, head, Some(DialectKind::V2))?;
        Ok(ForwardedRequest { uri, ..forwarded })
    }
}
