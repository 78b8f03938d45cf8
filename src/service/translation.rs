//! What reads and writes of the legacy surface share: who is to answer, a turn to do so, and the answer.

use super::Service;
use crate::{
    encoding::Encoding,
    jobs::JobsError,
    legacy::{LegacyAnswer, LegacyError},
    modes::Decision,
    observe::Exchange,
    outside::Outside,
    response::{busy, legacy_failure, translated},
    route::RouteName,
    scope::Scope,
    upstream::{Body, UpstreamError},
};
use http::{Response, StatusCode, request::Parts};
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// How long a request may wait for its turn to be translated.
const TURN: Duration = Duration::from_secs(2);

impl Service {
    /// Whose a legacy call is, and who is to answer it.
    pub(super) fn decide(&self, exchange: &mut Exchange, route: RouteName, head: &Parts, scope: Scope) -> Decision {
        let key = self.state.scope_key();
        exchange.called_by(head, Some(scope).filter(|scope| !key.is_nobody(scope)));
        exchange.under(self.modes.policy(route).mode.into());
        let client = || key.client(&scope, exchange.peer.client);
        self.modes.decide(route, client)
    }

    /// Whether an error says that the legacy endpoint could not have been reached either: nothing of the translation.
    fn is_down(&self, error: &LegacyError) -> bool {
        let LegacyError::Jobs(JobsError::Upstream(UpstreamError::Connect { .. })) = error else {
            return false;
        };
        self.legacy_upstream.is_none()
    }

    /// A turn to make an answer. Most are made in a moment, so a burst waits in line; behind a server that hangs the line
    /// does not move, and nobody is kept for long.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await.ok()?;
        turn.ok()
    }

    /// What is answered where no turn has come.
    pub(super) fn too_busy(&self, route: RouteName) -> Response<Body> {
        self.modes.translated(route, true);
        busy()
    }

    /// The response of a translation of `route`, on which a canary of it is judged.
    pub(super) async fn answered(
        &self,
        outcome: Result<LegacyAnswer, LegacyError>,
        encoding: Option<Encoding>,
        asked: &(dyn Debug + Sync),
        route: RouteName,
    ) -> Response<Body> {
        let down = outcome.as_ref().is_err_and(|error| self.is_down(error));
        let response = self.response(outcome, encoding, asked).await;
        let failed = response.status().is_server_error() && !down;
        self.modes.translated(route, failed);
        response
    }

    async fn response(
        &self,
        outcome: Result<LegacyAnswer, LegacyError>,
        encoding: Option<Encoding>,
        asked: &(dyn Debug + Sync),
    ) -> Response<Body> {
        let error = match outcome {
            Ok(answer) => return translated(answer, encoding, self.compress),
            Err(error) => error,
        };
        let finding = match &error {
            LegacyError::Jobs(error) => Box::pin(self.diagnosis.of(error)).await,
            _ => None,
        };
        let cause = finding.map(|finding| finding.to_string());
        let asked = Outside::new(format!("{asked:?}"));
        if let LegacyError::Jobs(JobsError::Refused { call, answer }) = &error
            && answer.status.is_redirection()
        {
            let status = answer.status.as_u16();
            self.adviser
                .say(&format!("the upstream answered {status} to {call}: a login page?"));
        }
        tracing::warn!(%asked, %error, cause, "a legacy request could not be answered");
        legacy_failure(error, cause.as_deref())
    }
}

/// Whether a status says that an endpoint is not there (CONTRACT.md section 5).
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 410 | 501)
}

/// Such as `POST /queue`.
pub(super) fn call(head: &Parts) -> String {
    Outside::new(format_args!("{} {}", head.method, head.uri.path())).to_string()
}
