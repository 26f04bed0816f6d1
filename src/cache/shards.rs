//! Copies of the held token, for threads to use without meeting each other.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    held::{Held, aged},
    sync::{Mutex, lock, processors, thread_number},
};
use crate::{error::Error, token::Token};

/// The shards of one cache. A request that used a reference count which all threads share would
/// cost twice as much as soon as two threads send requests.
///
/// They are filled and cleared under the lock of the slot, so none holds a token that the slot has
/// given up.
pub(super) struct Shards<C> {
    shards: Box<[Shard<C>]>,
}

/// The record for the threads that share this shard. It is empty until it is used, and whenever
/// what is held changes. Padded, so that two shards share no cache line.
#[repr(align(128))]
struct Shard<C> {
    record: Mutex<Option<Arc<Record<C>>>>,
}

/// A copy of the held token, with what a request needs of it. It is padded, and its header value
/// has bytes of its own, so that using it touches no reference count of another shard.
#[repr(align(128))]
pub(super) struct Record<C> {
    pub(super) header_value: HeaderValue,
    pub(super) token: Token,
    /// The way back to the cache.
    pub(super) owner: Arc<C>,
    refresh_at: Duration,
    /// When the token was asked for.
    born_at: Duration,
}

impl<C> Shards<C> {
    pub(super) fn new() -> Self {
        // Twice as many as can run at once, so that few threads that do share one.
        let count = (2 * processors()).next_power_of_two().clamp(2, 32);
        Self { shards: (0..count).map(|_| Shard { record: Mutex::new(None) }).collect() }
    }

    /// The record of this thread's shard.
    #[inline]
    pub(super) fn mine(&self) -> Option<Arc<Record<C>>> {
        lock(&self.my_shard().record).clone()
    }

    /// The record of this thread's shard, which is put there if it is not one of what is held.
    pub(super) fn mine_or(
        &self,
        held: &Held,
        record: impl FnOnce() -> Result<Arc<Record<C>>, Error>,
    ) -> Result<Arc<Record<C>>, Error> {
        let mut mine = lock(&self.my_shard().record);
        match &*mine {
            Some(record) if record.is_of(held) => Ok(Arc::clone(record)),
            _ => Ok(Arc::clone(mine.insert(record()?))),
        }
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *lock(&shard.record) = None;
        }
    }

    #[inline]
    fn my_shard(&self) -> &Shard<C> {
        // The number of shards is a power of two.
        &self.shards[thread_number() & (self.shards.len() - 1)]
    }
}

impl<C> Record<C> {
    pub(super) fn new(held: &Held, owner: Arc<C>) -> Result<Self, Error> {
        Ok(Self {
            header_value: held.token.copied_header_value()?,
            token: held.token.clone(),
            owner,
            refresh_at: held.deadlines.refresh_at,
            born_at: held.deadlines.born_at,
        })
    }

    /// The token, as old as it is now.
    pub(super) fn token_at(&self, now: Duration) -> Token {
        aged(&self.token, self.born_at, now)
    }

    fn is_of(&self, held: &Held) -> bool {
        self.token.id() == held.token.id() && self.refresh_at == held.deadlines.refresh_at
    }

    /// Whether the token is not due to be refreshed yet.
    #[inline]
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        now < self.refresh_at
    }
}
