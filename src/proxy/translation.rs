//! What reads and writes of the legacy surface share: who is to answer, a permit to do so, and the answer.

use super::Pipeline;
use crate::http::request_head::RequestHead;
use crate::{
    auth::scope::Scope,
    http::{encoding::Encoding, outside::Outside},
    jobs_api::JobsError,
    legacy::{LegacyAnswer, LegacyError},
    migration::modes::Decision,
    proxy::{
        answer::Answer,
        {
            failure::{busy, legacy_failure},
            translated::translated,
        },
    },
    routes::RouteName,
    telemetry::RequestRecord,
    upstream::UpstreamError,
};
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// How long a request may wait for its translation permit.
const PERMIT_WAIT: Duration = Duration::from_secs(2);

impl Pipeline {
    /// Whose a legacy call is, and who is to answer it.
    pub(super) fn decide(
        &self,
        record: &mut RequestRecord,
        route: RouteName,
        head: &RequestHead,
        scope: Scope,
    ) -> Decision {
        let key = self.shared.store.scope_key();
        record.called_by(head.parts(), (!key.is_nobody(&scope)).then_some(scope.0));
        record.under(self.modes.policy(route).mode.into());
        let client = || key.client(&scope, record.peer.client);
        self.modes.decide(route, client)
    }

    /// Whether an error says that the legacy endpoint could not have been reached either: nothing of the translation.
    fn is_down(&self, error: &LegacyError) -> bool {
        let LegacyError::Jobs(JobsError::Upstream(UpstreamError::Connect { .. })) = error else {
            return false;
        };
        self.shared.legacy_upstream.is_none()
    }

    /// A permit to make an answer. Most are made in a moment, so a burst waits in line; behind a server that hangs the line
    /// does not move, and nobody is kept for long.
    pub(super) async fn translation_permit(&self) -> Option<OwnedSemaphorePermit> {
        let translation_permit = timeout(
            PERMIT_WAIT,
            Arc::clone(&self.shared.translation_permits).acquire_owned(),
        )
        .await
        .ok()?;
        translation_permit.ok()
    }

    /// What is answered where no permit has come free.
    pub(super) fn too_busy(&self, route: RouteName, request: u64) -> Answer {
        self.modes.failed(route, request);
        busy()
    }

    /// The response of a translation of `route`, on which a canary of it is judged; `request` is the client's as a number.
    pub(super) async fn answered(
        &self,
        outcome: Result<LegacyAnswer, LegacyError>,
        encoding: Option<Encoding>,
        route: RouteName,
        request: u64,
    ) -> Answer {
        let down = outcome.as_ref().is_err_and(|error| self.is_down(error));
        let answer = self.translate(outcome, encoding, route).await;
        match answer.response.status().is_server_error() && !down {
            true => self.modes.failed(route, request),
            false => self.modes.succeeded(route, || request),
        }
        answer
    }

    async fn translate(
        &self,
        outcome: Result<LegacyAnswer, LegacyError>,
        encoding: Option<Encoding>,
        route: RouteName,
    ) -> Answer {
        let error = match outcome {
            Ok(answer) => return translated(answer, encoding, self.shared.compress),
            Err(error) => error,
        };
        let finding = match &error {
            LegacyError::Jobs(error) => Box::pin(self.shared.diagnosis.of(error)).await,
            _ => None,
        };
        let cause = finding.map(|finding| finding.to_string());
        if let LegacyError::Jobs(JobsError::Refused { call, answer }) = &error
            && answer.status.is_redirection()
        {
            let status = answer.status.as_u16();
            let method = call.split(' ').next().unwrap_or_default();
            self.shared.log_hint.say(&format!(
                "the upstream answered {status} to a {method} of the Jobs API: a login page?"
            ));
        }
        tracing::warn!(route = route.as_str(), %error, cause, "a legacy request could not be answered");
        legacy_failure(error, cause.as_deref())
    }
}

/// Whether a status says that an endpoint is not there (docs/contract.md section 5).
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 410 | 501)
}

/// Such as `POST /queue`.
pub(super) fn call(head: &RequestHead) -> String {
    Outside::new(format_args!("{} {}", head.method(), head.uri().path())).to_string()
}
