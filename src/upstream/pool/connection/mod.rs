//! One connection, and one request at a time on it. It has no task of its own: whoever waits for the answer moves it on.

use super::io::Io;
use crate::{
    http::{
        body::{Body, BoxError},
        idle_timeout::{Alarm, HeaderTimeout, ResponseTimeout},
    },
    upstream::http1::{Head, MAX_HEAD_BYTES, NotHttp, Piece, Reader, Upload, read_head, write_head},
};
use bytes::{Buf, Bytes, BytesMut};
use http::{Method, request::Parts};
use hyper::body::{Body as _, Frame};
use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    task::coop::unconstrained,
};

/// How much room there is to read into, in bytes: as much as is to come, or more whenever an answer fills it. A large answer
/// costs less in large pieces, but not one in small chunks, which are copied out of it.
const LEAST_ROOM: usize = 8 << 10;
const MAX_ROOM: usize = 400 << 10;
/// How much may lie ready to be written while more is asked of a request's body, in bytes.
const MAX_TO_WRITE: usize = 16 << 10;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server ended the connection before the end of its answer.
    #[error("connection closed before message completed")]
    Closed,
    /// What it says is no HTTP.
    #[error("{0}")]
    NotHttp(#[from] NotHttp),
    /// The body of the request failed.
    #[error("the body of the request failed")]
    Body(#[source] BoxError),
    /// The head of the answer did not come in time.
    #[error(transparent)]
    HeaderTimeout(#[from] HeaderTimeout),
    /// The body of the request is longer or shorter than was said.
    #[error("the body of the request is not as long as it was said to be")]
    BodyLength,
}

impl ConnectionError {
    /// Whether the connection did not fail, but was given up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::HeaderTimeout(_))
    }
}

/// A connection.
pub(super) struct Connection {
    io: Io,
    /// What has come and is not yet read.
    come: BytesMut,
    room: usize,
    /// What is to be written, in this order, and how much of the first was.
    head: Vec<u8>,
    written: usize,
    content: Bytes,
    /// Something was written and not flushed.
    to_flush: bool,
    upload: Option<(Body, Upload)>,
    /// Why the request could not be sent to its end.
    broken: Option<ConnectionError>,
    /// How many bytes came since the request was sent.
    heard: usize,
    alarm: Alarm,
}

impl Connection {
    /// A new connection.
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            come: BytesMut::new(),
            room: LEAST_ROOM,
            head: Vec::new(),
            written: 0,
            content: Bytes::new(),
            to_flush: false,
            upload: None,
            broken: None,
            heard: 0,
            alarm: Alarm::default(),
        }
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
        timeout: &ResponseTimeout,
    ) -> Result<Head, ConnectionError> {
        self.heard = 0;
        let length = match body.is_end_stream() {
            true => Some(0),
            false => body.size_hint().exact(),
        };
        let upload = write_head(head, length, &mut self.head);
        self.upload = Some((body, upload));
        let (mut alarm, mut seen) = (std::mem::take(&mut self.alarm), 0);
        let answering = poll_fn(|cx| self.poll_head(&head.method, &mut seen, cx));
        let answered = timeout.wait(&mut alarm, answering).await;
        self.alarm = alarm;
        answered
    }

    /// Whether a byte came back for the last request.
    pub(super) fn has_heard(&self) -> bool {
        self.heard > 0
    }

    /// Whether another request can be sent: the last one was sent to its end, and nothing came after its answer.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_sending() && self.broken.is_none() && self.come.is_empty()
    }

    /// Lets go of what only a request needs.
    pub(super) fn rest(&mut self) {
        self.come = BytesMut::new();
        self.room = LEAST_ROOM;
        self.head.shrink_to(MAX_TO_WRITE);
    }

    /// Whether the server has kept an idle connection open and said nothing on it, as far as is known by now.
    pub(super) fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let mut unread = ReadBuf::new(&mut byte);
        let mut nobody = Context::from_waker(Waker::noop());
        let reading = poll_fn(|cx| Pin::new(&mut self.io).poll_read(cx, &mut unread));
        // A task that has done much hears from tokio that nothing is ready, though it may be.
        pin!(unconstrained(reading)).poll(&mut nobody).is_pending()
    }

    /// The next piece of the body that `reader` reads.
    pub(super) fn poll_body(
        &mut self,
        reader: &mut Reader,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        // An answer may begin before its request has ended, and may be whole where that could not be sent.
        if self.is_sending() {
            self.go_on_sending(cx);
        }
        loop {
            match reader.read(&mut self.come) {
                Ok(Piece::Content(content)) => return Poll::Ready(Some(Ok(Frame::data(content)))),
                Ok(Piece::Gathered(content)) => {
                    self.room = LEAST_ROOM;
                    return Poll::Ready(Some(Ok(Frame::data(content))));
                }
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            if let Some(left) = reader.left() {
                self.room = usize::try_from(left).unwrap_or(usize::MAX).clamp(LEAST_ROOM, MAX_ROOM);
            }
            match ready!(self.poll_come(cx)) {
                Ok(0) if reader.ends_by_itself() => return Poll::Ready(Some(Err(ConnectionError::Closed))),
                Ok(0) => return Poll::Ready(None),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Whether the request has not been sent to its end: its last piece may still lie here, or within TLS.
    pub(super) fn is_sending(&self) -> bool {
        self.upload.is_some() || !self.head.is_empty() || self.to_flush
    }

    /// Sends the rest of a request whose answer is over.
    pub(super) async fn send_rest(&mut self, timeout: &ResponseTimeout) -> Result<(), ConnectionError> {
        let mut alarm = std::mem::take(&mut self.alarm);
        timeout.wait(&mut alarm, poll_fn(|cx| self.poll_send(cx))).await
    }

    /// Ends an idle connection as its protocol wants it: TLS has a word for it (RFC 8446 section 6.1).
    pub(super) async fn close(mut self) {
        if let Err(error) = self.io.shutdown().await {
            tracing::trace!(%error, "an idle connection was closed by both ends at once");
        }
    }

    /// The connection, and what came on it after the last answer.
    pub(super) fn into_rest(self) -> (Io, Bytes) {
        (self.io, self.come.freeze())
    }

    fn poll_head(
        &mut self,
        method: &Method,
        seen: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, ConnectionError>> {
        if self.broken.is_none() {
            self.go_on_sending(cx);
        }
        let of_client =
            |error: &mut ConnectionError| matches!(error, ConnectionError::Body(_) | ConnectionError::BodyLength);
        if let Some(error) = self.broken.take_if(of_client) {
            return Poll::Ready(Err(error));
        }
        loop {
            if let Some(head) = read_head(&mut self.come, method, seen)? {
                return Poll::Ready(Ok(head));
            }
            // Interim answers are not limited otherwise, and may come faster than a clock is looked at.
            if self.heard > MAX_HEAD_BYTES {
                return Poll::Ready(Err(NotHttp::HeadTooLong.into()));
            }
            // A server may answer and hang up before it has read the whole request: what it has said counts.
            let error = match ready!(self.poll_come(cx)) {
                Ok(1..) => continue,
                Ok(0) => ConnectionError::Closed,
                Err(error) => error.into(),
            };
            return Poll::Ready(Err(self.broken.take().unwrap_or(error)));
        }
    }

    fn go_on_sending(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            tracing::debug!(%error, "a request could not be sent to its end");
            self.broken = Some(error);
            self.upload = None;
            self.head.clear();
            self.content = Bytes::new();
            self.to_flush = false;
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            // What is there of the body goes along with the head.
            let piece = self.poll_piece(cx)?;
            ready!(self.poll_write(cx))?;
            if self.upload.is_none() {
                return Poll::Ready(Ok(()));
            }
            ready!(piece);
        }
    }

    /// Gets the next piece of the body, or its end, ready to be written, unless enough is.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if !self.content.is_empty() || self.head.len() > MAX_TO_WRITE {
            return Poll::Ready(Ok(()));
        }
        let Some((body, upload)) = &mut self.upload else {
            return Poll::Ready(Ok(()));
        };
        if *upload == Upload::Sized(0) {
            self.upload = None;
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(content) = frame.into_data() {
                    self.content = upload
                        .write(content, &mut self.head)
                        .ok_or(ConnectionError::BodyLength)?;
                }
            }
            Some(Err(error)) => return Poll::Ready(Err(ConnectionError::Body(error))),
            None if upload.end(&mut self.head) => self.upload = None,
            None => return Poll::Ready(Err(ConnectionError::BodyLength)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let head = self.head.get(self.written..).unwrap_or_default();
            let io = Pin::new(&mut self.io);
            let written = match (head.is_empty(), self.content.is_empty()) {
                (true, true) => break,
                (false, true) => ready!(io.poll_write(cx, head))?,
                (true, false) => ready!(io.poll_write(cx, &self.content))?,
                (false, false) => {
                    let pieces = [IoSlice::new(head), IoSlice::new(&self.content)];
                    ready!(io.poll_write_vectored(cx, &pieces))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            self.written += of_head;
            self.content.advance(written - of_head);
            self.to_flush = true;
        }
        // An empty part of a body still holds all of it.
        self.content = Bytes::new();
        self.head.clear();
        self.written = 0;
        if self.to_flush {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.to_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what has come; 0 bytes if nothing more comes.
    fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.come.reserve(self.room);
        let room = self.come.capacity() - self.come.len();
        let read = ready!(pin!(self.io.read_buf(&mut self.come)).poll(cx))?;
        self.heard = self.heard.saturating_add(read);
        if read == room {
            self.room = (self.room * 2).min(MAX_ROOM);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_ROOM);
        }
        Poll::Ready(Ok(read))
    }
}

#[cfg(test)]
mod tests;
