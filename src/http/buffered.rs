//! Bodies that are read whole before anything is done with them, and one limit for all of them together: what clients send
//! and what the server answers.
//!
//! Requests may take half of it: however many clients send and wait, answers can still be read.
//!
//! A body is copied into blocks of its own as it comes. A small piece of it may be all that is used of a large read buffer,
//! which would be kept with it.

use crate::http::body::{Body, BoxError};
use bytes::Bytes;
use http::{HeaderMap, header::EXPECT};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The smallest and the largest block of a body whose length is not known, in bytes.
const BLOCK: RangeInclusive<usize> = 4 << 10..=1 << 20;
/// How much a client's word on the length of its body is believed before anything has come, in bytes.
const BELIEVED: usize = 64 << 10;

/// The most that is read of a body that is refused, in bytes.
const DISCARDED: usize = 64 << 20;

/// How many bytes of bodies may be held at the same time; a clone is the same budget.
#[derive(Clone, Debug)]
pub struct BufferBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: usize,
    held: AtomicUsize,
    /// How many of these are of requests.
    of_requests: AtomicUsize,
}

/// Whose a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

/// A body on its way into memory. What it takes of the budget is given back when it is dropped, or what it became.
#[derive(Debug)]
pub struct Buffer {
    /// All but the last are full. Nothing is copied from one to another while the body grows.
    blocks: Vec<Vec<u8>>,
    length: usize,
    share: Share,
    limit: usize,
}

/// What is held of a budget, until it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: BufferBudget,
    sender: Sender,
    bytes: usize,
}

/// Bytes with their share of the budget.
struct Owner {
    bytes: Vec<u8>,
    _share: Share,
}

/// Why a body is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BufferError {
    /// It is longer than its own limit, in bytes.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// All bodies together are as long as the budget allows, in bytes: all of it, or of requests half.
    #[error("as many bytes of bodies are held as server.max_buffered allows ({0}; requests may take half of it)")]
    NoRoom(usize),
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There was no room for it.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// It broke off.
    #[error("{0}")]
    Body(BoxError),
}

impl BufferBudget {
    /// At most `limit` bytes at the same time.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Budget {
            limit,
            held: AtomicUsize::new(0),
            of_requests: AtomicUsize::new(0),
        }))
    }

    /// How many bytes are held now.
    pub fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }

    /// How many of these are of requests.
    pub fn held_of_requests(&self) -> usize {
        self.0.of_requests.load(Relaxed)
    }

    /// The most bytes that one request may hold.
    pub fn most_of_requests(&self) -> usize {
        Self::for_requests(self.0.limit)
    }

    /// The most bytes of requests within a budget of `limit`.
    pub const fn for_requests(limit: usize) -> usize {
        limit / 2
    }

    /// An empty buffer for an answer of at most `limit` bytes.
    pub fn buffer(&self, limit: usize) -> Buffer {
        self.buffer_for(Sender::Server, limit)
    }

    /// An empty buffer for the body of a request, or what is made of it, of at most `limit` bytes.
    pub fn request_buffer(&self, limit: usize) -> Buffer {
        self.buffer_for(Sender::Client, limit)
    }

    /// For what is held of an answer, or because of it, in another form than a [`Buffer`].
    pub fn share(&self) -> Share {
        self.share_for(Sender::Server)
    }

    fn share_for(&self, sender: Sender) -> Share {
        Share {
            budget: self.clone(),
            sender,
            bytes: 0,
        }
    }

    /// What was made of a request's body, which counts from now on.
    pub fn counted(&self, bytes: Vec<u8>) -> Result<Bytes, BufferError> {
        let mut buffer = self.request_buffer(bytes.len());
        buffer.share.grow(bytes.capacity())?;
        buffer.length = bytes.len();
        buffer.blocks.push(bytes);
        Ok(buffer.into_bytes())
    }

    fn buffer_for(&self, sender: Sender, limit: usize) -> Buffer {
        Buffer {
            blocks: Vec::new(),
            length: 0,
            share: self.share_for(sender),
            limit,
        }
    }

    /// Reads the body of a request with `headers` to its end; also one that is refused, as far as it is discarded.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Bytes, ReadError> {
        let mut buffer = self.request_buffer(limit);
        if let Err(error) = buffer.announce(body.size_hint().lower()) {
            discard_unread(headers, body).await;
            return Err(error.into());
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(ReadError::Body)?.into_data() else {
                continue;
            };
            if let Err(error) = buffer.push(&data) {
                drop(buffer);
                discard(body).await;
                return Err(error.into());
            }
        }
        Ok(buffer.into_bytes())
    }
}

