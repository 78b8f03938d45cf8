//! The loop that accepts a simulated server's connections.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{future::Future, io, pin::Pin, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

/// The body of an answer, whole or as it comes.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer on its way; with an error the connection ends instead.
pub(super) type Answering = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

/// Answers by `answer` until it is dropped. Connections end with it, as those of a killed server do.
pub(super) async fn serve(listener: TcpListener, answer: Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection of the simulated upstream ended early");
            }
        });
    }
}
