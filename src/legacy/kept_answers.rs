//! Kept jobs in answers of the Jobs API that pass through: a job that the server does not know any more, and lists of jobs.

use super::{
    Legacy, LegacyError,
    kept::{Kept, KeptJob, no_room},
    passing::{JobsCall, JobsEndpoint, OF_THE_BYTES, without},
};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, full},
        buffered::BufferBudget,
        headers::carried,
        request_head::RequestHead,
    },
    jobs_api::{DialectKind, JobsError, JobsSession, ListFilter},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use std::{sync::Arc, time::Duration};

/// A passing read of the Jobs API that kept jobs may belong to.
pub struct Keeping {
    kept: Arc<Kept>,
    budget: BufferBudget,
    session: JobsSession,
    asked: JobsEndpoint,
    query: String,
    is_head: bool,
}

/// An answer with kept jobs in it.
pub struct KeptAnswer {
    /// The answer.
    pub response: Response<Body>,
    /// For how long the longest kept of them has been kept.
    pub kept_for: Duration,
}

impl Legacy {
    /// Whether kept jobs may belong to the answer of a passing request for `session`. Where none are kept, this is one look.
    pub fn keeping(&self, head: &RequestHead, session: impl FnOnce() -> JobsSession) -> Option<Keeping> {
        let kept = self.kept.as_ref()?;
        let kind = self.jobs.known_dialect().unwrap_or(DialectKind::Comfyui);
        let asked = self.jobs_endpoint(head, kind)?;
        let session = session();
        let scope = session.caller().scope;
        let may = match &asked {
            JobsEndpoint::List => kept.has_of(scope, None),
            JobsEndpoint::One(id) => kept.has_of(scope, Some(id)),
        };
        may.then(|| Keeping {
            kept: Arc::clone(kept),
            budget: self.budget.clone(),
            session,
            asked,
            query: head.query().to_owned(),
            is_head: head.method() == Method::HEAD,
        })
    }
}

/// What reads what a list tells of a kept job.
pub(super) fn entries_of(
    kept: Option<&Arc<Kept>>,
    scope: Scope,
) -> impl Fn(Arc<str>) -> BoxFuture<'static, Result<Option<Bytes>, LegacyError>> + Send + Sync + use<> {
    let kept = kept.cloned();
    move |id| {
        let kept = kept.clone();
        Box::pin(async move {
            match kept {
                Some(kept) => Ok(kept.read_entry(scope, &id).await?),
                None => Ok(None),
            }
        })
    }
}

impl Legacy {
    /// A passing request, which the server took, may have cancelled jobs.
    pub async fn may_have_cancelled(&self, call: &JobsCall) {
        let Some(kept) = &self.kept else {
            return;
        };
        let told = match call {
            JobsCall::Cancel(id) => kept.expect_to_vanish(Some(&[id.as_str().into()])).await,
            JobsCall::CancelMany => kept.expect_to_vanish(None).await,
            JobsCall::List | JobsCall::One(_) => Ok(()),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "a job that was cancelled may be said to be lost");
        }
    }

    /// The cancel that a passing request is, where it is to be known what is cancelled.
    pub fn cancel_call(&self, head: &RequestHead) -> Option<JobsCall> {
        if self.kept.is_none() || *head.method() != Method::POST {
            return None;
        }
        let call = self.jobs_call(head)?;
        matches!(call, JobsCall::Cancel(_) | JobsCall::CancelMany).then_some(call)
    }
}

impl Keeping {
    /// The list with the jobs that the server has lost; `None` where it has lost none, or answers better itself.
    ///
    /// # Errors
    /// A job cannot be read.
    pub async fn list(&self) -> Result<Option<KeptAnswer>, LegacyError> {
        match self.asked {
            JobsEndpoint::One(_) => Ok(None),
            JobsEndpoint::List => match self.completed_list().await {
                // What it says to that it says to the client as well.
                Err(LegacyError::Jobs(JobsError::Refused { .. })) => Ok(None),
                Err(LegacyError::Jobs(JobsError::Upstream(error))) if error.is_unreachable() => Ok(None),
                outcome => outcome,
            },
        }
    }

    async fn completed_list(&self) -> Result<Option<KeptAnswer>, LegacyError> {
        let session = self.session.renewed().await?;
        let Some(query) = session.list_query(&self.query) else {
            return Ok(None);
        };
        let all = session.list(ListFilter::All, |_| false).await?;
        let scope = session.caller().scope;
        let (mut lost, kept_for) = self.kept.lost(scope, &all.jobs, |ended| query.wants(ended));
        if lost.is_empty() {
            return Ok(None);
        }
        query.sort(&mut lost);
        let Some(listed) = session.whole_list(&query).await? else {
            return Ok(None);
        };
        let entry = entries_of(Some(&self.kept), scope);
        let list = session.jobs_in(&listed)?;
        let text = session.completed_list(&query, list, &lost, entry).await?;
        let text = self.budget.counted(text).map_err(no_room)?;
        let mut response = Response::new(full(""));
        *response.headers_mut() = carried(&listed.headers);
        if let Some(content_type) = listed.headers.get(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
        }
        Ok(Some(KeptAnswer {
            response: self.with_text(response, text),
            kept_for,
        }))
    }

    /// The job, where the server has answered that there is none; otherwise its answer.
    ///
    /// # Errors
    /// The job cannot be read.
    pub async fn one(&self, response: Response<Body>) -> Result<Result<KeptAnswer, Response<Body>>, LegacyError> {
        let JobsEndpoint::One(id) = &self.asked else {
            return Ok(Err(response));
        };
        // A page in words is not the server's word on a job.
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_json = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
        if response.status() != StatusCode::NOT_FOUND || !is_json {
            return Ok(Err(response));
        }
        let scope = self.session.caller().scope;
        match self.kept.read(scope, id, &self.budget).await? {
            None => Ok(Err(response)),
            Some(KeptJob { detail, age, .. }) => {
                let mut response = response.map(|_| full(""));
                *response.status_mut() = StatusCode::OK;
                Ok(Ok(KeptAnswer {
                    response: self.with_text(response, detail),
                    kept_for: age,
                }))
            }
        }
    }

    fn with_text(&self, mut response: Response<Body>, text: Bytes) -> Response<Body> {
        without(response.headers_mut(), &OF_THE_BYTES);
        response.headers_mut().remove(CONTENT_ENCODING);
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        match self.is_head {
            true => response,
            false => response.map(|_| full(text)),
        }
    }
}
