//! The layer that makes an `OAuthService` of a service.

use std::{fmt, sync::Arc};

use http::{HeaderName, header::PROXY_AUTHORIZATION};
use tower_layer::Layer;

use crate::{
    cache::token_cache::TokenCache,
    error::Error,
    fetch::FetchToken,
    header::TokenHeader,
    origin::Origins,
    rejection,
    replay::IfEmpty,
    service::{OAuthService, Shared},
    source::ResponseHead,
};

/// Wraps a service so that each of its requests is sent with a valid access token.
///
/// All services that one layer makes, and their clones, share its token source.
///
/// ```
/// # use tower::BoxError;
/// # use tower_oauth::{Error, OAuthLayer, Token, fetch_fn};
/// # fn main() -> Result<(), Error> {
/// # let fetcher = fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("abc")) });
/// let layer = OAuthLayer::new(fetcher).origin("https://api.example.com")?;
/// # let _: OAuthLayer = layer;
/// # Ok(())
/// # }
/// ```
///
/// # Where a token may go
///
/// Once [`origin`](Self::origin) has been called, tokens go to the origins that it named and nowhere
/// else. Call it whenever you know where your API is: a layer above this one that follows redirects
/// sends the server's choice through here again, and only a named origin keeps the token from a
/// foreign host. Below this layer redirects are the client's business; those of `tower_http` and
/// `reqwest` drop `Authorization` on the way to another origin, but not a header that they do not know.
///
/// A request whose URI has no host cannot be judged. It gets a token, since its connection decides where
/// it goes. tonic's clients make such requests, unless they are built by `with_origin`.
///
/// `wss` is the same scheme as `https`, and `ws` the same as `http`: a WebSocket begins as an HTTP
/// request. A final dot of a host (`api.example.com.`) does not make another origin.
///
/// # What passes untouched
///
/// A request that has an `Authorization` of its own, one to an origin that is not named, and a
/// `CONNECT` are sent as they are, without a token. A proxy that puts its own token into its callers'
/// requests must therefore remove their `Authorization` first, above this layer. It must also refuse
/// `TRACE`, which gets a token, and whose response may repeat it. Where [`header`](Self::header) names
/// another header, that one counts. An extended `CONNECT` (RFC 8441), which has a path, is a request like
/// any other, and gets a token.
///
/// # With other layers
///
/// A retry layer goes above this one, so that each attempt gets the token that is current then. A timeout
/// above this layer includes the wait for a token; one below does not. The deadline of a gRPC call
/// includes it too: see [`grpc_status`](crate::grpc_status).
#[derive(Clone)]
#[must_use]
pub struct OAuthLayer<T = TokenCache, R = IfEmpty> {
    replay: R,
    shared: Arc<Shared<T>>,
}

impl OAuthLayer {
    /// Tokens come from this fetcher, kept by a [`TokenCache`] with its defaults.
    pub fn new(fetcher: impl FetchToken) -> Self {
        Self::with_source(TokenCache::new(fetcher))
    }
}

impl<T> OAuthLayer<T> {
    /// Tokens come from this source, for example a [`TokenCache`] that others use too.
    pub fn with_source(source: T) -> Self {
        let shared = Shared { source, origins: Origins::default(), rejected_when: None };
        Self { replay: IfEmpty, shared: Arc::new(shared) }
    }
}

