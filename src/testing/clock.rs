//! A clock that follows tokio's.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

use crate::cache::Clock;

/// A [`Clock`] that follows `tokio::time::pause` and `tokio::time::advance`.
///
/// In a runtime whose time is not paused, and outside of a runtime, it goes like
/// [`std::time::Instant`]. It can be read anywhere; it never panics.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TokioClock;

impl TokioClock {
    /// The clock of whatever runtime it is read in.
    pub fn new() -> Self {
        Self
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        // Each runtime with paused time has a clock of its own, which can be before the moment
        // that another one took for zero; a century leaves room on both sides.
        const ZERO: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        static START: OnceLock<Instant> = OnceLock::new();
        let (start, now) = (*START.get_or_init(Instant::now), Instant::now());
        match now.checked_duration_since(start) {
            Some(since) => ZERO.saturating_add(since),
            None => ZERO.saturating_sub(start.saturating_duration_since(now)),
        }
    }
}
