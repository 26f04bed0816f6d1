//! A clock that goes whatever becomes of runtimes: one thread for the process, which is there only
//! while it has something to watch.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

type Then = Box<dyn FnOnce() + Send>;

struct Watch {
    /// By time, and by number where two have the same.
    due: BTreeMap<(Instant, u64), Then>,
    next_number: u64,
    is_running: bool,
}

static WATCH: Mutex<Watch> =
    Mutex::new(Watch { due: BTreeMap::new(), next_number: 0, is_running: false });
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs this at that time, or soon after it.
///
/// If no thread can be started, as on some targets, it does not run.
pub(super) fn at(time: Instant, then: impl FnOnce() + Send + 'static) {
    let mut watch = lock();
    let number = watch.next_number;
    watch.next_number += 1;
    watch.due.insert((time, number), Box::new(then));
    if watch.is_running {
        CHANGED.notify_one();
        return;
    }
    match start() {
        Ok(()) => watch.is_running = true,
        Err(_) => {
            let forgotten = std::mem::take(&mut watch.due);
            drop(watch);
            drop(forgotten);
        }
    }
}

fn start() -> io::Result<()> {
    thread::Builder::new().name("tower-oauth-watch".to_owned()).spawn(run).map(drop)
}

fn run() {
    let mut watch = lock();
    while let Some(entry) = watch.due.first_entry() {
        let left = entry.key().0.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let then = entry.remove();
            drop(watch);
            // It wakes tasks of anybody's. None of them may end the watch for the others.
            let _ = catch_unwind(AssertUnwindSafe(then));
            watch = lock();
        } else {
            (watch, _) = CHANGED.wait_timeout(watch, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
    // Under the lock: whoever adds something later sees that another thread is needed.
    watch.is_running = false;
}
