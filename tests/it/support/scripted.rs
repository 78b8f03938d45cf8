//! The one fake server of HTTP. What it answers is a function, which may have a state that the test looks at and changes; a
//! server of its own is never needed for that. It keeps what arrived, holds answers back until it is told to let them go, and
//! lets a test answer first.

use super::{
    accepting::{ANY, Accepting},
    gate::Gate,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use jobshim::demo::Board;
use std::{
    future::Future,
    io, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

pub type TestBody = BoxBody<Bytes, io::Error>;

pub fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A status, headers and a body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<TestBody> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(full(body)).expect("a response")
}

/// One whole request as a server got it.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The connection, for who answers with 101.
    pub upgrade: OnUpgrade,
}

impl Arrived {
    async fn read(mut request: Request<Incoming>) -> Result<Self, hyper::Error> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        Ok(Self {
            method: head.method,
            target: head.uri.to_string(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
            upgrade,
        })
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// What the Jobs API is asked about a job, such as its id, if that is what is asked.
    pub fn of_job(&self) -> Option<&str> {
        self.path().strip_prefix("/api/jobs/")
    }
}

type Pick = Box<dyn Fn(&Arrived) -> bool + Send>;
type Intercept<S> = Box<dyn FnMut(&mut S, &Arrived) -> Option<Response<TestBody>> + Send>;

/// What the connections of a server share with the test.
struct Shared<S> {
    state: Mutex<S>,
    arrived: Mutex<Vec<Arrived>>,
    gates: Mutex<Vec<(Pick, Arc<Gate>)>>,
    intercept: Mutex<Option<Intercept<S>>>,
}

impl<S> Shared<S> {
    async fn answer<F>(&self, request: Request<Incoming>, answer: &F) -> Result<Response<TestBody>, hyper::Error>
    where
        F: Fn(&mut S, &Arrived) -> Response<TestBody>,
    {
        // One whose client went away in the middle has not arrived.
        let arrived = Arrived::read(request).await?;
        self.arrived.lock().expect("notes").push(arrived.clone());
        if let Some(gate) = self.gate(&arrived) {
            gate.pass().await;
        }
        let mut state = self.state.lock().expect("the state");
        let mut intercept = self.intercept.lock().expect("an intercept");
        let intercepted = intercept.as_mut().and_then(|first| first(&mut state, &arrived));
        Ok(intercepted.unwrap_or_else(|| answer(&mut state, &arrived)))
    }

    fn gate(&self, arrived: &Arrived) -> Option<Arc<Gate>> {
        let gates = self.gates.lock().expect("gates");
        let mut latest = gates.iter().rev();
        latest
            .find(|(is_held, _)| is_held(arrived))
            .map(|(_, gate)| Arc::clone(gate))
    }
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    ended: AtomicUsize,
    under_way: AtomicUsize,
}

/// Counts a request until its answer is there or given up.
struct UnderWay(Arc<Counts>);

impl UnderWay {
    fn begin(counts: &Arc<Counts>) -> Self {
        counts.under_way.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The running server; it stops, and drops its connections, when dropped.
pub struct Scripted<S = ()> {
    pub address: SocketAddr,
    shared: Arc<Shared<S>>,
    counts: Arc<Counts>,
    _server: Accepting,
}

impl Scripted {
    /// `answer` gets each request as it comes, to read or not to read, and may take its time; nothing is kept.
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<TestBody>> + Send + 'static,
    {
        Self::serve((), move |_, request| {
            let reply = answer(request);
            async move { Ok(reply.await) }
        })
        .await
    }

    /// Everything is kept and gets the same answer.
    pub async fn always(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<(String, String)> = headers.iter().map(own).collect();
        let body = Bytes::copy_from_slice(body.as_ref());
        Self::answering(move |_| {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            reply(status, &headers.collect::<Vec<_>>(), body.clone())
        })
        .await
    }

    /// Everything is kept and answered by `answer`.
    pub async fn answering(answer: impl Fn(&Arrived) -> Response<TestBody> + Send + Sync + 'static) -> Self {
        Self::with_state((), move |(), arrived| answer(arrived)).await
    }

    /// The Jobs API of `board`; what is not about one job is answered with its list.
    pub async fn of_board(board: Board) -> Self {
        Self::answering(move |arrived| {
            let (status, body) = match arrived.of_job() {
                Some(id) => board.detail(id),
                None => board.list(arrived.query()),
            };
            reply(status, &[("content-type", "application/json")], body)
        })
        .await
    }

    /// What arrived, without jobshim's own first questions.
    pub fn arrived(&self) -> Vec<Arrived> {
        let is_own = |one: &Arrived| {
            let asks_what_it_is = matches!(one.path(), "/system_stats" | "/queue");
            one.target.contains("/api/jobs?")
                || one.target.contains("/api/v2/jobs/00000000-")
                || (asks_what_it_is && !one.headers.contains_key("x-request-id"))
        };
        self.all().into_iter().filter(|one| !is_own(one)).collect()
    }
}

impl<S: Send + 'static> Scripted<S> {
    /// Everything is kept and answered by `answer`, one request after the other, from `state`.
    pub async fn with_state<F>(state: S, answer: F) -> Self
    where
        F: Fn(&mut S, &Arrived) -> Response<TestBody> + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        Self::serve(state, move |shared, request| {
            let answer = Arc::clone(&answer);
            async move { shared.answer(request, &*answer).await }
        })
        .await
    }

