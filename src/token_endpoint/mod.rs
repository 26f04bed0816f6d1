//! The client credentials grant (RFC 6749 §4.4) over HTTP.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{ServiceExt, util::BoxCloneService};
use tower_service::Service;

use crate::{
    cache::{Clock, SystemClock},
    error::{BoxError, Error},
    fetch::TokenRequest,
    token::Token,
};

mod answer;
mod authentication;
mod builder;
mod check;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "config")]
mod config;
mod echo;
mod encode;
mod exchange;
mod headers;
mod lenient;
mod members;
mod names;
#[cfg(feature = "config")]
mod quoted;
mod refusal;
mod retry_after;
mod scrub;
mod secret;
mod wire;

pub use answer::LifetimeUnit;
pub use authentication::ClientAuth;
pub use builder::TokenEndpointBuilder;
pub(crate) use builder::split;
pub use exchange::{EndpointRequest, Params, Placement};
pub use members::ResponseFormat;
pub use names::{Member, Parameter};
pub use secret::Secret;
pub use wire::Wire;

/// A fetcher: asks a token endpoint by the client credentials grant (RFC 6749 §4.4).
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tower::{ServiceExt, service_fn};
/// use tower_oauth::{RefreshReason, TokenEndpoint, TokenRequest};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_oauth::Error> {
/// let http = service_fn(|_request: Request<_>| async {
///     let body = r#"{"access_token": "2YotnFZFEjr1zCsicMWpAA", "expires_in": 3600}"#;
///     Ok::<_, Infallible>(Response::new(body.to_owned()))
/// });
/// let fetcher = TokenEndpoint::builder("https://idp.example.com/oauth2/token")
///     .client_id("id")
///     .client_secret("secret")
///     .scope("read write")
///     .build_with(http)?;
///
/// let token = fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await?;
/// assert_eq!(token.expose_secret(), "2YotnFZFEjr1zCsicMWpAA");
/// # Ok(())
/// # }
/// ```
///
/// Clones share the settings and clone the HTTP service. Each call takes a clone of it, makes that
/// ready, and calls it once: nothing is held while nobody needs a token, and nothing is tried again
/// (that is for `tower::retry`, or for the cache). Dropping the future drops the request.
///
/// # What it takes for an answer
///
/// Any 2xx of up to 1 MiB with a token of up to 64 KiB. A byte order mark, trailing commas, members
/// that nobody knows and a scope that nobody asked for are no trouble; neither is a lifetime that
/// is a text or a float. One that is missing or cannot be read is left to the cache's default, a
/// negative one counts as 0, and none is longer than a year. A `token_type` in any case, missing,
/// or `BearerToken` is `Bearer`.
///
/// # Errors
///
/// - [`Denied`](crate::ErrorKind::Denied): a code of RFC 6749 §5.2, of which
///   [`oauth_code`](Error::oauth_code) gives the standard spelling, or a 4xx without one.
/// - [`Unavailable`](crate::ErrorKind::Unavailable): no answer, 5xx, 408, 429, the codes
///   `server_error` and `temporarily_unavailable`, or the failure of a layer in between.
/// - [`InvalidResponse`](crate::ErrorKind::InvalidResponse): a redirect, which is not followed; an
///   answer that is HTML, empty, too long, or without a token; a token that no header can carry, or
///   of an unknown type (RFC 6749 §7.1).
/// - [`Fetcher`](crate::ErrorKind::Fetcher): the secret's file or environment variable is not there.
///
/// What a server says in words is in [`description`](Error::description), with the secret taken
/// out in whatever encoding it is echoed.
#[derive(Clone)]
pub struct TokenEndpoint {
    grant: Arc<check::Grant>,
    /// Behind a lock because an HTTP client need not be `Sync`. It is held for one clone.
    exchanges: Arc<Mutex<BoxCloneService<EndpointRequest, Response<Bytes>, BoxError>>>,
}

