//! The seam to whatever holds tokens: [`OAuthService`](crate::OAuthService) asks a [`TokenSource`].

use std::{
    fmt,
    future::{Future, Ready, ready},
};

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use http_body::Body;

use crate::{error::Error, token::Token};

/// The head of a request, borrowed: what a [`TokenSource`] can choose a token by.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's URI.
    pub uri: &'a Uri,
    /// The request's HTTP version.
    pub version: Version,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's extensions.
    pub extensions: &'a Extensions,
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

// By hand: a URI can carry secrets in its query, and headers and extensions can be secrets.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("authority", &self.uri.authority().map(|authority| authority.host()))
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The head of a response, borrowed: what a rule for
/// [`OAuthLayer::rejected_when`](crate::OAuthLayer::rejected_when) sees.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The response's status.
    pub status: StatusCode,
    /// The response's HTTP version.
    pub version: Version,
    /// The response's headers.
    pub headers: &'a HeaderMap,
    /// The response's extensions.
    pub extensions: &'a Extensions,
    /// Whether the response has neither a body nor trailers, as far as its body can tell
    /// ([`Body::is_end_stream`]).
    pub is_end_stream: bool,
}

impl<'a, B: Body> From<&'a Response<B>> for ResponseHead<'a> {
    fn from(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
            is_end_stream: response.body().is_end_stream(),
        }
    }
}

// By hand: headers and extensions can be secrets.
impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("is_end_stream", &self.is_end_stream)
            .finish_non_exhaustive()
    }
}

/// Where [`OAuthService`](crate::OAuthService) gets the token for a request.
///
/// The usual one is a [`TokenCache`](crate::TokenCache). A [`Token`] is one that never changes. A
/// source of your own can choose by the request, here among the caches of tenants, whose name a layer
/// above has put into the request's extensions:
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
/// use tower_oauth::{
///     Error, ErrorKind, OAuthLayer, TokenCache,
///     cache::{Acquire, TokenLease},
///     source::{RequestHead, TokenSource},
/// };
///
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// #[derive(Clone)]
/// struct Tenants(Arc<HashMap<String, TokenCache>>);
///
/// impl Tenants {
///     fn of(&self, request: &RequestHead<'_>) -> Option<&TokenCache> {
///         self.0.get(&request.extensions.get::<Tenant>()?.0)
///     }
/// }
///
/// impl TokenSource for Tenants {
///     type Lease = TokenLease;
///     type Acquire = Acquire;
///
///     fn try_acquire(&self, request: &RequestHead<'_>) -> Option<TokenLease> {
///         self.of(request)?.try_acquire(request)
///     }
///
///     fn acquire(&self, request: &RequestHead<'_>) -> Acquire {
///         match self.of(request) {
///             Some(tokens) => tokens.acquire(request),
///             None => {
///                 let error = Error::new(ErrorKind::Config);
///                 error.with_description("the request names no tenant that is known").into()
///             }
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let one = TokenCache::fixed(tower_oauth::Token::bearer("one"));
/// let tenants = Tenants(Arc::new(HashMap::from([("one".to_owned(), one)])));
/// let layer = OAuthLayer::with_source(tenants);
/// # let client = tower::service_fn(async |request: http::Request<String>| {
/// #     assert_eq!(request.headers()["authorization"], "Bearer one");
/// #     Ok::<_, tower::BoxError>(http::Response::new(String::new()))
/// # });
/// # use tower::{Layer, ServiceExt};
/// # let request = |name: &str| {
/// #     let uri = http::Request::get("https://api.example.com/");
/// #     uri.extension(Tenant(name.to_owned())).body(String::new()).unwrap()
/// # };
/// # assert!(layer.layer(client).oneshot(request("one")).await.is_ok());
/// # assert!(layer.layer(client).oneshot(request("two")).await.is_err());
/// # }
/// ```
///
/// The origins that [`OAuthLayer::origin`](crate::OAuthLayer::origin) names are those of all tenants. If they
/// differ, `of` has to look at `request.uri` too.
pub trait TokenSource {
    /// One request's use of one token.
    type Lease: Lease;
    /// What waits for a token. It does nothing until it is polled.
    type Acquire: Future<Output = Result<Self::Lease, Error>> + Send + 'static;

