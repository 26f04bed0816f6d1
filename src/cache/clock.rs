//! The clock that deadlines are on.

use std::{fmt, sync::OnceLock, time::Duration};

/// A clock that never steps and that goes on while the machine sleeps.
///
/// [`SystemClock`] is the default. A test puts its own in with [`TokenCacheBuilder::clock`](crate::TokenCacheBuilder::clock).
pub trait Clock: Send + Sync + 'static {
    /// The time since some moment that is the same for every call.
    fn now(&self) -> Duration;
}

/// The machine's clock: `CLOCK_BOOTTIME` on Linux, `mach_continuous_time` on Apple's systems, and
/// elsewhere what [`Instant`](std::time::Instant) uses, which on Windows counts sleep too.
///
/// Neither the wall clock, which an NTP step would make a whole fleet's tokens expire with, nor a
/// clock that stands still in suspend, after which dead tokens would look fresh.
#[derive(Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        static START: OnceLock<boot_time::Instant> = OnceLock::new();
        START.get_or_init(boot_time::Instant::now).elapsed()
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemClock")
    }
}
