//! A method that a legacy path does not know: the server's to answer where its endpoint is asked.

use super::{
    Pipeline,
    failure::passed,
    pipeline::{Answering, at_once, later},
    request::ArrivedRequest,
};
use crate::{
    jobs_api::JobsError,
    legacy::InvalidateOnDrop,
    migration::modes::Decision,
    proxy::{failure::wrong_method, hints::OriginHeaders},
    routes::{LegacyWrite, WrongMethod},
};

impl Pipeline {
    /// Such a request is no call of the legacy surface, so nobody is counted for it and no canary is judged on it.
    pub(super) fn answer_wrong_method<'a>(
        &'a self,
        wrong: WrongMethod,
        request: ArrivedRequest<'a>,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        let scope = self.scope(&request.head);
        let client = || self.shared.store.scope_key().client(&scope, request.record.peer.client);
        let decision = self.modes.decide(wrong.route, client);
        if matches!(decision, Decision::Translate | Decision::Gone) {
            return at_once(wrong_method(request.head.method(), wrong.allow));
        }
        let request = self.going_on(request);
        later(async move {
            if decision == Decision::TranslateIfThere {
                let caller = request.caller(scope);
                let dialect = self.legacy.jobs().dialect(&caller).await;
                if !matches!(dialect, Err(JobsError::Missing { .. })) {
                    return wrong_method(request.head.method(), wrong.allow);
                }
            }
            // Nobody knows what it does there.
            let invalidation = (!request.head.method().is_safe())
                .then(|| InvalidateOnDrop::new(&self.legacy, &LegacyWrite::History, None, scope));
            let answer = passed(self.forward(request, false).await);
            if let Some(invalidation) = invalidation {
                invalidation.end_passed().await;
            }
            self.annotate(answer, &asked)
        })
    }
}