    async fn serve<F, A>(state: S, answer: F) -> Self
    where
        F: Fn(Arc<Shared<S>>, Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Response<TestBody>, hyper::Error>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            arrived: Mutex::default(),
            gates: Mutex::default(),
            intercept: Mutex::default(),
        });
        let counts = Arc::<Counts>::default();
        let (common, counted, answer) = (Arc::clone(&shared), Arc::clone(&counts), Arc::new(answer));
        let server = Accepting::start(ANY, move |stream, _| {
            counted.accepted.fetch_add(1, Ordering::SeqCst);
            let (common, answer) = (Arc::clone(&common), Arc::clone(&answer));
            let under_way = Arc::clone(&counted);
            let service = service_fn(move |request| {
                let under_way = UnderWay::begin(&under_way);
                let reply = answer(Arc::clone(&common), request);
                async move {
                    let _under_way = under_way;
                    reply.await
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let counted = Arc::clone(&counted);
            async move {
                let _ = connection.with_upgrades().await;
                counted.ended.fetch_add(1, Ordering::SeqCst);
            }
        });
        let server = server.await;
        Self {
            address: server.address,
            shared,
            counts,
            _server: server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many connections there are now.
    pub fn open_connections(&self) -> usize {
        let ended = self.counts.ended.load(Ordering::SeqCst);
        self.connections() - ended
    }

    /// How many requests are being answered.
    pub fn under_way(&self) -> usize {
        self.counts.under_way.load(Ordering::SeqCst)
    }

    /// Looks at what it answers from, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.shared.state.lock().expect("the state"))
    }

    /// From now on `first` answers, wherever it gives an answer.
    pub fn intercept(&self, first: impl FnMut(&mut S, &Arrived) -> Option<Response<TestBody>> + Send + 'static) {
        *self.shared.intercept.lock().expect("an intercept") = Some(Box::new(first));
    }

    /// From now on what `is_held` is true of waits at the gate that this gives, before it is answered.
    pub fn hold(&self, is_held: impl Fn(&Arrived) -> bool + Send + 'static) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        let mut gates = self.shared.gates.lock().expect("gates");
        gates.push((Box::new(is_held), Arc::clone(&gate)));
        gate
    }

    /// The same for details and writes.
    pub fn hold_details(&self) -> Arc<Gate> {
        self.hold(|arrived| arrived.of_job().is_some() || arrived.method == Method::POST)
    }

    /// All that arrived.
    pub fn all(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().expect("notes").clone()
    }

    /// All that arrived since this was last called.
    pub fn take(&self) -> Vec<Arrived> {
        mem::take(&mut self.shared.arrived.lock().expect("notes"))
    }

    /// How many arrived that `is_meant` is true of.
    pub fn count(&self, is_meant: impl Fn(&Arrived) -> bool) -> usize {
        let arrived = self.shared.arrived.lock().expect("notes");
        arrived.iter().filter(|one| is_meant(one)).count()
    }
}
