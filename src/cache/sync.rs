//! What threads meet at: locks, atomics, and what tells threads apart. The model of `tests/model`
//! puts the model checker's in place of this file, so that all that is built on it is checked as it
//! ships.

use std::sync::PoisonError;
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Locks it, poisoned or not: nothing under a lock of this cache can panic half-way through a
/// change.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for this thread. Threads that were started one after the other have neighbours.
#[inline]
pub(super) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending has no number any more; any will do.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// How many threads can run at once.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
