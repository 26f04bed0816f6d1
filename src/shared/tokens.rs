//! A store, the keys for what it holds, and what is known about it.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    breaker::Breaker,
    keys::{EncryptionKey, Keys},
    store::TokenStore,
};

const STORE_TIME: Duration = Duration::from_millis(50);

/// Shares tokens among processes through a [`TokenStore`]: however many need one, only one of
/// them fetches it.
///
/// It makes layers for fetchers, one for each [name](Self::named). Above them nothing changes: each
/// process keeps a [`TokenCache`](crate::TokenCache) of its own, and asks the store only when it would
/// otherwise ask the token endpoint. If the store does not respond within 50 ms, the process fetches
/// for itself. Clones share what is known about the store.
///
/// ```
/// # use tower::BoxError;
/// use tower::ServiceBuilder;
/// use tower_oauth::{Token, TokenCache, fetch_fn};
/// use tower_oauth::shared::{EncryptionKey, MemoryStore, SharedTokens};
///
/// # fn main() -> Result<(), tower_oauth::Error> {
/// # let key_from_a_file = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// let key = EncryptionKey::from_base64("2026-11", key_from_a_file)?;
/// let shared = SharedTokens::new(MemoryStore::new(), key);
///
/// let fetcher = fetch_fn(|_request| async { Ok::<_, BoxError>(Token::bearer("secret")) });
/// let fetcher = ServiceBuilder::new().layer(shared.named("billing")).service(fetcher);
/// let tokens = TokenCache::new(fetcher);
/// # Ok(())
/// # }
/// ```
///
/// [`docs::fleet`](crate::docs::fleet) says what is stored, what each failure costs, and how much a
/// store has to do.
#[derive(Clone)]
pub struct SharedTokens<S> {
    pub(super) store: S,
    pub(super) keys: Arc<Keys>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) timeout: Duration,
}

impl<S: TokenStore> SharedTokens<S> {
    /// Shares tokens through this store, encrypted with this key.
    pub fn new(store: S, key: EncryptionKey) -> Self {
        Self::with_keys(store, vec![key])
    }

    /// The same without encryption: anyone who can read the store can use the tokens.
    pub fn plaintext_on_purpose(store: S) -> Self {
        Self::with_keys(store, Vec::new())
    }

    fn with_keys(store: S, keys: Vec<EncryptionKey>) -> Self {
        Self { store, keys: Arc::new(Keys(keys)), breaker: Arc::default(), timeout: STORE_TIME }
    }

    /// Also reads what was encrypted with this key. To change the key, first pass the new key here; then
    /// pass the new key to [`new`](Self::new) and the old one here; then use the new one alone. Complete
    /// each step in all processes before the next.
    #[must_use]
    pub fn also_reads(mut self, key: EncryptionKey) -> Self {
        let keys = self.keys.0.iter().cloned().chain([key]).collect();
        self.keys = Arc::new(Keys(keys));
        self
    }

    /// How long the store may take for one step. Default: 50 milliseconds, which is how long a
    /// request without a token waits in vain if the store is down. A store in another region needs more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<S> fmt::Debug for SharedTokens<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTokens").field("keys", &self.keys.0).finish_non_exhaustive()
    }
}