impl TokenEndpoint {
    /// Starts with the URL of the token endpoint (RFC 6749 §3.2).
    ///
    /// It is https, or http on this machine. A query that it has is kept.
    pub fn builder(url: impl Into<String>) -> TokenEndpointBuilder {
        TokenEndpointBuilder::new(url.into())
    }
}

impl TokenEndpointBuilder {
    /// Checks everything, and asks over this HTTP service. It need not be `Sync`, and should follow
    /// no redirects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter.
    pub fn build_with<S, B>(self, http: S) -> Result<TokenEndpoint, Error>
    where
        S: Service<
                Request<Full<Bytes>>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        self.build_over(Wire::new(http))
    }

    /// Checks everything, and asks over a service of exchanges: layers of one's own around
    /// [`Wire`]. This is where a signed assertion or a proof of possession is added.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use tower::{ServiceBuilder, service_fn};
    /// # use tower::BoxError;
    /// use tower_oauth::{TokenEndpoint, token_endpoint::{ClientAuth, EndpointRequest, Wire}};
    ///
    /// # let http = service_fn(|_: Request<_>| async { Ok::<_, BoxError>(Response::new(String::new())) });
    /// let signed = ServiceBuilder::new()
    ///     .map_request(|mut exchange: EndpointRequest| {
    ///         exchange.params.push("client_assertion", "eyJhbGciOiJSUzI1NiJ9...");
    ///         exchange
    ///     })
    ///     .service(Wire::new(http));
    /// let fetcher = TokenEndpoint::builder("https://idp.example.com/oauth2/token")
    ///     .client_id("id")
    ///     .auth(ClientAuth::None)
    ///     .build_over(signed)?;
    /// # Ok::<_, tower_oauth::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter.
    pub fn build_over<S>(self, exchanges: S) -> Result<TokenEndpoint, Error>
    where
        S: Service<
                EndpointRequest,
                Response = Response<Bytes>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
    {
        let grant = check::Grant::check(self)?;
        let exchanges = BoxCloneService::new(exchanges.map_err(Into::into));
        Ok(TokenEndpoint { grant: Arc::new(grant), exchanges: Arc::new(Mutex::new(exchanges)) })
    }

    /// Checks everything, and asks with a client of its own: TLS by rustls with the platform's
    /// roots, HTTP/1.1 and HTTP/2, 10 s to connect, no redirects, one pool of connections.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter, or
    /// `client` where the platform has no roots.
    #[cfg(feature = "client")]
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn build(self) -> Result<TokenEndpoint, Error> {
        let checked = check::Grant::check(self.clone())?;
        let http = client::client(checked.uri())?;
        self.build_with(http)
    }
}

impl Service<TokenRequest> for TokenEndpoint {
    type Response = Token;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: TokenRequest) -> Self::Future {
        let grant = Arc::clone(&self.grant);
        // Only a panic in somebody's `clone` can have poisoned it; the service is still whole.
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (exchange, carried) = grant.exchange()?;
            let secret_url = exchange.has_query();
            let failed = |error| wire::unavailable(error, secret_url);
            poll_fn(|cx| exchanges.poll_ready(cx)).await.map_err(failed)?;
            let sent = Sent::now();
            let answer = exchanges.call(exchange).await.map_err(failed)?;
            Ok(grant.reader.token(&answer, &carried.scrub(grant.id()))?.with_age(sent.ago()))
        })
    }
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("host", &self.grant.uri().host())
            .finish_non_exhaustive()
    }
}

/// When a request was sent, by the clock that counts sleep and by the one that a test can pause.
struct Sent(Duration, tokio::time::Instant);

impl Sent {
    fn now() -> Self {
        Self(SystemClock.now(), tokio::time::Instant::now())
    }

    /// The longer of the two: a token taken for older than it is does no harm.
    fn ago(&self) -> Duration {
        SystemClock.now().saturating_sub(self.0).max(self.1.elapsed())
    }
}
