//! The locks and atomics that threads meet at: std's, or the model checker's. Whatever is built on
//! them is what the model in `tests/model` checks.

#[cfg(tower_oauth_loom)]
pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(tower_oauth_loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

/// Locks it, poisoned or not: nothing under a lock of this cache can panic half-way through a
/// change.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A number for this thread. Threads that were started one after the other have neighbours.
#[cfg(not(tower_oauth_loom))]
#[inline]
pub(super) fn thread_number() -> usize {
    use std::sync::atomic::AtomicUsize;

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending has no number any more; any shard will do.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// The model's threads are all one thread of the machine, told apart by what it calls them.
#[cfg(tower_oauth_loom)]
pub(super) fn thread_number() -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish() as usize
}
