//! A method that a legacy path does not know: the server's to answer where its endpoint is asked.

use super::{Answering, Service, at_once, later, passage::refused};
use crate::{
    jobs::JobsError,
    legacy::Touching,
    mistakes::Asked,
    modes::Decision,
    observe::Exchange,
    response::wrong_method,
    route::{LegacyWrite, WrongMethod},
};
use http::request::Parts;
use hyper::body::Incoming;

impl Service {
    /// Such a request is no call of the legacy surface, so nobody is counted for it and no canary is judged on it.
    pub(super) fn answer_wrong_method<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        wrong: WrongMethod,
        mut head: Parts,
        body: Incoming,
    ) -> Answering<'a> {
        let scope = self.scope(exchange, &head);
        let client = || self.state.scope_key().client(&scope, exchange.peer.client);
        let decision = self.modes.decide(wrong.route, client);
        if matches!(decision, Decision::Translate | Decision::Gone) {
            return at_once(wrong_method(&head.method, wrong.allow));
        }
        let asked = Asked::of(exchange.marks, &head.headers);
        let body = self.named(exchange, &mut head, body);
        later(async move {
            if decision == Decision::TranslateIfThere {
                let caller = self.caller(exchange, scope, &head);
                let dialect = self.legacy.jobs().dialect(&caller).await;
                if !matches!(dialect, Err(JobsError::Missing { .. })) {
                    return wrong_method(&head.method, wrong.allow);
                }
            }
            // Nobody knows what it does there.
            let touching =
                (!head.method.is_safe()).then(|| Touching::new(&self.legacy, &LegacyWrite::History, None, scope));
            let response = self.forward(exchange, head, body).await.unwrap_or_else(refused);
            if let Some(touching) = touching {
                touching.end().await;
            }
            self.advised(response, &asked)
        })
    }
}
