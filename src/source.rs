//! The seam to whatever holds tokens: `OAuthService` asks a [`TokenSource`].

use std::{
    fmt,
    future::{Future, Ready, ready},
};

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use http_body::Body;

use crate::{error::Error, token::Token};

/// A request without its body, borrowed: what a [`TokenSource`] may choose a token by.
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

/// A response without its body, borrowed: what
/// [`OAuthLayer::rejected_when`](crate::OAuthLayer::rejected_when) judges.
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
    /// Whether the body is known to have ended: it is empty, and no trailers will follow.
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

/// Where `OAuthService` gets the token for a request from.
///
/// [`TokenCache`](crate::TokenCache) is the usual one, and a [`Token`] is one that never changes.
/// An own one chooses by the request, for example among the caches of several tenants.
pub trait TokenSource {
    /// One request's use of one token.
    type Lease: Lease;
    /// A token that has to be waited for. It does nothing until it is polled.
    type Acquire: Future<Output = Result<Self::Lease, Error>> + Send + 'static;

    /// A token that can be used right now. Never waits, and needs no runtime.
    fn try_acquire(&self, request: &RequestHead<'_>) -> Option<Self::Lease>;

    /// A token, as soon as there is one. Needs no runtime until what it returns is polled, and
    /// fails with why there is none.
    fn acquire(&self, request: &RequestHead<'_>) -> Self::Acquire;
}

/// One request's use of one token: what the request is sent with, and the way back to the source
/// if it is not accepted.
pub trait Lease: Sized + Send + 'static {
    /// The outcome of a rejection; see [`reject`](Self::reject). It does nothing until it is
    /// polled.
    type Reject: Future<Output = Result<Option<Self>, Error>> + Send + 'static;

    /// The value of the request's `Authorization` header, marked sensitive.
    fn header_value(&self) -> HeaderValue;

    /// Whether the token may still be sent: it has neither run out nor been replaced.
    fn is_usable(&self) -> bool;

    /// The resource server did not accept the token. Gives the lease on another token, which can
    /// take a refresh, or `None` if there is no other one to be had now. An error, why the refresh
    /// failed, means the same to whoever sent the request: its answer stands.
    ///
    /// Also called for a token that is no longer [usable](Self::is_usable) when its request could
    /// be sent again.
    fn reject(self) -> Self::Reject;
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
    type Reject = Ready<Result<Option<Self>, Error>>;

    fn header_value(&self) -> HeaderValue {
        // As a source it hands out no token whose value is an error.
        Self::header_value(self).unwrap_or(HeaderValue::from_static(""))
    }

    fn is_usable(&self) -> bool {
        true
    }

    fn reject(self) -> Self::Reject {
        ready(Ok(None))
    }
}
