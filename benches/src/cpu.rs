//! Clocks: of processor time, which does not count what other programs do meanwhile, and the one that
//! is cheapest to read.

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

/// The time of the kernel's last tick.
pub fn coarse_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from)
}
