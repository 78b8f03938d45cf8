//! The body of an answer, with the connection that it comes on: reading it moves the connection on, and once it has come to
//! its end the connection is kept for the next request. Let go of before, the connection is closed, and so the upstream
//! told.

use super::{
    connection::{Connection, ConnectionError},
    idle::IdleConnections,
    io::Io,
};
use crate::{
    http::idle_timeout::ResponseTimeout,
    upstream::http1::{Head, Reader},
};
use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The body of an answer.
pub struct AnswerBody {
    reader: Reader,
    /// Until its end.
    connection: Option<Box<Connection>>,
    keeps_open: bool,
    /// Why it broke off, as the next thing to say.
    broken: Option<ConnectionError>,
    /// With the rest of a request that its answer did not wait for.
    timeout: Option<ResponseTimeout>,
    idle: Arc<IdleConnections>,
}

/// A connection on which another protocol is spoken from now on.
pub struct Switched {
    /// What has come of it already.
    come: Bytes,
    io: Io,
}

impl AnswerBody {
    pub(super) fn of(
        head: Head,
        connection: Box<Connection>,
        timeout: ResponseTimeout,
        idle: &Arc<IdleConnections>,
    ) -> Response<Self> {
        let mut body = Self {
            reader: head.body,
            timeout: connection.is_sending().then_some(timeout),
            connection: Some(connection),
            broken: None,
            keeps_open: head.keeps_open,
            idle: Arc::clone(idle),
        };
        if head.body.is_over() {
            body.keep_connection();
        }
        head.response.map(|()| body)
    }

    /// The connection of a 101.
    pub fn into_switched(self) -> Option<Switched> {
        let (io, come) = self.connection?.into_rest();
        Some(Switched { come, io })
    }

    fn keep_connection(&mut self) {
        let Some(connection) = self.connection.take_if(|_| self.keeps_open) else {
            return;
        };
        match self.timeout.take_if(|_| connection.is_sending()) {
            Some(timeout) => drop(tokio::spawn(keep_once_sent(
                connection,
                timeout,
                Arc::clone(&self.idle),
            ))),
            None if connection.is_idle() => self.idle.put(connection),
            None => {}
        }
    }
}

/// Lets a request come to its end though its answer has: its client may not look at the answer before.
async fn keep_once_sent(mut connection: Box<Connection>, timeout: ResponseTimeout, idle: Arc<IdleConnections>) {
    if let Ok(()) = connection.send_rest(&timeout).await
        && connection.is_idle()
    {
        idle.put(connection);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let Self {
            reader,
            connection,
            broken,
            ..
        } = &mut *self;
        if let Some(error) = broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(connection) = connection else {
            return Poll::Ready(None);
        };
        match ready!(connection.poll_body(reader, cx)) {
            // An error makes hyper throw away what it has not sent yet. So it is said at the task's next turn: what came
            // before is sent at the end of this one.
            Some(Err(error)) => {
                self.connection = None;
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(frame) if !self.reader.is_over() => Poll::Ready(Some(frame)),
            frame => {
                self.keep_connection();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reader.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.reader.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.come.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let now = self.come.len().min(into.remaining());
        into.put_slice(&self.come.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
