//! Listeners, connections, draining.

pub mod accept;
mod accepted;
mod activity;
mod connection_limiter;
mod frames;
mod handshake;
mod listener;
mod proxy_protocol;
mod tls;
mod turns;

pub use listener::why_unbound;
pub use tls::{Tls, TlsError};

use crate::{
    config::{Config, ListenAddress, ServerConfig, TrustedProxies},
    http::peer::Peer,
    proxy::{
        Proxy,
        shutdown::{DrainStage, Shutdown},
    },
    server::accept::accept_failed,
};
use accepted::Accepted;
use activity::{Awaited, ConnectionActivity, IdleLimits, IdleReason, TrackedIo};
use connection_limiter::{ConnectionLimiter, ConnectionPermit, LimitReached};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use handshake::Handshake;
use http::{HeaderValue, Request, StatusCode, Version, header::CONNECTION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use listener::{Listener, Stream};
use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, sleep, timeout, timeout_at},
};
use turns::Turns;

/// How long a client that keeps its connection gets, once jobshim stops, to ask on it once more and hear that it was the
/// last time: a connection that is closed as a request is on its way loses it.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// How long no connection must have come before the listener is closed, as those that the system took would be lost; and
/// how long that is waited for.
const NO_STRAGGLER: Duration = Duration::from_millis(10);
const STRAGGLERS_MOST: Duration = Duration::from_millis(200);
/// How long connections may take to end once they are cut off.
const CUT_OFF: Duration = Duration::from_millis(200);
/// What a connection gets for which there is no place.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\
    proxy-status: jobshim; error=connection_limit_reached\r\n\r\n";
/// How long such a connection may take to read that, and how many may be about it.
const NO_PLACE_TIME: Duration = Duration::from_secs(1);
const NO_PLACE_MOST: usize = 64;
/// Streams at the same time on one HTTP/2 connection, and the most bytes of an answer that each keeps back for a client
/// who does not read.
const MAX_STREAMS: u32 = 100;
const MAX_KEPT_BACK: usize = 64 << 10;
/// The most that a request line holds besides its target, and more.
const REST_OF_HEAD: usize = 1024;
/// hyper's own figures: headers it has room for without asking for memory, and the smallest buffer it works with.
const HEADERS_AT_HAND: usize = 100;
const SMALLEST_BUFFER: usize = 8192;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken, say.
    #[error("cannot listen on {0}: {why}", why = why_unbound(.1, "--listen"))]
    Listen(ListenAddress, io::Error),
}

/// A bound listener.
pub struct Server {
    listener: Listener,
    address: ListenAddress,
    handshake: Arc<Handshake>,
    trusted_proxies: TrustedProxies,
    config: ServerConfig,
}

