//! `src/cache/sync.rs` of the model checker.

use std::sync::PoisonError;

pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

loom::lazy_static! {
    static ref NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
}

loom::thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// The model's threads are all one thread of the machine.
pub(super) fn thread_number() -> usize {
    NUMBER.with(|number| *number)
}

/// Makes two shards: with more there are more locks, and nothing new to see.
pub(super) fn processors() -> usize {
    1
}
