//! A panic in one request is that request's failure and nobody else's.

use crate::{response::panicked, upstream::Body};
use futures_util::FutureExt;
use http::Response;
use std::{future::Future, panic::AssertUnwindSafe};

/// The answer, or a 500 where making it panics. What is shared is behind locks that go on after a panic, and never left
/// half changed under them.
pub async fn contained(answering: impl Future<Output = Response<Body>>) -> Response<Body> {
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(panic = text, "a request could not be answered: a mistake in jobshim");
            panicked()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::full;

    #[tokio::test]
    async fn a_panic_is_a_500_for_that_one_request() {
        let contained_panic = contained(async { panic!("on purpose") }).await;
        assert_eq!(contained_panic.status(), 500);
        assert_eq!(
            contained_panic.headers()["proxy-status"],
            "jobshim; error=proxy_internal_error"
        );
        let untouched = contained(async { Response::new(full("fine")) }).await;
        assert_eq!(untouched.status(), 200);
    }
}
