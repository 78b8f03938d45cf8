//! Reads of the Jobs API that pass through, whose answers may need jobs that the server has lost (`history.keep`).

use super::{Pipeline, failure::legacy_failure, request::ClientRequest};
use crate::{
    http::body::Body,
    jobs_api::{DialectKind, JobsSession},
    legacy::{Hiding, Keeping, KeptAnswer, LegacyError},
    migration::notices::put_kept,
    telemetry::Source,
    upstream::UpstreamError,
};
use http::Response;

impl Pipeline {
    /// The Jobs API on behalf of a request.
    pub(super) fn session(&self, request: &ClientRequest<'_>) -> JobsSession {
        let jobs = self.legacy.jobs();
        let caller = request.caller(self.scope(&request.head));
        jobs.on_behalf_of(&caller, jobs.known_dialect().unwrap_or(DialectKind::Comfyui))
    }

    /// As [`Pipeline::pass_hiding`], with the kept jobs that belong to the answer.
    pub(super) async fn pass_keeping(
        &self,
        request: ClientRequest<'_>,
        keeping: Keeping,
        hiding: Option<Hiding>,
    ) -> Result<Response<Body>, UpstreamError> {
        let record = request.record;
        let response = match keeping.list().await {
            Ok(Some(answer)) => {
                record.source(Source::JobsApi);
                marked(answer)
            }
            Ok(None) => {
                let passed = self.pass(request).await?;
                match keeping.one(passed).await {
                    Ok(Ok(kept)) => marked(kept),
                    Ok(Err(passed)) => passed,
                    Err(error) => return Ok(failed(error)),
                }
            }
            Err(error) => {
                record.source(Source::JobsApi);
                return Ok(failed(error));
            }
        };
        match hiding {
            None => Ok(response),
            Some(hiding) => {
                let applied = hiding.applied(response, &self.shared.budget).await;
                applied.map_err(|error| self.shared.upstream.broken_off(&*error))
            }
        }
    }
}

fn marked(answer: KeptAnswer) -> Response<Body> {
    let mut response = answer.response;
    put_kept(response.headers_mut(), answer.kept_for);
    response
}

fn failed(error: LegacyError) -> Response<Body> {
    legacy_failure(error, None).response
}