/// Reads what a client sends of a body that is refused, and keeps none: a client that is hung up on while it sends may
/// never read the answer.
pub async fn discard(mut body: Body) {
    let mut read = 0;
    while read < DISCARDED
        && let Some(Ok(frame)) = body.frame().await
    {
        read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// The same of a body of which nothing was read. A client that waits for the word to go on is not given it (RFC 9110 section
/// 10.1.1).
pub async fn discard_unread(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body).await;
    }
}

impl Share {
    /// `bytes`, which hold their share of the budget from now on.
    pub fn with(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Owner { bytes, _share: self })
    }

    /// Takes over what `other` holds, which is of the same sender; otherwise it is given back.
    pub fn absorb(&mut self, mut other: Self) {
        if self.sender == other.sender {
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }

    /// Takes `more` bytes.
    pub fn grow(&mut self, more: usize) -> Result<(), BufferError> {
        let Budget {
            limit,
            held,
            of_requests,
        } = &*self.budget.0;
        if self.sender == Sender::Client {
            let most = BufferBudget::for_requests(*limit);
            take(of_requests, more, most).ok_or(BufferError::NoRoom(*limit))?;
        }
        if take(held, more, *limit).is_none() {
            self.give_back_of_requests(more);
            return Err(BufferError::NoRoom(*limit));
        }
        self.bytes += more;
        Ok(())
    }

    fn give_back_of_requests(&self, bytes: usize) {
        if self.sender == Sender::Client {
            self.budget.0.of_requests.fetch_sub(bytes, Relaxed);
        }
    }

    /// Gives back all but `bytes`.
    fn shrink_to(&mut self, bytes: usize) {
        let free = self.bytes.saturating_sub(bytes);
        self.budget.0.held.fetch_sub(free, Relaxed);
        self.give_back_of_requests(free);
        self.bytes = self.bytes.min(bytes);
    }
}