impl Server {
    /// Reads the certificate, if there is one, and binds `config.listen.address`.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let handshake = Arc::new(Handshake::new(config)?);
        let refuse = |error| BindError::Listen(config.listen.address.clone(), error);
        let listener = Listener::bind(&config.listen.address).await.map_err(refuse)?;
        Ok(Self {
            address: listener.address().map_err(refuse)?,
            listener,
            handshake,
            trusted_proxies: config.listen.trusted_proxies.clone(),
            config: config.server.clone(),
        })
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The same, unless it is a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Serves by what is in force when a request comes, until `stop` resolves. Then connections are taken for
    /// `drain_delay` more, and answers in flight finish within `drain_timeout`.
    pub async fn run(self, proxy: Arc<Proxy>, stop: impl Future<Output = ()>) {
        let (drain_delay, drain_timeout) = (self.config.drain_delay, self.config.drain_timeout);
        let reception = Arc::new(ConnectionHandler {
            http: http(&self.config),
            handshake: Arc::clone(&self.handshake),
            proxy: Arc::clone(&proxy),
            limiter: ConnectionLimiter::new(self.config.max_connections, self.config.max_connections_per_address),
            trusted_proxies: self.trusted_proxies,
            config: self.config,
            turning_away: Semaphore::new(NO_PLACE_MOST),
            turns: Arc::new(Turns::new()),
        });
        let tls = self.handshake.tls();
        let fresh = async {
            match tls {
                Some(tls) => tls.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        let mut fresh = pin!(fresh);
        let mut end = pin!(async {
            stop.await;
            proxy.drain(DrainStage::Announced);
            tracing::info!("stopping: in-flight answers finish first; a second signal ends it at once");
            sleep(drain_delay).await;
        });
        let take = |(stream, address)| {
            tokio::spawn(Arc::clone(&reception).receive(stream, address, proxy.shutdown()));
        };
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => break,
                () = &mut fresh => continue,
            };
            match accepted {
                Ok(connection) => take(connection),
                Err(error) => {
                    accept_failed(&error).await;
                }
            }
        }
        let stopped = Instant::now();
        proxy.drain(DrainStage::LastAnswers);
        while stopped.elapsed() < STRAGGLERS_MOST
            && let Ok(Ok(connection)) = timeout(NO_STRAGGLER, self.listener.accept()).await
        {
            take(connection);
        }
        drop(self.listener);
        // Each connection and tunnel listens; once none does, all have ended.
        let open = proxy.under_way();
        let until = stopped + drain_timeout;
        let early = timeout_at(until.min(stopped + LAST_ANSWERS), proxy.drained()).await;
        proxy.drain(DrainStage::Closing);
        if early.is_err() && timeout_at(until, proxy.drained()).await.is_err() {
            tracing::warn!(open, "the drain timeout is over; what is still under way is cut off");
            // Connections end before the calls that they wait for: to a client, an end of the program is no failed answer.
            proxy.drain(DrainStage::CutOff);
            let _ = timeout(CUT_OFF, proxy.drained()).await;
        }
    }
}

/// How HTTP is spoken with clients. Timeouts are [`ConnectionActivity`]'s: hyper's own would count a quiet connection as one that is
/// late with a request, and knows none for the moment in which a connection has not said which HTTP it speaks.
fn http(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    // A whole head: what has limits of its own, and what stands between.
    let buffer = config
        .max_header_bytes
        .saturating_add(config.max_uri_bytes)
        .saturating_add(config.max_headers * ": \r\n".len() + REST_OF_HEAD)
        .max(SMALLEST_BUFFER);
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(buffer);
    if config.max_headers > HEADERS_AT_HAND {
        http.http1().max_headers(config.max_headers);
    }
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_KEPT_BACK)
        .max_header_list_size(u32::try_from(buffer).unwrap_or(u32::MAX));
    http
}

/// What befalls a connection besides what is sent on it.
enum Interruption {
    /// No request is taken on it any more.
    LastRequest,
    /// Its client has taken too long.
    Idle(IdleReason),
    /// The program ends.
    CutOff,
}

/// What every new connection needs.
struct ConnectionHandler {
    http: auto::Builder<TokioExecutor>,
    handshake: Arc<Handshake>,
    proxy: Arc<Proxy>,
    limiter: Arc<ConnectionLimiter>,
    trusted_proxies: TrustedProxies,
    config: ServerConfig,
    /// Permits to turn a connection away in so many words.
    turning_away: Semaphore,
    turns: Arc<Turns>,
}

