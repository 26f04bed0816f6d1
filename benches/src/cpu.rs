//! Processor time: unlike the time of day it does not count what other programs do meanwhile.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What this thread has used.
pub fn of_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// What all threads of this process have used.
pub fn of_process() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
