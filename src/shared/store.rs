//! The interface to whatever keeps tokens for many processes.

use std::{fmt, future::Future, time::Duration};

use crate::error::BoxError;

/// Keeps tokens for many processes, and lets one of them fetch at a time.
///
/// Each method is one atomic step of the store, and all times are the store's own: no process's
/// clock is involved. Values are opaque, and encrypted unless they come from
/// [`SharedTokens::plaintext_on_purpose`](super::SharedTokens::plaintext_on_purpose). A
/// method may take as long as it likes: [`SharedTokens`](super::SharedTokens) gives up after its
/// [`timeout`](super::SharedTokens::timeout) and fetches without the store.
///
/// [`MemoryStore`](super::MemoryStore) is a store in memory, and `RedisStore` one in Redis or Valkey.
/// A store of your own keeps four things under each name: a token and its number, the failure of the
/// last fetch, and the claim on the next one. This one wraps another store, and prints what it finds:
///
/// ```
/// use std::{future::Future, time::Duration};
/// use tower::BoxError;
/// use tower_oauth::shared::{Look, Looked, MemoryStore, TokenStore};
///
/// #[derive(Clone)]
/// struct Reported(MemoryStore);
///
/// impl TokenStore for Reported {
///     async fn look_or_claim(&self, name: &str, look: Look) -> Result<Looked, BoxError> {
///         let looked = self.0.look_or_claim(name, look).await?;
///         println!("{name}: {looked:?}");
///         Ok(looked)
///     }
///
///     async fn put(&self, name: &str, number: u64, value: &[u8], keep: Duration) -> Result<(), BoxError> {
///         self.0.put(name, number, value, keep).await
///     }
///
///     async fn extend(&self, name: &str, number: u64, claim: Duration) -> Result<bool, BoxError> {
///         self.0.extend(name, number, claim).await
///     }
///
///     async fn fail(
///         &self,
///         name: &str,
///         number: u64,
///         value: &[u8],
///         keep: Duration,
///         claim: Duration,
///     ) -> Result<(), BoxError> {
///         self.0.fail(name, number, value, keep, claim).await
///     }
/// }
/// ```
pub trait TokenStore: Clone + Send + Sync + 'static {
    /// Returns the first of these that exists: a token, if its number is larger than
    /// [`Look::newer_than`]; the failure of the last fetch, unless [`Look::despite_failure`] is set,
    /// which forgets the failure and its claim; somebody else's claim. If there is none of these, the
    /// caller gets the claim for the time [`Look::claim`], under a number larger than any that the
    /// store remembers.
    fn look_or_claim(
        &self,
        name: &str,
        look: Look,
    ) -> impl Future<Output = Result<Looked, BoxError>> + Send;

    /// Unless there is a token with a larger number, keeps this one for the time `keep` and forgets the
    /// failure. In any case, ends the claim with this number.
    fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Makes the claim with this number last for the time `claim` from now. Returns `false` if it has
    /// ended.
    fn extend(
        &self,
        name: &str,
        number: u64,
        claim: Duration,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Keeps the failure of a fetch for the time `keep`, and makes its claim last for the time
    /// `claim` from now. Does nothing if the claim with this number has ended.
    fn fail(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
        claim: Duration,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// What [`TokenStore::look_or_claim`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // written as a value, by tests of a store
pub struct Look {
    /// Tokens up to this number are not wanted; 0 if any token is.
    pub newer_than: u64,
    /// Whether to claim even though the last fetch failed.
    pub despite_failure: bool,
    /// How long to claim for.
    pub claim: Duration,
}

/// What [`TokenStore::look_or_claim`] found.
#[derive(Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // what a store has to tell is all there is
pub enum Looked {
    /// A token that is wanted.
    Token {
        /// The number under which it was put.
        number: u64,
        /// What was put.
        value: Vec<u8>,
        /// How much longer it is kept.
        left: Duration,
    },
    /// The last fetch failed.
    Failed {
        /// What was kept of its error.
        value: Vec<u8>,
        /// How much longer that is kept.
        left: Duration,
    },
    /// Somebody else has claimed the next fetch, under this number.
    Taken(u64),
    /// The next fetch is the caller's, under this number.
    Claimed(u64),
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { number, left, .. } => {
                write!(f, "Token {{ number: {number}, left: {left:?}, .. }}")
            }
            Self::Failed { left, .. } => write!(f, "Failed {{ left: {left:?}, .. }}"),
            Self::Taken(number) => write!(f, "Taken({number})"),
            Self::Claimed(number) => write!(f, "Claimed({number})"),
        }
    }
}
