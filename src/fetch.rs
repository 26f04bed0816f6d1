//! The seam to whatever gets a token: a fetcher is a `tower::Service<TokenRequest>`.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use http::Extensions;
use tower_service::Service;

use crate::{
    error::{BoxError, Error},
    token::Token,
};

/// What a cache asks its fetcher for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenRequest {
    /// Why a token is needed.
    pub reason: RefreshReason,
    /// The token to replace. A store may return any token but this one.
    pub previous: Option<Token>,
    /// For the layers between the cache and the fetcher; the cache leaves them empty.
    pub extensions: Extensions,
}

/// Why a token is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshReason {
    /// There is none yet.
    Cold,
    /// The last one can no longer be used.
    Expired,
    /// The resource server rejected the last one.
    Rejected,
    /// Somebody asked for another one, by [`TokenCache::refresh`](crate::TokenCache::refresh): a
    /// store must not hand out a token that is older than this request.
    Requested,
    /// The last one can still be used, and is due for refresh; nobody waits.
    Stale,
}

impl RefreshReason {
    /// The same in one word, in lower case: a label for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Requested => "requested",
            Self::Stale => "stale",
        }
    }
}

impl TokenRequest {
    /// A request without a token to replace, as a test of a fetcher needs it.
    pub fn new(reason: RefreshReason) -> Self {
        Self { reason, previous: None, extensions: Extensions::new() }
    }
}

/// A fetcher: any `tower::Service<TokenRequest, Response = Token>`.
///
/// This is an alias and cannot be implemented; implement [`Service`], or use [`fetch_fn`]. Layers such
/// as tower's `timeout`, `retry`, `buffer`, `concurrency_limit` and `load_shed` go on a fetcher as on
/// any service. Each fetch uses a clone of its own, which is made ready right before it is called, so
/// that nothing is reserved while no token is needed.
///
/// ```
/// use std::time::Duration;
/// use tower::{BoxError, ServiceBuilder};
/// use tower_oauth::{FetchToken, Token, TokenCache, fetch_fn};
///
/// fn fetcher() -> impl FetchToken {
///     fetch_fn(|_request| async { Ok::<_, BoxError>(Token::bearer("secret")) })
/// }
///
/// let within_five_seconds =
///     ServiceBuilder::new().timeout(Duration::from_secs(5)).service(fetcher());
/// let tokens = TokenCache::new(within_five_seconds);
/// # let _ = tokens;
/// ```
///
/// The error of such a layer is of the kind [`ErrorKind::Fetcher`](crate::ErrorKind::Fetcher). For a limit
/// on the whole fetch, whose error is [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), the cache has
/// [`fetch_timeout`](crate::cache::RefreshPolicy::fetch_timeout).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a token fetcher",
    label = "not a `tower::Service<TokenRequest, Response = Token>`",
    note = "a fetcher is `Clone + Send + 'static`, its future is `Send + 'static`, and its error \
            converts into `tower::BoxError`; `tower_oauth::fetch_fn` makes one from an async closure"
)]
pub trait FetchToken: Clone + Send + 'static
where
    Self: Service<TokenRequest, Response = Token, Error: Into<BoxError>, Future: Send + 'static>,
{
}

#[diagnostic::do_not_recommend]
impl<F> FetchToken for F
where
    F: Service<TokenRequest, Response = Token, Error: Into<BoxError>, Future: Send + 'static>,
    F: Clone + Send + 'static,
{
}

pub(crate) type Fetching = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

/// A fetcher whose type is forgotten.
pub(crate) type BoxFetch = Box<dyn Fn(TokenRequest) -> Fetching + Send>;

pub(crate) fn boxed(fetcher: impl FetchToken) -> BoxFetch {
    Box::new(move |request| Box::pin(fetch_once(fetcher.clone(), request)))
}

/// Makes a fetcher ready and calls it. Its error is ours, or in one of ours.
pub(crate) async fn fetch_once<F>(mut fetcher: F, request: TokenRequest) -> Result<Token, Error>
where
    F: Service<TokenRequest, Response = Token, Error: Into<BoxError>>,
{
    let fetched = async {
        poll_fn(|cx| fetcher.poll_ready(cx)).await?;
        fetcher.call(request).await
    };
    fetched.await.map_err(|error: F::Error| Error::from_fetcher(error.into()))
}

/// Makes a fetcher from an async closure.
///
/// ```
/// use std::time::Duration;
/// use tower::BoxError;
/// use tower_oauth::{OAuthLayer, Token, fetch_fn};
///
/// # fn main() -> Result<(), tower_oauth::Error> {
/// let fetcher = fetch_fn(|_request| async {
///     // Ask a metadata server, read a file, call another crate.
///     Ok::<_, BoxError>(Token::bearer("secret").with_lifetime(Duration::from_secs(600)))
/// });
/// let layer = OAuthLayer::new(fetcher).origin("https://api.example.com")?;
/// # let _: OAuthLayer = layer;
/// # Ok(())
/// # }
/// ```
pub fn fetch_fn<F, Fut, E>(fetch: F) -> FetchFn<F>
where
    F: FnMut(TokenRequest) -> Fut,
    Fut: Future<Output = Result<Token, E>>,
{
    FetchFn(fetch)
}

/// A fetcher made by [`fetch_fn`].
#[derive(Clone, Copy)]
pub struct FetchFn<F>(F);

impl<F, Fut, E> Service<TokenRequest> for FetchFn<F>
where
    F: FnMut(TokenRequest) -> Fut,
    Fut: Future<Output = Result<Token, E>>,
{
    type Response = Token;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TokenRequest) -> Fut {
        (self.0)(request)
    }
}

impl<F> fmt::Debug for FetchFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchFn").finish_non_exhaustive()
    }
}