impl<T: Clone, R> OAuthLayer<T, R> {
    /// Names an origin that the token is for, for example `https://api.example.com`. It can be called
    /// more than once.
    ///
    /// Scheme, host and effective port are compared. A request to any other origin is passed on
    /// untouched, and a warning is logged once for each of those origins. A request whose URI has no
    /// host gets a token, since the connection decides where it goes. A named origin may be plain
    /// `http`.
    ///
    /// Default: every `https` origin, and plain `http` to this machine by its literal names
    /// (`localhost`, 127.0.0.0/8, `[::1]`). A request over other plain `http` is not sent and fails
    /// with [`ErrorKind::InsecureOrigin`](crate::ErrorKind::InsecureOrigin).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if this is not an origin: it has a path, a
    /// query, a user name or another scheme, or it has no host.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Result<Self, Error> {
        Arc::make_mut(&mut self.shared).origins.allow(origin.as_ref())?;
        Ok(self)
    }

    /// Sets the header that the token goes into. Default: `Authorization` (RFC 6750 §2.1). Some gateways
    /// leave that one to the API behind them and have another: Cloud Run
    /// `X-Serverless-Authorization`, Identity-Aware Proxy `Proxy-Authorization`.
    ///
    /// The value is the same, scheme and secret. Where only the secret is wanted (`X-Vault-Token`,
    /// `X-Shopify-Access-Token`), the token has no scheme: `Token::new("", secret)`, or
    /// `token_type("Bearer", "")` of a `TokenEndpoint`'s builder.
    ///
    /// All that is said of `Authorization` then holds for this one: a request that has one of its own
    /// passes untouched, and a replay has another token in it. An `Authorization` is nothing special any
    /// more: with two layers a request carries two tokens, and each replaces its own.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_oauth::{OAuthLayer, Token};
    ///
    /// # let tokens = Token::bearer("abc");
    /// let layer = OAuthLayer::with_source(tokens)
    ///     .header(HeaderName::from_static("x-serverless-authorization"));
    /// ```
    ///
    /// With `Proxy-Authorization` a `CONNECT` gets a token too, whatever origins are named: it goes to
    /// the proxy that the inner service is connected to, and the URI is that of somebody else. A 407 then
    /// counts as a rejection like a 401, unless [`rejected_when`](Self::rejected_when) says otherwise;
    /// see [`rejection::by_proxy`](crate::rejection::by_proxy).
    ///
    /// An HTTP client that follows redirects drops `Authorization` on the way to another origin, but no
    /// header of another name. Let it follow none: a layer above this one can, and then
    /// [`origin`](Self::origin) decides.
    pub fn header(mut self, name: HeaderName) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        if name == PROXY_AUTHORIZATION && shared.rejected_when.is_none() {
            shared.rejected_when =
                Some(Arc::new(|head| rejection::by_proxy(&head) || rejection::standard(&head)));
        }
        shared.origins.header = TokenHeader::new(name);
        self
    }

    /// Sets how a request is sent again when its token was rejected. Default: [`IfEmpty`].
    pub fn replay<R2>(self, replay: R2) -> OAuthLayer<T, R2> {
        OAuthLayer { replay, shared: self.shared }
    }

    /// Sets what counts as the rejection of a token. Default:
    /// [`rejection::standard`](crate::rejection::standard).
    ///
    /// The rule sees only the head of a response: if an API says "token expired" in the body of a 400,
    /// name that status here. Do not name a status that the API often uses for other reasons: each
    /// response with it may cost a token request, though never many; see
    /// [`docs::rules`](crate::docs::rules).
    ///
    /// ```
    /// # use tower_oauth::{OAuthLayer, Token};
    /// use tower_oauth::rejection;
    ///
    /// # let layer = OAuthLayer::with_source(Token::bearer("abc"));
    /// let layer = layer.rejected_when(|head| head.status == 403 || rejection::standard(&head));
    /// # let _ = layer.rejected_when(|head| {
    /// #     head.status == 400 && head.headers.get("x-error").is_some_and(|e| e == "token_expired")
    /// # });
    /// ```
    pub fn rejected_when(
        mut self,
        rejected: impl Fn(ResponseHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.shared).rejected_when = Some(Arc::new(rejected));
        self
    }
}

impl<S, T, R: Clone> Layer<S> for OAuthLayer<T, R> {
    type Service = OAuthService<S, T, R>;

    fn layer(&self, inner: S) -> Self::Service {
        OAuthService::new(inner, self.replay.clone(), Arc::clone(&self.shared))
    }
}

impl<T: fmt::Debug, R: fmt::Debug> fmt::Debug for OAuthLayer<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthLayer")
            .field("source", &self.shared.source)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
