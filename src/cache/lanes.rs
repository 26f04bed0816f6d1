//! Copies of the held token, for threads to use without meeting each other.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::cache::lease::Record;

/// The lanes of one cache. A request that used a reference count which all threads share would cost
/// twice as much as soon as two threads send requests.
///
/// They are cleared under the lock of the state, whenever what is held changes.
pub(super) struct Lanes {
    lanes: Box<[Lane]>,
}

/// The record for the threads that share this lane. Empty until it is used, and whenever what is
/// held changes. Padded, so that two lanes share no cache line.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    record: Mutex<Option<Arc<Record>>>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        let lanes = (0..lane_count()).map(|_| Lane::default()).collect();
        Self { lanes }
    }

    /// The lane of the thread that runs this.
    #[inline]
    pub(super) fn mine(&self) -> MutexGuard<'_, Option<Arc<Record>>> {
        // The number of lanes is a power of two.
        self.lanes[thread_number() & (self.lanes.len() - 1)].lock()
    }

    pub(super) fn clear(&self) {
        for lane in &self.lanes {
            *lane.lock() = None;
        }
    }
}

impl Lane {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Record>>> {
        // Nothing under this lock can panic half-way.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number for this thread; threads that were started one after the other have neighbours.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending has no number any more; any lane will do.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// Twice as many lanes as there are processors, so that few threads that run at once share one.
fn lane_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        (2 * processors).next_power_of_two().clamp(2, 32)
    })
}
