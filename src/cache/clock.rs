//! The clock that deadlines are on.

use std::{fmt, time::Duration};

/// A clock that never steps and that goes on while the machine sleeps.
///
/// [`SystemClock`] is the default. A test that sets the time itself:
///
/// ```
/// use std::{
///     sync::{Arc, Mutex},
///     time::Duration,
/// };
/// use tower_oauth::{Token, TokenCache, cache::{Clock, TokenState}, fetch_fn};
///
/// #[derive(Clone, Default)]
/// struct Hand(Arc<Mutex<Duration>>);
///
/// impl Clock for Hand {
///     fn now(&self) -> Duration {
///         *self.0.lock().unwrap()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// let fetcher = fetch_fn(|_| async {
///     Ok::<_, tower::BoxError>(Token::bearer("abc").with_lifetime(Duration::from_secs(3600)))
/// });
/// let hand = Hand::default();
/// let tokens = TokenCache::builder(fetcher).clock(hand.clone()).build();
/// tokens.warm_up().await?;
/// assert_eq!(tokens.status().state, TokenState::Fresh);
/// *hand.0.lock().unwrap() += Duration::from_secs(3500);
/// assert_eq!(tokens.status().state, TokenState::Stale);
/// # Ok(())
/// # }
/// ```
///
/// Under tokio's paused time take `testing::TokioClock`.
pub trait Clock: Send + Sync + 'static {
    /// The time since some moment that is the same for every call.
    fn now(&self) -> Duration;
}

/// The machine's clock: `CLOCK_BOOTTIME` on Linux, and elsewhere the monotonic clock, which on
/// Apple's systems and on Windows counts sleep too.
///
/// Neither the wall clock, which an NTP step would make a whole fleet's tokens expire with, nor a
/// clock that stands still in suspend, after which dead tokens would look fresh.
#[derive(Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs)] // written as a value
pub struct SystemClock;

#[cfg(unix)]
impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Duration {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_BOOTTIME;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_MONOTONIC;
        // Every system has one of them.
        nix::time::clock_gettime(CLOCK)
            .or_else(|_| nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC))
            .map_or(Duration::ZERO, Duration::from)
    }
}

#[cfg(not(unix))]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemClock")
    }
}
