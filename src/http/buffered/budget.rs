//! How many bytes may be held at the same time, and what each holder has of them.
//!
//! Requests may take half of it: however many clients send and wait, answers can still be read.

use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

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
pub(super) enum Sender {
    Client,
    Server,
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

    /// For what is held of an answer, or because of it, in another form than a [`super::Buffer`].
    pub fn share(&self) -> Share {
        self.share_for(Sender::Server)
    }

    /// The same of a body of `sender`.
    pub(super) fn share_for(&self, sender: Sender) -> Share {
        Share {
            budget: self.clone(),
            sender,
            bytes: 0,
        }
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

    /// Holds `bytes` from now on, more or less than before.
    ///
    /// # Errors
    /// There is no room for more: it holds what it held.
    pub fn set(&mut self, bytes: usize) -> Result<(), BufferError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink_to(bytes);
                Ok(())
            }
        }
    }

    fn give_back_of_requests(&self, bytes: usize) {
        if self.sender == Sender::Client {
            self.budget.0.of_requests.fetch_sub(bytes, Relaxed);
        }
    }

    /// Gives back all but `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
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
