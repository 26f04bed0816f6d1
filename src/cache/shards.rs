//! Copies of the held token, for threads to use without meeting each other.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderValue;

use super::{
    held::Held,
    sync::{AtomicBool, Mutex, Ordering, lock, thread_number},
};
use crate::error::Error;

/// The shards of one cache, one for each thread that can run at once. A request that used a reference
/// count which all threads share would cost twice as much as soon as two threads send requests.
///
/// They are filled and cleared under the lock of the slot, so none holds a token that the slot has
/// given up. Each is made when it is first needed.
pub(super) struct Shards<C> {
    shards: Box<[OnceLock<Box<Shard<C>>>]>,
    /// Whether a record uses the token's own bytes.
    is_shared: AtomicBool,
}

/// The record for the threads that share this shard. It is empty until it is used, and whenever
/// what is held changes. Padded, so that two shards share no cache line.
#[repr(align(128))]
struct Shard<C> {
    record: Mutex<Option<Arc<Record<C>>>>,
}

/// A copy of the held token, with what a request needs of it. It is padded, and its header value
/// has bytes that no other shard's record uses, so that using it touches no reference count of theirs.
#[repr(align(128))]
pub(super) struct Record<C> {
    pub(super) header_value: HeaderValue,
    pub(super) held: Arc<Held>,
    /// The way back to the cache.
    pub(super) owner: Arc<C>,
    /// The one of `held`, here so that a request that finds it fresh looks no further.
    refresh_at: Duration,
}

impl<C> Shards<C> {
    pub(super) fn new(processors: usize) -> Self {
        let count = processors.next_power_of_two().min(32);
        let shards = (0..count).map(|_| OnceLock::new()).collect();
        Self { shards, is_shared: AtomicBool::new(false) }
    }

    /// The record of this thread's shard.
    #[inline]
    pub(super) fn mine(&self) -> Option<Arc<Record<C>>> {
        lock(&self.my_shard().get()?.record).clone()
    }

    /// The record of this thread's shard, which is put there if it is not one of what is held.
    pub(super) fn mine_or(&self, held: &Arc<Held>, owner: Arc<C>) -> Result<Arc<Record<C>>, Error> {
        let shard = self.my_shard().get_or_init(|| Box::new(Shard { record: Mutex::new(None) }));
        let mut mine = lock(&shard.record);
        if let Some(record) = mine.as_ref().filter(|record| record.held.is_same(held)) {
            return Ok(Arc::clone(record));
        }
        // The first one needs no copy of the token. Relaxed: the lock of the slot orders it.
        let header_value = if self.is_shared.swap(true, Ordering::Relaxed) {
            held.token.copied_header_value()
        } else {
            held.token.header_value()
        };
        let record = Record::new(held, header_value?, owner);
        Ok(Arc::clone(mine.insert(Arc::new(record))))
    }

    pub(super) fn clear(&self) {
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            *lock(&shard.record) = None;
        }
        self.is_shared.store(false, Ordering::Relaxed);
    }

    #[inline]
    fn my_shard(&self) -> &OnceLock<Box<Shard<C>>> {
        // The number of shards is a power of two.
        &self.shards[thread_number() & (self.shards.len() - 1)]
    }
}

impl<C> Record<C> {
    pub(super) fn new(held: &Arc<Held>, header_value: HeaderValue, owner: Arc<C>) -> Self {
        let refresh_at = held.deadlines.refresh_at;
        Self { header_value, held: Arc::clone(held), owner, refresh_at }
    }

    /// Whether the token is not due to be refreshed yet.
    #[inline]
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        now < self.refresh_at
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{cache::policy::Deadlines, token::Token};

    /// What a machine of many processors keeps of a token of 1 KiB, whatever this one has.
    #[test]
    fn sixteen_shards_cost_little_until_they_are_used() {
        let measure = |work: &mut dyn FnMut()| allocation_counter::measure(work).bytes_current;
        let (mut shards, mut held) = (None, None);
        let idle = measure(&mut || shards = Some(Shards::<()>::new(16)));
        let token = measure(&mut || {
            let token = Token::bearer("x".repeat(1024));
            held = Some(Arc::new(Held { token, deadlines: Deadlines::NEVER }));
        });
        let (shards, held) = (shards.unwrap(), held.unwrap());
        let owner = Arc::new(());
        let fill = || measure(&mut || drop(shards.mine_or(&held, Arc::clone(&owner)).unwrap()));
        let first = fill();
        assert_eq!(fill(), 0);
        // Threads that are numbered one after the other have shards of their own.
        let others: i64 =
            (0..15).map(|_| thread::scope(|scope| scope.spawn(fill).join().unwrap())).sum();
        assert!(idle <= 300, "{idle} B idle");
        assert!(token + first <= 2_200, "{token} + {first} B for one thread");
        let all = idle + token + first + others;
        assert!((15_000..=30_000).contains(&all), "{all} B for sixteen threads");
        let given_back = measure(&mut || shards.clear());
        assert!(given_back <= -15 * 1024, "{given_back} B given back");
    }
}