impl ConnectionHandler {
    async fn receive(self: Arc<Self>, stream: Stream, address: SocketAddr, stop: Shutdown) {
        let mut place = match self.place(&stream, address) {
            Ok(place) => place,
            Err(full) => {
                tracing::debug!(%address, reason = %full, "a connection is turned away");
                return self.turn_away(stream).await;
            }
        };
        let (accepted, peer) = match self.handshake.enter(stream, address).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%address, %error, "a connection was not let in");
                return;
            }
        };
        // A proxy has said for whom the connection is.
        if peer.address != address
            && let Err(full) = place.belongs_to(peer.address.ip())
        {
            tracing::debug!(address = %peer.address, reason = %full, "a connection is turned away");
            return;
        }
        self.serve(accepted, peer, place, stop).await;
    }

    /// A place for a connection. Whoever comes by way of a trusted proxy, or by a Unix socket, has no address of its own.
    fn place(&self, stream: &Stream, address: SocketAddr) -> Result<ConnectionPermit, LimitReached> {
        let mut place = self.limiter.enter()?;
        if matches!(stream, Stream::Tcp(_)) && !self.trusted_proxies.trusts(address.ip()) {
            place.belongs_to(address.ip())?;
        }
        Ok(place)
    }

    async fn serve(self: Arc<Self>, stream: Accepted, peer: Peer, place: ConnectionPermit, mut stop: Shutdown) {
        let address = peer.address;
        let _open = self.proxy.observer().connected();
        let activity = Arc::new(ConnectionActivity::new(Arc::clone(&self.turns)));
        let io = TrackedIo::new(stream, Arc::clone(&activity), place);
        let for_what_goes_on = stop.clone();
        let handler = service_fn(|request: Request<Incoming>| {
            let reception = Arc::clone(&self);
            let most = reception.config.max_requests as u64;
            let (nth, under_way) = activity.request();
            let spent = nth >= most && most > 0;
            let version = request.version();
            let waiting = activity.wait();
            let answering = reception.proxy.handle(request, peer, &for_what_goes_on);
            answering.map(move |mut response| {
                drop(waiting);
                let last = spent || reception.proxy.has_reached(DrainStage::LastAnswers);
                if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    // HTTP/2 has no such header, and is told otherwise.
                    match version {
                        Version::HTTP_2 if spent => under_way.is_the_last(),
                        Version::HTTP_2 => {}
                        _ => drop(
                            response
                                .headers_mut()
                                .insert(CONNECTION, HeaderValue::from_static("close")),
                        ),
                    }
                }
                Ok::<_, Infallible>(response.map(|body| Awaited::new(body, under_way)))
            })
        });
        let mut connection = pin!(self.http.serve_connection_with_upgrades(TokioIo::new(io), handler));
        let stopping = async {
            tokio::select! {
                () = stop.reached(DrainStage::Closing) => {}
                () = activity.spent.notified() => {}
            }
            Interruption::LastRequest
        };
        let limits = IdleLimits {
            header: self.config.header_timeout,
            idle: self.config.idle_timeout,
        };
        let giving_up = activity.stops(limits).map(Interruption::Idle);
        // Looked at when something has happened to one of them, not whenever something moves on the connection.
        let mut interruptions = FuturesUnordered::from_iter([stopping.boxed(), giving_up.boxed()]);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%address, error, "a connection ended early");
                    }
                    return;
                }
                Some(interruption) = interruptions.next() => {
                    match interruption {
                        Interruption::LastRequest => {}
                        Interruption::Idle(still) => {
                            tracing::debug!(%address, %still, "a connection is given up");
                            return;
                        }
                        Interruption::CutOff => return,
                    }
                }
            }
            connection.as_mut().graceful_shutdown();
            let mut stop = for_what_goes_on.clone();
            let cut_off = async move { stop.reached(DrainStage::CutOff).await };
            interruptions.push(cut_off.map(|()| Interruption::CutOff).boxed());
        }
    }

    /// Says that there is no place, and hangs up; behind TLS it cannot be said.
    async fn turn_away(&self, stream: Stream) {
        let permit = self.turning_away.try_acquire();
        if permit.is_err() || self.handshake.tls().is_some() {
            return;
        }
        if let Ok(Err(error)) = timeout(NO_PLACE_TIME, tell_no_place(stream.into())).await {
            tracing::trace!(%error, "a connection did not wait to be turned away");
        }
    }
}

async fn tell_no_place(mut stream: Accepted) -> io::Result<()> {
    stream.write_all(NO_PLACE).await?;
    stream.shutdown().await?;
    // Hanging up on what is not read yet would take back what was said.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}
