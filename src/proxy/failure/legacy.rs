//! Legacy calls that cannot be answered.

use super::{
    body::{too_large, unreadable},
    failure,
    upstream::upstream_failure,
};
use crate::{
    http::{
        body::full,
        body_decoding::DecodeError,
        headers::{Trailers, carried, remove_hop_by_hop},
        outside::Outside,
        proxy_status::PROXY_STATUS,
    },
    jobs_api::JobsError,
    legacy::LegacyError,
    proxy::answer::Answer,
    store::StoreError,
    upstream::UpstreamError,
};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

/// The table of docs/contract.md section 4; `finding` is what the upstream was found to be, where that is known better.
pub(in crate::proxy) fn legacy_failure(error: LegacyError, finding: Option<&str>) -> Answer {
    let message = error.to_string();
    let found = |otherwise: &str| finding.unwrap_or(otherwise).to_owned();
    match error {
        LegacyError::Query { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            message,
            "a whole number is expected".to_owned(),
        ),
        LegacyError::List { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            message,
            "it takes status, limit, offset, sort_by, sort_order and workflow_id, as ComfyUI does".to_owned(),
        ),
        LegacyError::Order { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            message,
            "nothing was done".to_owned(),
        ),
        LegacyError::Twin { .. } => failure(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            message,
            "nothing was done; it can be deleted once the running one has ended".to_owned(),
        ),
        LegacyError::Hollow { ids } => failure(
            StatusCode::CONFLICT,
            "empty_prompt",
            format!("{message}: {}", Outside::many(ids.join(", "))),
            "nothing was done; the same delete sent once more is carried out".to_owned(),
        ),
        LegacyError::Body(DecodeError::TooLarge { limit }) => too_large(limit),
        LegacyError::Body(DecodeError::NoRoom { limit }) => upstream_failure(&UpstreamError::NoRoom { limit }, None),
        LegacyError::Body(error) => unreadable(error),
        LegacyError::State(error) => state_failure(&error),
        LegacyError::Jobs(JobsError::Refused { answer, .. }) => {
            let length = answer.body.len();
            let mut response = Response::new(full(answer.body));
            *response.status_mut() = answer.status;
            let headers = response.headers_mut();
            if answer.status.is_redirection() {
                // Where to, and the cookies that a login page may need.
                *headers = answer.headers;
                remove_hop_by_hop(headers, Trailers::Dropped);
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                return Answer::upstream(response);
            }
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.extend(carried(&answer.headers));
            for name in [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, PROXY_STATUS] {
                for value in answer.headers.get_all(&name) {
                    headers.append(&name, value.clone());
                }
            }
            Answer::upstream(response)
        }
        LegacyError::Jobs(JobsError::Upstream(error)) => upstream_failure(&error, finding),
        LegacyError::Jobs(JobsError::TooLong { limit, .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "list_too_long",
            message,
            format!("raise {limit} of jobshim if the list is as long as it should be"),
        ),
        LegacyError::Jobs(JobsError::Unlistable { .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "unlistable_job",
            message,
            found(
                "other jobs can be read by their ids; the list works again without that job: POST /queue {\"delete\": [id]} \
                 while it waits, POST /interrupt {\"prompt_id\": id} while it runs, POST /history {\"delete\": [id]} or a \
                 restart of the server once it has ended",
            ),
        ),
        LegacyError::Jobs(JobsError::Missing { .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "no_jobs_api",
            message,
            found(
                "check the upstream's address and version with jobshim doctor; --mode auto uses the server's own legacy endpoints \
                 while it has no Jobs API",
            ),
        ),
        LegacyError::Jobs(JobsError::Shape { .. }) => unusable(message, found),
        LegacyError::Render { id, .. } => unusable(format!("{message} (job {})", Outside::new(id)), found),
    }
}

fn unusable(message: String, found: impl Fn(&str) -> String) -> Answer {
    failure(
        StatusCode::BAD_GATEWAY,
        "bad_upstream_answer",
        message,
        found("jobshim could not make the legacy answer from it"),
    )
}

/// What must be kept, or known, cannot be. Where the store is, and what is wrong with it, is for whoever runs jobshim: the log
/// says it.
pub(in crate::proxy) fn state_failure(error: &StoreError) -> Answer {
    match error {
        StoreError::Full(_) => failure(
            StatusCode::INSUFFICIENT_STORAGE,
            "hidden_full",
            error.to_string(),
            "no further job was hidden".to_owned(),
        ),
        StoreError::Stopping => not_kept(error.to_string()),
        error if error.may_pass() => {
            let message = "what this jobshim shares with others cannot be read or changed now".to_owned();
            let details = "nothing is shown that may have been deleted, and nothing is said to be done that others do not know: ask \
                           again; see the state of jobshim in its log"
                .to_owned();
            let mut answer = failure(StatusCode::SERVICE_UNAVAILABLE, "state_unreachable", message, details);
            let headers = answer.response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            answer
        }
        _ => not_kept("what is hidden could not be stored".to_owned()),
    }
}

fn not_kept(message: String) -> Answer {
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "state_not_kept",
        message,
        "nothing was hidden; see state.store, and the log of jobshim".to_owned(),
    )
}
