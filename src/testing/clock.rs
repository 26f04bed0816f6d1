//! A clock that follows tokio's.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::cache::Clock;

/// A [`Clock`] that follows `tokio::time::pause` and `tokio::time::advance`.
///
/// In a runtime whose time is not paused, and outside of a runtime, it goes like
/// [`std::time::Instant`]. It can be read anywhere; it never panics. A clone is the same clock.
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::{TokenCache, cache::TokenState, testing::{AuthorizationServer, TokioClock}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), tower_oauth::Error> {
/// // In a `#[tokio::test(start_paused = true)]`, for example:
/// let server = AuthorizationServer::new();
/// let tokens = TokenCache::builder(server.fetcher()).clock(TokioClock::new()).build();
/// tokens.warm_up().await?;
/// tokio::time::sleep(Duration::from_secs(3600)).await; // which takes no time
/// assert_eq!(tokens.status().state, TokenState::Expired);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokioClock {
    slept: Arc<Mutex<Duration>>,
}

impl TokioClock {
    /// The clock of whatever runtime it is read in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the machine sleep for that long, as far as this clock can tell: it moves on, and
    /// tokio's stands still. The server goes by tokio's, so its tokens stay alive.
    pub fn suspend(&self, time: Duration) {
        let mut slept = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        *slept = slept.saturating_add(time);
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        // Each runtime with paused time has a clock of its own, which can be before the moment
        // that another one took for zero; a century leaves room on both sides.
        const ZERO: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        static START: OnceLock<Instant> = OnceLock::new();
        let slept = *self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, now) = (*START.get_or_init(Instant::now), Instant::now());
        match now.checked_duration_since(start) {
            Some(since) => ZERO.saturating_add(since),
            None => ZERO.saturating_sub(start.saturating_duration_since(now)),
        }
        .saturating_add(slept)
    }
}
