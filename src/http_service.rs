//! The bounds on what an `OAuthService` wraps, under one name.

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// What an [`OAuthService`](crate::OAuthService) can wrap: an alias for the bounds on its inner
/// service, for requests whose body is `B`.
///
/// That is any `Service<http::Request<B>, Response = http::Response<A>>` that is
/// `Clone + Send + 'static`, with a future that is `Send`, an error that converts into
/// `tower::BoxError`, and response bodies that are `http_body::Body + Send + 'static`. It cannot be
/// implemented; implement [`Service`]. It says in one word what an SDK takes as its client:
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower::Layer;
/// use tower_oauth::{OAuthLayer, OAuthService, future::HttpService};
///
/// fn authorized<C: HttpService<Full<Bytes>>>(client: C, layer: &OAuthLayer) -> OAuthService<C> {
///     layer.layer(client)
/// }
/// ```
pub trait HttpService<B>: Clone + Send + 'static
where
    Self: Service<Request<B>, Response = Response<Self::ResponseBody>>,
    Self: Service<Request<B>, Error: Into<BoxError>, Future: Send>,
{
    /// The body of its responses.
    type ResponseBody: Body + Send + 'static;
}

impl<S, B, A> HttpService<B> for S
where
    S: Service<Request<B>, Response = Response<A>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    A: Body + Send + 'static,
{
    type ResponseBody = A;
}