    /// Gives a token that can be used right now. It never waits, and needs no runtime.
    fn try_acquire(&self, request: &RequestHead<'_>) -> Option<Self::Lease>;

    /// Gives a token as soon as there is one, or the reason why there is none. It needs no runtime
    /// until its future is polled.
    fn acquire(&self, request: &RequestHead<'_>) -> Self::Acquire;
}

/// One request's use of one token: what the request is sent with, and the way back to the source if
/// the token is rejected.
///
/// This one belongs to a source that reads its token from a file for each request, so that a rejected
/// token may have been replaced by now:
///
/// ```
/// use std::future::{Ready, ready};
/// use http::HeaderValue;
/// use tower_oauth::{Error, Token, source::Lease};
/// # fn read_file() -> Result<Token, Error> { Ok(Token::bearer("new")) }
///
/// struct FileLease(HeaderValue);
///
/// impl FileLease {
///     fn read() -> Result<Self, Error> {
///         read_file()?.header_value().map(Self)
///     }
/// }
///
/// impl Lease for FileLease {
///     type Replacement = Ready<Result<Option<Self>, Error>>;
///
///     fn header_value(&self) -> HeaderValue {
///         self.0.clone()
///     }
///
///     fn is_usable(&self) -> bool {
///         true
///     }
///
///     fn reject(self) -> Self::Replacement {
///         ready(Self::read().map(|now| (now.0 != self.0).then_some(now)))
///     }
///
///     fn reacquire(self) -> Self::Replacement {
///         ready(Self::read().map(Some))
///     }
/// }
/// # let old = FileLease(HeaderValue::from_static("Bearer old"));
/// # let another = old.reject().into_inner().unwrap().unwrap();
/// # assert_eq!(another.header_value(), "Bearer new");
/// # assert!(another.reject().into_inner().unwrap().is_none());
/// ```
pub trait Lease: Sized + Send + 'static {
    /// What waits for another lease. It does nothing until it is polled.
    type Replacement: Future<Output = Result<Option<Self>, Error>> + Send + 'static;

    /// The value of the request's `Authorization` header, or of the one that
    /// [`OAuthLayer::header`](crate::OAuthLayer::header) names, marked sensitive.
    fn header_value(&self) -> HeaderValue;

    /// Whether the token may still be sent: it has neither expired nor been replaced.
    fn is_usable(&self) -> bool;

    /// The resource server rejected the token. Gives the lease on another one, which may take a
    /// refresh, or `None` if there is no other one now. After an error, which says why the refresh
    /// failed, the request is not sent again either.
    ///
    /// Each response is judged, that of a replay too, so the lease that this gives may be rejected in
    /// turn. If nobody waits for another token, what this gives is polled once and then dropped.
    fn reject(self) -> Self::Replacement;

    /// A replay could not be sent with this token before it was no longer [usable](Self::is_usable).
    /// Gives the lease on the token of the moment, which can be the same again.
    fn reacquire(self) -> Self::Replacement;

    /// A request is about to be sent again with this token, for a source that counts that. It does
    /// nothing by default.
    fn replayed(&self) {}
}

/// A token that never changes: it is sent with every request, whatever its lifetime.
impl TokenSource for Token {
    type Lease = Self;
    type Acquire = Ready<Result<Self, Error>>;

    fn try_acquire(&self, _request: &RequestHead<'_>) -> Option<Self> {
        self.header_value().is_ok().then(|| self.clone())
    }

    fn acquire(&self, _request: &RequestHead<'_>) -> Self::Acquire {
        ready(self.header_value().map(|_| self.clone()))
    }
}

impl Lease for Token {
    type Replacement = Ready<Result<Option<Self>, Error>>;

    fn header_value(&self) -> HeaderValue {
        // As a source it hands out no token whose value is an error.
        Self::header_value(self).unwrap_or(HeaderValue::from_static(""))
    }

    fn is_usable(&self) -> bool {
        true
    }

    fn reject(self) -> Self::Replacement {
        ready(Ok(None))
    }

    fn reacquire(self) -> Self::Replacement {
        ready(Ok(Some(self)))
    }
}
