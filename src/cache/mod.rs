//! Keeping one token: fetched when it is needed, refreshed before it expires, never twice at once.
//!
//! ```text
//! came                       refresh_at                usable_until   expires_at
//!   |--------- fresh -----------|--------- stale ----------|-- margin --|
//!         use it                   use it, one refreshes          wait        never sent
//! ```

mod acquire;
mod clock;
mod core;
mod fetching;
mod flight;
mod lanes;
mod lease;
mod policy;
mod slot;
mod state;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    acquire::Acquire,
    clock::{Clock, SystemClock},
    lease::{Reject, TokenLease},
    policy::RefreshPolicy,
};
use self::{clock::CacheClock, core::Core, slot::Look};
use crate::{
    error::Error,
    fetch::{BoxFetch, FetchToken},
    source::{RequestHead, TokenSource},
    token::Token,
};

/// A cache of one token, in front of a fetcher.
///
/// However many callers need a token, there is at most one fetch at a time. It is detached from
/// all of them: a caller that gives up does not stop it, and everybody who waits gets its token or
/// its error. It runs as a task of the tokio runtime of the caller that found it necessary, ends
/// with the last handle of the cache (or lease, or waiting future), and a cache that nobody asks
/// fetches nothing.
///
/// A fetcher that asks its own cache, directly or through other caches, gets an error at once. It
/// is not noticed through a task that the fetcher spawns itself: that fetch ends at its timeout.
///
/// After a failure callers without a usable token get the error at once until the next attempt is
/// due; see [`Error::retry_after`]. A token that can be used outlives any failure.
///
/// Clones are handles of the same cache.
///
/// ```
/// # use tower::BoxError;
/// # use tower_oauth::{Token, TokenCache, fetch_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let tokens = TokenCache::new(fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("abc")) }));
/// tokens.warm_up().await?;
/// assert_eq!(tokens.token().await?.expose_secret(), "abc");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenCache {
    handle: Arc<Handle>,
}

/// Counts the handles apart from the leases, whose records are part of the cache. It is padded: what
/// all handles read is not where their count changes.
#[repr(align(128))]
struct Handle {
    core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl TokenCache {
    /// A cache in front of this fetcher, with everything else at its default.
    pub fn new(fetcher: impl FetchToken) -> Self {
        Self::builder(fetcher).build()
    }

    /// A cache in front of this fetcher.
    pub fn builder(fetcher: impl FetchToken) -> TokenCacheBuilder {
        TokenCacheBuilder {
            fetcher: fetcher.boxed(),
            policy: RefreshPolicy::default(),
            clock: CacheClock::System,
            chance: Box::new(fastrand::f64),
        }
    }

    /// A token that can be used now, fetched if there is none.
    ///
    /// # Errors
    ///
    /// The error of the fetch, shared with everybody who waited for it, or of the last one, while
    /// the next attempt is not due; [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime) if a
    /// fetch is needed and there is no tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the fetch goes on for whoever asks next.
    pub async fn token(&self) -> Result<Token, Error> {
        let lease = Acquire::new(Arc::clone(&self.handle.core)).await?;
        Ok(lease.token().clone())
    }

    /// Fetches a token if there is none, so that a wrong secret fails at the start and not at the
    /// first request.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`token`](Self::token).
    pub async fn warm_up(&self) -> Result<(), Error> {
        self.token().await.map(drop)
    }

    /// What the cache is in now, for health checks and metrics. Fetches nothing.
    pub fn status(&self) -> CacheStatus {
        let core = &*self.handle.core;
        let now = core.clock.now();
        let state = core.state();
        let phase = match state.slot.look(now) {
            Look::Fresh(_) => TokenState::Fresh,
            Look::Stale(_) => TokenState::Stale,
            Look::Nothing if state.slot.is_held_back() => TokenState::Rejected,
            Look::Nothing if state.slot.held().is_some() => TokenState::Expired,
            Look::Nothing => TokenState::Empty,
        };
        let deadlines = state.slot.held().map(|held| held.deadlines);
        let left = |until: Duration| until.saturating_sub(now);
        CacheStatus {
            phase,
            refresh_in: deadlines.map(|at| left(at.refresh_at)),
            usable_for: deadlines.map(|at| left(at.usable_until)),
            expires_in: deadlines.map(|at| left(at.expires_at)),
            fetching: state.is_fetching(),
            last_error: state.slot.last_error(now).cloned(),
        }
    }
}

impl TokenSource for TokenCache {
    type Lease = TokenLease;
    type Acquire = Acquire;

    #[inline(always)]
    fn try_acquire(&self, _request: &RequestHead<'_>) -> Option<TokenLease> {
        self.handle.core.peek()
    }

    fn acquire(&self, _request: &RequestHead<'_>) -> Acquire {
        Acquire::new(Arc::clone(&self.handle.core))
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// What a [`TokenCache`] is in at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheStatus {
    /// What the held token is good for.
    pub phase: TokenState,
    /// The time until the token is refreshed by the next request; zero if it is due.
    pub refresh_in: Option<Duration>,
    /// The time for which the token is still sent with requests.
    pub usable_for: Option<Duration>,
    /// The time until the token expires.
    pub expires_in: Option<Duration>,
    /// Whether a fetch is in progress.
    pub fetching: bool,
    /// Why the last fetch failed, until the next attempt is due.
    pub last_error: Option<Error>,
}

/// What the token that a cache holds is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenState {
    /// There is none yet.
    Empty,
    /// It is not sent any more.
    Expired,
    /// It is used.
    Fresh,
    /// The resource server rejected it; it waits for the fetch that is to replace it.
    Rejected,
    /// It is used, and the next request has it refreshed.
    Stale,
}

/// Builds a [`TokenCache`].
#[must_use]
pub struct TokenCacheBuilder {
    fetcher: BoxFetch,
    policy: RefreshPolicy,
    clock: CacheClock,
    chance: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl TokenCacheBuilder {
    /// When tokens are refreshed, and until when they are used.
    pub fn refresh(mut self, policy: RefreshPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The clock that deadlines are on. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = CacheClock::Own(Arc::new(clock));
        self
    }

    /// The source of chance, numbers from 0 to 1, for jitter: drawn once per token and once per
    /// failure. Default: a fast random number generator, which is all that jitter needs.
    pub fn random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.chance = Box::new(random);
        self
    }

    /// The cache. Needs no runtime, and fetches nothing yet.
    pub fn build(self) -> TokenCache {
        let core = Core::new(self.fetcher, self.policy, self.clock, self.chance);
        TokenCache { handle: Arc::new(Handle { core }) }
    }
}

impl fmt::Debug for TokenCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCacheBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
