//! The end of a legacy endpoint: 410.

use super::{Proxy, housekeeping::PATIENCE, translation::call};
use crate::{
    http::{body::Body, headers::carried},
    jobs_api::Caller,
    migration::notices::Target,
    proxy::response::{LocalAnswer, gone},
};
use http::{Response, StatusCode, header::ORIGIN, request::Parts};
use tokio::time::timeout;

impl Proxy {
    /// What mode `gone` answers. Nobody is asked, unless the request is a web page's: whether that may ask and read the
    /// answer is the server's word, and comes with whatever the server answers (docs/contract.md section 6).
    pub(super) async fn gone(&self, head: &Parts, successor: Option<Target<'_>>, caller: &Caller) -> Response<Body> {
        let successor = successor.map(|successor| successor.concat());
        let mut response = gone(&call(head), successor.as_deref(), self.notices.guide());
        if head.headers.contains_key(ORIGIN)
            && let Ok(Ok(answer)) = timeout(PATIENCE, self.legacy.jobs().ping(caller)).await
        {
            response.headers_mut().extend(carried(&answer.headers));
            if answer.status != StatusCode::FORBIDDEN {
                response.extensions_mut().remove::<LocalAnswer>();
            }
        }
        response
    }
}
