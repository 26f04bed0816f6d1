//! The seam to whatever keeps tokens for many processes.

use std::{fmt, future::Future, time::Duration};

use crate::error::BoxError;

/// Keeps tokens for many processes, and lets one of them at a time fetch.
///
/// Each method is one atomic step of the store, and all times are the store's own: no clock of a
/// process takes part. Values are opaque, and encrypted unless
/// [`SharedTokens::plaintext_on_purpose`](super::SharedTokens::plaintext_on_purpose) made them. A
/// method may take as long as it likes: [`SharedTokens`](super::SharedTokens) gives up after its
/// [`timeout`](super::SharedTokens::timeout) and fetches without the store.
///
/// [`MemoryStore`](super::MemoryStore) is one in memory, and `RedisStore` one in Redis or Valkey.
/// One of your own keeps four things under each name: a token and its number, the failure of the last
/// fetch, and who has claimed the next one. This one reports what another store is asked:
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
    /// Gives the first of these that there is: a token whose number is larger than
    /// [`Look::newer_than`], and no other; the failure of the last fetch, which
    /// [`Look::despite_failure`] forgets, together with its claim; the claim of somebody else. If there
    /// is none of them, the claim is the caller's for the time [`Look::claim`], under a number that is
    /// larger than all that the store remembers.
    fn look_or_claim(
        &self,
        name: &str,
        look: Look,
    ) -> impl Future<Output = Result<Looked, BoxError>> + Send;

    /// Keeps a token for the time `keep`, unless one with a larger number is there, and forgets the
    /// failure. Ends the claim with this number.
    fn put(
        &self,
        name: &str,
        number: u64,
        value: &[u8],
        keep: Duration,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Lets the claim with this number last for the time `claim` from now. False if it has ended.
    fn extend(
        &self,
        name: &str,
        number: u64,
        claim: Duration,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Keeps the failure of a fetch for the time `keep`, and lets its claim last for the time
    /// `claim` from now. Nothing happens if the claim with this number has ended.
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
    /// Tokens up to this number are not wanted; 0 if any is.
    pub newer_than: u64,
    /// Whether to claim though the last fetch failed.
    pub despite_failure: bool,
    /// For how long to claim.
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
        /// For how long it is kept from now on.
        left: Duration,
    },
    /// The last fetch failed.
    Failed {
        /// What was kept of its error.
        value: Vec<u8>,
        /// For how long that is kept from now on.
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
