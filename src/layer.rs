//! The layer that wraps a service in an `OAuthService`.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use crate::{
    cache::TokenCache,
    error::Error,
    fetch::FetchToken,
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
/// With [`origin`](Self::origin) the token goes there and nowhere else. Name it wherever you know
/// it: a layer that follows redirects above this one sends what the server names through here
/// again, and only then is a foreign host left without the token. Below this layer redirects are
/// the client's business; those of `tower_http` and `reqwest` drop the header on the way to
/// another origin.
///
/// # Several layers of one service
///
/// A retry layer goes above this one, so that each attempt gets the token of its moment. A timeout
/// above covers the wait for a token, one below does not.
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
        Self { replay: IfEmpty, shared: Arc::new(Shared::new(source)) }
    }
}

impl<T: Clone, R> OAuthLayer<T, R> {
    /// The token is for this origin, for example `https://api.example.com`. May be called more than
    /// once.
    ///
    /// A request to any other origin is passed on untouched, and a warning is logged, once for each
    /// of them. Scheme, host and effective port are compared. A request whose URI names no host is
    /// taken to go to the first origin. An origin that is named may be plain `http`.
    ///
    /// Default: every `https` origin, and plain `http` to this machine by its literal names
    /// (`localhost`, 127.0.0.0/8, `[::1]`); other plain `http` is
    /// [`ErrorKind::InsecureOrigin`](crate::ErrorKind::InsecureOrigin), and nothing is sent. Where
    /// a URI names no host, as with a `tonic` channel, the connection decides.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is no origin: it has a path, a query,
    /// a user name, another scheme, or no host.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Result<Self, Error> {
        Arc::make_mut(&mut self.shared).origins.allow(origin.as_ref())?;
        Ok(self)
    }

    /// How a request is sent again when its token was rejected. Default: [`IfEmpty`].
    pub fn replay<R2>(self, replay: R2) -> OAuthLayer<T, R2> {
        OAuthLayer { replay, shared: self.shared }
    }

    /// What counts as the rejection of a token, in place of the default: a 401, unless a Bearer
    /// challenge in its `WWW-Authenticate` names an error other than `invalid_token`
    /// (RFC 6750 §3.1), and gRPC's UNAUTHENTICATED in an answer without a body.
    ///
    /// Only what is in the status and in the headers can be seen: an API that says "token expired"
    /// in the body of a 400 needs its status named here. Never name one that the API also answers
    /// for other reasons often, since each may cost a token request, though never many; see
    /// [`TokenCache`].
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
