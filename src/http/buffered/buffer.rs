//! One body on its way into memory.
//!
//! A body is copied into blocks of its own as it comes. A small piece of it may be all that is used of a large read buffer,
//! which would be kept with it.

use super::budget::{BufferBudget, BufferError, Sender, Share};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// The smallest and the largest block of a body whose length is not known, in bytes.
const BLOCK: RangeInclusive<usize> = 4 << 10..=1 << 20;
/// How much a client's word on the length of its body is believed before anything has come, in bytes.
const BELIEVED: usize = 64 << 10;

/// A body on its way into memory. What it takes of the budget is given back when it is dropped, or what it became.
#[derive(Debug)]
pub struct Buffer {
    /// All but the last are full. Nothing is copied from one to another while the body grows.
    blocks: Vec<Vec<u8>>,
    length: usize,
    share: Share,
    limit: usize,
}

impl BufferBudget {
    /// An empty buffer for an answer of at most `limit` bytes.
    pub fn buffer(&self, limit: usize) -> Buffer {
        self.buffer_for(Sender::Server, limit)
    }

    /// An empty buffer for the body of a request, or what is made of it, of at most `limit` bytes.
    pub fn request_buffer(&self, limit: usize) -> Buffer {
        self.buffer_for(Sender::Client, limit)
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
