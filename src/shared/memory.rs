//! A store in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::store::{Look, Looked, TokenStore};
use crate::error::BoxError;

/// A [`TokenStore`] in memory: for tests, and for several caches in one process.
///
/// Clones share what is kept. The clock is tokio's, so a test can pause it.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_oauth::{
///     Token, TokenCache, fetch_fn,
///     shared::{EncryptionKey, MemoryStore, SharedTokens},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// # let random = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// // As a file has it that `openssl rand -base64 32` wrote, with or without the line break.
/// let key = EncryptionKey::from_base64("2026-11", random)?;
/// let shared = SharedTokens::new(MemoryStore::new(), key);
/// let replica = |secret: &'static str| {
///     let fetcher = fetch_fn(move |_| async move { Ok::<_, tower::BoxError>(Token::bearer(secret)) });
///     TokenCache::new(ServiceBuilder::new().layer(shared.named("billing")).service(fetcher))
/// };
/// assert_eq!(replica("one").token().await?.expose_secret(), "one");
/// assert_eq!(replica("two").token().await?.expose_secret(), "one", "that of the first");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<Names>>,
}

#[derive(Default)]
struct Names {
    last_number: u64,
    entries: HashMap<String, Entry>,
}

#[derive(Default)]
struct Entry {
    token: Option<Kept<(u64, Vec<u8>)>>,
    failure: Option<Kept<Vec<u8>>>,
    claim: Option<Kept<u64>>,
}

struct Kept<T> {
    what: T,
    until: Instant,
}

impl<T> Kept<T> {
    fn new(what: T, time: Duration) -> Option<Self> {
        let until = Instant::now().checked_add(time)?;
        Some(Self { what, until })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on what is kept under a name, without what has expired.
    fn with<R>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Entry, &mut u64) -> R,
    ) -> Result<R, BoxError> {
        let Names { last_number, entries } = &mut *self.lock();
        let entry = entries.entry(name.to_owned()).or_default();
        entry.token.take_if(|kept| kept.left().is_zero());
        entry.failure.take_if(|kept| kept.left().is_zero());
        entry.claim.take_if(|kept| kept.left().is_zero());
        let done = work(entry, last_number);
        if entry.token.is_none() && entry.failure.is_none() && entry.claim.is_none() {
            entries.remove(name);
        }
        Ok(done)
    }
}

impl TokenStore for MemoryStore {
    async fn look_or_claim(&self, name: &str, look: Look) -> Result<Looked, BoxError> {
        self.with(name, |entry, last_number| {
            if let Some(kept) = entry.token.as_ref().filter(|kept| kept.what.0 > look.newer_than) {
                let (number, value) = kept.what.clone();
                return Looked::Token { number, value, left: kept.left() };
            }
            match entry.failure.take_if(|_| look.despite_failure) {
                Some(_) => entry.claim = None,
                None => {
                    if let Some(kept) = &entry.failure {
                        return Looked::Failed { value: kept.what.clone(), left: kept.left() };
                    }
                }
            }
            if let Some(claim) = &entry.claim {
                return Looked::Taken(claim.what);
            }
            *last_number += 1;
            entry.claim = Kept::new(*last_number, look.claim);
            Looked::Claimed(*last_number)
        })
    }

    async fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> Result<(), BoxError> {
        self.with(name, |entry, _| {
            if entry.token.as_ref().is_none_or(|kept| kept.what.0 <= number) {
                entry.token = Kept::new((number, value.to_vec()), keep);
                entry.failure = None;
            }
            entry.claim.take_if(|claim| claim.what == number);
        })
    }

    async fn extend(&self, name: &str, number: u64, claim: Duration) -> Result<bool, BoxError> {
        self.with(name, |entry, _| {
            let is_ours = entry.claim.as_ref().is_some_and(|claim| claim.what == number);
            if is_ours {
                entry.claim = Kept::new(number, claim);
            }
            is_ours
        })
    }

    async fn fail(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
        claim: Duration,
    ) -> Result<(), BoxError> {
        self.with(name, |entry, _| {
            if entry.claim.as_ref().is_some_and(|claim| claim.what == number) {
                entry.failure = Kept::new(value.to_vec(), keep);
                entry.claim = Kept::new(number, claim);
            }
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("names", &self.lock().entries.len())
            .finish_non_exhaustive()
    }
}
