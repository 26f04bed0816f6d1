//! The cache as its users hold it.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::HeaderValue;

use super::{
    acquire::Acquire,
    builder::TokenCacheBuilder,
    core::Core,
    fetch::Here,
    lease::{TokenLease, try_acquire},
    refresh::refresh,
    slot::Verdict,
    status::CacheStatus,
};
use crate::{
    error::{Error, ErrorKind},
    fetch::{FetchToken, fetch_fn},
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
        TokenCacheBuilder::new(fetcher)
    }

    /// A cache that holds this token for ever: it is sent whatever its lifetime, nothing is
    /// fetched, and rejections are ignored. Needs no runtime.
    ///
    /// So one type serves clients whose token is fetched and clients whose token is given:
    ///
    /// ```
    /// # use tower::BoxError;
    /// use tower_oauth::{Token, TokenCache, fetch_fn};
    ///
    /// fn tokens(given: Option<&str>) -> TokenCache {
    ///     match given {
    ///         Some(secret) => TokenCache::fixed(Token::bearer(secret)),
    ///         None => TokenCache::new(fetch_fn(|_| async {
    ///             // ...
    /// #           Ok::<_, BoxError>(Token::bearer("abc"))
    ///         })),
    ///     }
    /// }
    /// # assert_eq!(tokens(Some("given")).try_authorization().unwrap(), "Bearer given");
    /// ```
    pub fn fixed(token: Token) -> Self {
        let never = fetch_fn(|_| async { Err(Error::new(ErrorKind::Fetcher)) });
        Self::of(Self::builder(never).core(Some(token)))
    }

    fn of(core: Arc<Core>) -> Self {
        Self { handle: Arc::new(Handle { core }) }
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
        Ok(self.lease().await?.token())
    }

    /// Fetches a token if there is none, so that a wrong secret fails at the start and not at the
    /// first request. An endpoint that is only down need not end a program that can wait for it:
    ///
    /// ```
    /// use tower_oauth::{Error, TokenCache};
    ///
    /// async fn start(tokens: &TokenCache) -> Result<(), Error> {
    ///     match tokens.warm_up().await {
    ///         Err(error) if error.is_transient() => {
    ///             eprintln!("{error}");
    ///             Ok(())
    ///         }
    ///         done => done,
    ///     }
    /// }
    /// ```
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

    /// A lease on a token that can be used now, fetched if there is none: for a caller that sends
    /// the token itself, over a protocol of its own, and is told when it is rejected.
    ///
    /// ```
    /// # use tower::BoxError;
    /// # use tower_oauth::{Token, TokenCache, fetch_fn};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let tokens = TokenCache::new(fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("abc")) }));
    /// # let is_accepted = |_| false;
    /// let mut lease = tokens.lease().await?;
    /// if !is_accepted(lease.header_value()) {
    ///     // Otherwise no other token is available now; an error says why.
    ///     if let Ok(Some(another)) = lease.reject().await {
    ///         lease = another;
    ///     }
    /// #   return Ok(());
    /// }
    /// # let _ = lease;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`token`](Self::token).
    pub async fn lease(&self) -> Result<TokenLease, Error> {
        Acquire::new(Arc::clone(&self.handle.core)).await
    }

    /// The value for an `Authorization` header, marked sensitive, if there is a token that can be
    /// used now: for callers that cannot wait, such as interceptors, signers and WebSocket clients.
    ///
    /// Without such a token it starts a fetch, if there is a tokio runtime here, so that a later
    /// call finds one; [`status`](Self::status) has the error of a fetch that failed. Await
    /// [`token`](Self::token) first where that is possible.
    ///
    /// The cache does not learn whether the value is rejected, and goes on with it until somebody calls
    /// [`invalidate`](Self::invalidate). Where a call can be repeated, a [`lease`](Self::lease) has the
    /// value and the way back: [`grpc_status`](crate::grpc_status#without-the-layer) shows it.
    pub fn try_authorization(&self) -> Option<HeaderValue> {
        let lease = try_acquire(&self.handle.core).or_else(|| match self.poll_once() {
            Poll::Ready(lease) => lease.ok(),
            Poll::Pending => None,
        });
        Some(lease?.header_value())
    }

    /// Gets another token now, whatever the rules say: after a wrong secret has been corrected, or a key
    /// has been rotated.
    ///
    /// It takes the token of the fetch that is in progress. If there is none, or it fails, or it
    /// brings the token that was held before, it makes one fetch more, with
    /// [`RefreshReason::Requested`](crate::RefreshReason::Requested) (or `Rejected` if the token is
    /// suspended), even in the cooldown after a failure. Calls at the same time share it, and calls
    /// within a second of a success get that token.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token). The token that is held stays in use.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`token`](Self::token).
    pub async fn refresh(&self) -> Result<Token, Error> {
        refresh(Arc::clone(&self.handle.core)).await
    }

    /// Tells the cache that this token was rejected or revoked, where it learns of that by other
    /// means than a response through [`OAuthService`](crate::OAuthService).
    ///
    /// The token is replaced by the same rules as after a rejection, except that the token before it
    /// is discarded, and not used meanwhile: what is revoked is not just not accepted yet. If
    /// rejections are ignored now, the token before it is kept and used. Returns whether anything
    /// came of it: `false` if the token is not held any more, or if rejections are ignored now.
    pub fn invalidate(&self, token: &Token) -> bool {
        let core = &self.handle.core;
        let here = Here::find();
        let (verdict, refresh) = core.invalidate(token, here.id());
        refresh.map(|refresh| here.tend(core, refresh));
        core.log_rejection(verdict);
        if verdict == Verdict::Suspended && here.id().is_some() {
            // Polled once, the fetch that replaces it goes on by itself. Without a runtime it is up.
            let _ = self.poll_once();
        }
        matches!(verdict, Verdict::Suspended | Verdict::Refresh)
    }

    fn poll_once(&self) -> Poll<Result<TokenLease, Error>> {
        let acquire = pin!(Acquire::new(Arc::clone(&self.handle.core)));
        acquire.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// The cache's state now, for health checks and metrics. Fetches nothing.
    pub fn status(&self) -> CacheStatus {
        CacheStatus::of(&self.handle.core)
    }
}

impl TokenSource for TokenCache {
    type Lease = TokenLease;
    type Acquire = Acquire;

    #[inline(always)]
    fn try_acquire(&self, _request: &RequestHead<'_>) -> Option<TokenLease> {
        try_acquire(&self.handle.core)
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

impl TokenCacheBuilder {
    /// The cache. Needs no runtime, and fetches nothing yet.
    pub fn build(self) -> TokenCache {
        TokenCache::of(self.core(None))
    }
}
