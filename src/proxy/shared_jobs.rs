//! Whether the server of legacy calls, where that is another one, knows the jobs of the upstream: a client that sends a job to
//! one and polls the other waits for ever.

use crate::{
    jobs_api::{JobsSession, ListFilter, Listed},
    mapping::dialect::State,
    upstream::Upstream,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// So many of the newest finished jobs are asked for.
const ASKED: usize = 3;

/// What there is to say where it knows none of them.
pub const KNOWS_NO_JOB: &str = "legacy.upstream knows none of the newest finished jobs of the upstream: a client whose job goes to one \
    and whose polls go to the other waits for ever. Both have to be the same server, or share their jobs";

/// Whether `legacy` knows one of the newest finished jobs that the upstream lists; `None` where that cannot be told.
pub async fn shares_jobs(session: &JobsSession, legacy: &Upstream) -> Option<bool> {
    // Odd ids would have to be written in another way in a path.
    let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_ended = |job: &&Listed| job.state == State::Finished && is_plain(&job.id);
    let enough = |jobs: &[Listed]| jobs.iter().filter(is_ended).count() >= ASKED;
    let list = session.list(ListFilter::Newest, enough).await.ok()?;
    let mut knows = None;
    for job in list.jobs.iter().filter(is_ended).take(ASKED) {
        let target = format!("/history/{}", job.id);
        let answer = legacy.call(Method::GET, &target, HeaderMap::new(), Bytes::new());
        let answer = answer.await.ok().filter(|answer| answer.status == StatusCode::OK)?;
        if memchr::memmem::find(&answer.body, job.id.as_bytes()).is_some() {
            return Some(true);
        }
        knows = Some(false);
    }
    knows
}
