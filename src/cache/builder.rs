//! What can be set about a cache.

use std::{fmt, sync::Arc};

use super::{
    clock::{Clock, SystemClock},
    core::{Core, JitterSource},
    policy::RefreshPolicy,
    slot::Slot,
};
use crate::{
    fetch::{BoxFetch, FetchToken, boxed},
    token::Token,
};

/// Builds a [`TokenCache`](crate::TokenCache).
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::{FetchToken, TokenCache, cache::RefreshPolicy};
///
/// fn tokens(fetcher: impl FetchToken) -> Result<TokenCache, tower_oauth::Error> {
///     let policy = RefreshPolicy::default()
///         .max_age(Duration::from_secs(15 * 60))
///         .fetch_timeout(Duration::from_secs(5))?;
///     Ok(TokenCache::builder(fetcher).name("billing").refresh(policy).build())
/// }
/// # let fetcher = tower_oauth::fetch_fn(|_| async { Ok::<_, tower::BoxError>(tower_oauth::Token::bearer("a")) });
/// # assert_eq!(tokens(fetcher).unwrap().status().name(), Some("billing"));
/// ```
#[must_use]
pub struct TokenCacheBuilder {
    fetcher: BoxFetch,
    policy: RefreshPolicy,
    clock: Arc<dyn Clock>,
    jitter: JitterSource,
    name: Option<Arc<str>>,
}

impl TokenCacheBuilder {
    pub(super) fn new(fetcher: impl FetchToken) -> Self {
        Self {
            fetcher: boxed(fetcher),
            policy: RefreshPolicy::default(),
            clock: Arc::new(SystemClock),
            jitter: Box::new(fastrand::f64),
            name: None,
        }
    }

    /// When tokens are refreshed, and until when they are used.
    pub fn refresh(mut self, policy: RefreshPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The clock that deadlines are on. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where jitter comes from: numbers from 0 to 1, drawn once per token and once per failure.
    /// Default: a fast random number generator, which is all that jitter needs.
    pub fn jitter_source(mut self, source: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.jitter = Box::new(source);
        self
    }

    /// What metrics and logs call the cache: [`CacheStatus::name`](super::CacheStatus::name), and the field
    /// `name` of what is logged about it. By default it has none. It becomes a label, so it should be one of
    /// few, and no secret.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The core, with this token for ever, or empty.
    pub(super) fn core(self, fixed: Option<Token>) -> Arc<Core> {
        let Self { fetcher, policy, clock, jitter, name } = self;
        let slot = match fixed {
            Some(token) => Slot::fixed(Arc::clone(&clock), token),
            None => Slot::new(Arc::clone(&clock)),
        };
        Core::new(fetcher, policy, clock, jitter, name, slot)
    }
}

impl fmt::Debug for TokenCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCacheBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