/// Adds `more` to what is taken, unless that would be more than `most`.
fn take(taken: &AtomicUsize, more: usize, most: usize) -> Option<usize> {
    let grown = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= most);
    taken.fetch_update(Relaxed, Relaxed, grown).ok()
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buffer {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A client says how long its body is: one that is too long is refused before it has come. Little more is believed, as
    /// it may send nothing of it.
    pub fn announce(&mut self, length: u64) -> Result<(), BufferError> {
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => self.add_block(length.min(BELIEVED)),
            _ => Err(BufferError::TooLong(self.limit)),
        }
    }

    /// Makes room for all of a body whose length is sure.
    pub fn expect(&mut self, length: usize) -> Result<(), BufferError> {
        match length <= self.limit {
            true => self.add_block(length),
            false => Err(BufferError::TooLong(self.limit)),
        }
    }

    /// Adds what came. After an error nothing of it is in the buffer.
    pub fn push(&mut self, data: &[u8]) -> Result<(), BufferError> {
        let length = self.length.saturating_add(data.len());
        if length > self.limit {
            return Err(BufferError::TooLong(self.limit));
        }
        let room = self.blocks.last().map_or(0, |block| block.capacity() - block.len());
        let (fits, rest) = data.split_at(room.min(data.len()));
        let mut next = Vec::new();
        if !rest.is_empty() {
            let roomy = (length / 4).clamp(*BLOCK.start(), *BLOCK.end());
            let most = self.limit - (self.length + fits.len());
            next = self.block(roomy.min(most).max(rest.len()))?;
            next.extend_from_slice(rest);
        }
        if let Some(last) = self.blocks.last_mut() {
            last.extend_from_slice(fits);
        }
        self.blocks.extend((!next.is_empty()).then_some(next));
        self.length = length;
        Ok(())
    }

    fn block(&mut self, size: usize) -> Result<Vec<u8>, BufferError> {
        self.share.grow(size)?;
        Ok(Vec::with_capacity(size))
    }

    fn add_block(&mut self, size: usize) -> Result<(), BufferError> {
        if size > 0 {
            let block = self.block(size)?;
            self.blocks.push(block);
        }
        Ok(())
    }

    /// What is in it, without the room that was not needed. It counts for as long as any part of it is held.
    pub fn into_bytes(self) -> Bytes {
        let (bytes, share) = self.into_vec();
        match bytes.is_empty() {
            true => Bytes::new(),
            false => share.with(bytes),
        }
    }

    /// What is in it, to be changed, and its share.
    pub fn into_vec(mut self) -> (Vec<u8>, Share) {
        let mut blocks = self.blocks.into_iter();
        let mut bytes = blocks.next().unwrap_or_default();
        if bytes.len() < self.length {
            let mut whole = Vec::with_capacity(self.length);
            whole.append(&mut bytes);
            // Each block is free again before the next one is copied.
            blocks.for_each(|mut block| whole.append(&mut block));
            bytes = whole;
        }
        bytes.shrink_to_fit();
        self.share.shrink_to(bytes.len());
        (bytes, self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_of_the_budget_what_it_holds_and_gives_it_back() {
        let budget = BufferBudget::new(100_000);
        let mut buffer = budget.buffer(50_000);
        for _ in 0..30_000 {
            buffer.push(b"x").expect("room");
        }
        assert!(budget.held() <= 40_000, "{}", budget.held());
        let whole = buffer.into_bytes();
        assert_eq!((whole.len(), budget.held()), (30_000, 30_000));
        let part = whole.slice(5..10);
        drop(whole);
        assert_eq!(budget.held(), 30_000, "a part of it keeps all of it");
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_too_long_alone_or_together_is_refused_and_gives_back_what_it_took() {
        let budget = BufferBudget::new(3_000);
        let mut one = budget.buffer(2_000);
        assert_eq!(one.push(&[0; 2_001]), Err(BufferError::TooLong(2_000)));
        assert_eq!(one.announce(u64::MAX), Err(BufferError::TooLong(2_000)));
        one.push(&[0; 1_800]).expect("room");
        let mut other = budget.buffer(2_000);
        assert_eq!(other.push(&[0; 1_800]), Err(BufferError::NoRoom(3_000)));
        drop(one);
        other.push(&[0; 1_800]).expect("room again");
    }

    #[test]
    fn requests_take_at_most_half() {
        let budget = BufferBudget::new(4_000);
        let mut held = budget.request_buffer(2_000);
        held.push(&[0; 2_000]).expect("half is for requests");
        let mut refused = budget.request_buffer(2_000);
        assert_eq!(refused.push(b"x"), Err(BufferError::NoRoom(4_000)));
        let mut answer = budget.buffer(2_000);
        answer.push(&[0; 2_000]).expect("half is for answers");
        drop(held);
        assert_eq!(refused.push(&[0; 2_001]), Err(BufferError::TooLong(2_000)));
        refused.push(b"x").expect("it was given back");
        drop((refused, answer));
        assert_eq!((budget.held(), budget.held_of_requests()), (0, 0));
    }

    #[test]
    fn a_length_that_is_only_announced_takes_little() {
        let budget = BufferBudget::new(1 << 30);
        let mut buffer = budget.buffer(1 << 29);
        buffer.announce(1 << 29).expect("room");
        assert_eq!(budget.held(), BELIEVED);
    }
}
