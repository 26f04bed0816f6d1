//! What one cache holds.

use std::thread;

use allocation_counter::measure;
use tokio::runtime::Builder;

use crate::case::cache;

/// Bytes of one that was made and never asked; that holds a token of 1 KiB which one thread has
/// used; and which so many threads have used.
pub fn of_a_cache(threads: usize) -> [i64; 3] {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    // What the runtime keeps, it keeps from now on.
    runtime.block_on(cache().token()).unwrap();
    let mut made = None;
    let idle = measure(|| made = Some(cache())).bytes_current;
    let cache = made.unwrap();
    // The number of this thread comes from its first use.
    let used = || measure(|| drop(cache.try_authorization().unwrap())).bytes_current;
    let one = measure(|| drop(runtime.block_on(cache.token()).unwrap())).bytes_current + used();
    let others: i64 =
        (1..threads).map(|_| thread::scope(|scope| scope.spawn(used).join().unwrap())).sum();
    [idle, idle + one, idle + one + others]
}
