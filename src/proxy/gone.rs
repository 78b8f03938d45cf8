//! The end of a legacy endpoint: 410.

use super::{Pipeline, housekeeping::PATIENCE, translation::call};
use crate::http::request_head::RequestHead;
use crate::{
    http::headers::carried,
    jobs_api::Caller,
    migration::notices::Target,
    proxy::{
        answer::{Answer, Origin},
        response::gone,
    },
};
use http::{StatusCode, header::ORIGIN};
use tokio::time::timeout;

impl Pipeline {
    /// What mode `gone` answers. Nobody is asked, unless the request is a web page's: whether that may ask and read the
    /// answer is the server's word, and comes with whatever the server answers (docs/contract.md section 6).
    pub(super) async fn gone(&self, head: &RequestHead, successor: Option<Target<'_>>, caller: &Caller) -> Answer {
        let successor = successor.map(|successor| successor.concat());
        let mut answer = gone(&call(head), successor.as_deref(), self.notices.guide());
        if head.headers().contains_key(ORIGIN)
            && let Ok(Ok(pinged)) = timeout(PATIENCE, self.legacy.jobs().ping(caller)).await
        {
            answer.response.headers_mut().extend(carried(&pinged.headers));
            if pinged.status != StatusCode::FORBIDDEN {
                answer.origin = Origin::Jobshim { asked: true };
            }
        }
        answer
    }
}
