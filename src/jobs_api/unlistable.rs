//! Jobs that the server has and cannot list: one of them makes each list call fail that would have it in.
//!
//! A self-hosted server reads every job of the states that a list is asked for before it takes a part of them, and fails
//! as a whole where one cannot be read. So a part of such a list cannot be had, but a list of other states can, and a job
//! can be read, and cancelled, by its id.

use super::{JobsError, JobsSession, List, ListFilter, Listed};
use crate::{
    http::buffered::Share,
    mapping::dialect::{
        State,
        Word::{self, Cancelled, Completed, Failed, Pending, Running},
    },
};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Jobs that have ended, for servers that know all words, and for those before 0.9.0.
const ENDED: [&[Word]; 2] = [&[Completed, Failed, Cancelled], &[Completed, Failed]];

/// What has not ended, as far as the server can list it.
#[derive(Debug)]
pub struct Queue {
    /// Each job once.
    pub jobs: Vec<Listed>,
    /// For the CORS headers that the answer must carry on.
    pub headers: HeaderMap,
    unlisted: Option<Unlisted>,
    /// What its jobs take.
    shares: Vec<Share>,
}

/// States of which the server cannot list the jobs.
#[derive(Debug)]
struct Unlisted {
    states: Vec<State>,
    error: JobsError,
}

impl Queue {
    /// All jobs, or the error that says why these are not all of them.
    fn whole(self) -> Result<List, JobsError> {
        match self.unlisted {
            Some(unlisted) => Err(unlisted.error),
            None => Ok(List {
                jobs: self.jobs,
                complete: true,
                headers: self.headers,
                shares: self.shares,
            }),
        }
    }

    /// That all jobs in `states` are listed.
    pub fn lists_all(&self, states: &[State]) -> Result<(), JobsError> {
        match &self.unlisted {
            Some(unlisted) if unlisted.states.iter().any(|state| states.contains(state)) => Err(unlisted.error.clone()),
            _ => Ok(()),
        }
    }

    /// Those of `ids` that are not listed and may all the same be jobs in `states`. An error where one of them may be in
    /// another state as well, in which it must not be touched.
    pub fn beyond(&self, ids: &[&str], states: &[State]) -> Result<Vec<Arc<str>>, JobsError> {
        if self.lists_all(states).is_ok() {
            return Ok(Vec::new());
        }
        let is_listed = |id: &str| self.jobs.iter().any(|job| *job.id == *id);
        let beyond = ids.iter().filter(|id| !id.is_empty() && !is_listed(id));
        let beyond: Vec<Arc<str>> = beyond.map(|id| Arc::from(*id)).collect();
        let others: Vec<State> = [State::Pending, State::Running]
            .into_iter()
            .filter(|state| !states.contains(state))
            .collect();
        if !beyond.is_empty() {
            self.lists_all(&others)?;
        }
        Ok(beyond)
    }
}

impl JobsSession {
    /// What has not ended, as far as the server can list it.
    pub async fn queue(&self) -> Result<Queue, JobsError> {
        let whole = self.list_as_asked(ListFilter::Queued, &|_| false).await;
        let refused = match whole {
            Err(error) if self.may_be_one_job(&error) => error,
            whole => {
                let List {
                    jobs, headers, shares, ..
                } = whole?;
                return Ok(Queue {
                    jobs,
                    headers,
                    unlisted: None,
                    shares,
                });
            }
        };
        let (mut jobs, mut headers, mut unlisted) = (Vec::<Listed>::new(), None, Vec::new());
        let mut shares = Vec::new();
        // In this order: a job that begins to run in between is in both.
        for (state, words) in [(State::Pending, &[Pending]), (State::Running, &[Running])] {
            match self.list_in(words).await {
                Ok(list) => {
                    jobs.retain(|job| !list.jobs.iter().any(|other| other.id == job.id));
                    jobs.extend(list.jobs);
                    shares.extend(list.shares);
                    headers = Some(list.headers);
                }
                Err(error) if self.may_be_one_job(&error) => unlisted.push(state),
                Err(error) => return Err(error),
            }
        }
        if headers.is_none()
            && let Err(error) = self.ended().await
        {
            // It fails at everything, or could not be asked.
            return Err(if self.may_be_one_job(&error) { refused } else { error });
        }
        let unlisted = (!unlisted.is_empty()).then(|| Unlisted {
            error: self.unlistable(&unlisted),
            states: unlisted,
        });
        Ok(Queue {
            jobs,
            headers: headers.unwrap_or_default(),
            unlisted,
            shares,
        })
    }

    /// The list that was `refused`, from what the server can list. It is part of what was asked for, or an error.
    pub(super) async fn list_in_spite(&self, wanted: ListFilter, refused: JobsError) -> Result<List, JobsError> {
        match wanted {
            ListFilter::Queued => self.queue().await?.whole(),
            ListFilter::In(_) => Err(refused),
            // Whoever asks for all looks for what has ended.
            ListFilter::All | ListFilter::Newest => match self.ended().await {
                Ok(list) => Ok(List {
                    complete: false,
                    ..list
                }),
                Err(error) if self.may_be_one_job(&error) => Err(match self.queue().await {
                    Ok(_) => self.unlistable(&[State::Finished]),
                    Err(error) if self.may_be_one_job(&error) => refused,
                    Err(error) => error,
                }),
                Err(error) => Err(error),
            },
        }
    }

    /// What the refusal of one job's detail comes from, where lists fail too and not all of them: a server that fails at
    /// everything has other troubles.
    pub async fn why_refused(&self, refused: JobsError) -> JobsError {
        if !self.may_be_one_job(&refused) {
            return refused;
        }
        let (queue, ended) = (self.queue().await, self.ended().await);
        match (queue, ended) {
            (Ok(_), Err(error)) if self.may_be_one_job(&error) => self.unlistable(&[State::Finished]),
            (
                Ok(Queue {
                    unlisted: Some(one), ..
                }),
                _,
            ) => one.error,
            _ => refused,
        }
    }

    async fn ended(&self) -> Result<List, JobsError> {
        let [all, early] = ENDED;
        match self.list_in(all).await {
            Err(JobsError::Shape { .. }) => self.list_in(early).await,
            outcome => outcome,
        }
    }

    async fn list_in(&self, words: &'static [Word]) -> Result<List, JobsError> {
        self.list_as_asked(ListFilter::In(words), &|_| false).await
    }

    /// Whether a refusal may come from one job alone.
    pub(super) fn may_be_one_job(&self, error: &JobsError) -> bool {
        let fails = |error: &JobsError| matches!(error, JobsError::Refused { answer, .. } if answer.status == StatusCode::INTERNAL_SERVER_ERROR);
        self.dialect().names.prompt.is_some() && fails(error)
    }

    fn unlistable(&self, states: &[State]) -> JobsError {
        let dialect = self.dialect();
        let states: Vec<&str> = states.iter().map(|state| state.name()).collect();
        let members = dialect.names.prompt.iter().flat_map(|rules| rules.members());
        JobsError::Unlistable {
            call: format!("GET {}", dialect.names.list.path),
            states: states.join(" and "),
            members: members.map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        }
    }
}
