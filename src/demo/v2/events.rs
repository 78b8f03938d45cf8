//! `GET /api/v2/jobs/{id}/events`: one job's event stream, from what holds now to its final status.

use super::{
    job::{Event, Status},
    options::Fault,
    shared::Shared,
    submit::State,
};
use crate::demo::listening::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{sync::watch, time::timeout};

/// One of the streams that may be open.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn new(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let one_more = |count: usize| (count < max).then_some(count + 1);
        open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct EventStream {
    shared: Arc<Shared>,
    owner: String,
    id: String,
    base: String,
    /// How many of the job's events are told.
    told: usize,
    next: VecDeque<String>,
    cuts: watch::Receiver<u64>,
    /// The cut that it began after.
    began: u64,
    is_over: bool,
    /// What is wrong with it.
    fault: Option<Fault>,
    _permit: Permit,
}

/// Why there is no stream.
pub(super) enum NotOpened {
    /// There is no such job.
    Unknown,
    /// As many as there may be are open.
    TooMany,
}

/// The stream of a job. Once it is counted, it has seen what holds: whoever waits for the count misses nothing.
pub(super) fn open(
    shared: &Arc<Shared>,
    owner: &str,
    id: &str,
    base: &str,
    fault: Option<Fault>,
) -> Result<Body, NotOpened> {
    let cuts = shared.cuts.subscribe();
    let state = shared.state.lock();
    let job = state.jobs.get(owner, id).ok_or(NotOpened::Unknown)?;
    let permit = Permit::new(&shared.streams, shared.options.max_streams).ok_or(NotOpened::TooMany)?;
    let place = state.jobs.queue_position(id);
    let frames = shared.with_writer(base, |writer| {
        let events = job.snapshot();
        events
            .iter()
            .filter_map(|event| writer.event(job, &told(event, fault), place))
            .collect()
    });
    let began = *cuts.borrow();
    let events = EventStream {
        shared: Arc::clone(shared),
        owner: owner.to_owned(),
        id: id.to_owned(),
        base: base.to_owned(),
        told: job.events.len(),
        next: frames,
        cuts,
        began,
        is_over: job.status.is_final() || fault == Some(Fault::Short),
        fault,
        _permit: permit,
    };
    drop(state);
    let frames = stream::unfold(events, |mut events| async move {
        let frame = events.frame().await?;
        Some((frame.map(|text| Frame::data(Bytes::from(text))), events))
    });
    Ok(StreamBody::new(Box::pin(frames)).boxed_unsync())
}

/// An event as a stream tells it.
fn told(event: &Event, fault: Option<Fault>) -> Event {
    match event {
        Event::Status(status) if status.is_final() && fault == Some(Fault::Expired) => Event::Status(Status::Expired),
        event => event.clone(),
    }
}

impl EventStream {
    async fn frame(&mut self) -> Option<io::Result<String>> {
        loop {
            let cuts = *self.cuts.borrow_and_update();
            if cuts != self.began {
                if self.is_over {
                    return None;
                }
                self.is_over = true;
                self.next.clear();
                return Some(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if let Some(frame) = self.next.pop_front() {
                return Some(Ok(frame));
            }
            if self.is_over {
                return None;
            }
            let shared = Arc::clone(&self.shared);
            self.catch_up(&shared.state.lock());
            if self.is_over || !self.next.is_empty() {
                continue;
            }
            match timeout(shared.options.keepalive, self.cuts.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Ok(": keepalive\n\n".to_owned())),
            }
        }
    }

    fn catch_up(&mut self, state: &State) {
        // A job that was forgotten says no more.
        let Some(job) = state.jobs.get(&self.owner, &self.id) else {
            self.is_over = true;
            return;
        };
        let new = job.events.get(self.told..).unwrap_or_default();
        let frames: VecDeque<String> = self.shared.with_writer(&self.base, |writer| {
            let told = new.iter().map(|event| told(event, self.fault));
            told.filter_map(|event| writer.event(job, &event, None)).collect()
        });
        self.told = job.events.len();
        self.next.extend(frames);
        self.is_over = job.status.is_final();
    }
}
