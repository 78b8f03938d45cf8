//! A panic in one request is that request's failure and nobody else's.

use super::{answer::Answer, response::panicked};
use crate::telemetry::Observer;
use futures_util::FutureExt;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The answer, or a 500 where making it panics, at once or later. What is shared is behind locks that go on after a panic,
/// and never left half changed under them. An answer that panics while it is sent breaks off, and is counted by its
/// [`RequestRecord`](crate::telemetry::RequestRecord).
pub fn contained<A: Future<Output = Answer>>(
    observer: &Observer,
    answer: impl FnOnce() -> A,
) -> impl Future<Output = Answer> {
    let begun = catch_unwind(AssertUnwindSafe(answer));
    async move {
        let answer = match begun {
            Ok(answering) => AssertUnwindSafe(answering).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        answer.unwrap_or_else(|panic| answer_for(&*panic, observer))
    }
}

fn answer_for(panic: &(dyn Any + Send), observer: &Observer) -> Answer {
    observer.panicked();
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text, "a request could not be answered: a mistake in jobshim");
    panicked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{
            body::{BoxError, full},
            peer::Peer,
            request_head::RequestHead,
        },
        telemetry::Endpoint,
    };
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use std::{future::Ready, sync::Arc};

    #[track_caller]
    fn assert_counted(observer: &Observer, panics: u64) {
        let text = observer.metrics().text().expect("metrics");
        for line in [
            format!("jobshim_panics_total {panics}"),
            "jobshim_requests_in_flight 0".to_owned(),
        ] {
            assert!(text.lines().any(|counted| counted == line), "not {line}:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_500_for_that_one_request_and_is_counted() {
        let observer = Observer::default();
        let later = contained(&observer, || async { panic!("on purpose") }).await;
        let at_once = contained(&observer, || -> Ready<Answer> { panic!("on purpose") }).await;
        for contained_panic in [later, at_once] {
            assert_eq!(contained_panic.response.status(), 500);
            assert_eq!(
                contained_panic.response.headers()["proxy-status"],
                "jobshim; error=proxy_internal_error"
            );
        }
        let untouched = contained(&observer, || async { Answer::upstream(Response::new(full("fine"))) }).await;
        assert_eq!(untouched.response.status(), 200);
        assert_counted(&observer, 2);
    }

    #[tokio::test]
    async fn a_panic_while_an_answer_is_sent_is_counted_too() {
        let observer = Arc::new(Observer::default());
        let peer = Peer::new(([127, 0, 0, 1], 1).into());
        for (fails, panics) in [(true, 1), (false, 1)] {
            let frames = futures_util::stream::once(async move {
                assert!(!fails, "on purpose");
                Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"fine")))
            });
            let (head, ()) = Request::new(()).into_parts();
            let record = observer.begin(&RequestHead::new(head), Endpoint::Other, peer);
            let answer = record.watch(Response::new(StreamBody::new(frames).boxed_unsync()));
            let sending = tokio::spawn(answer.into_body().collect());
            assert_eq!(sending.await.is_err(), fails);
            assert_counted(&observer, panics);
        }
    }
}
