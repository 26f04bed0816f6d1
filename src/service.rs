//! The middleware: every request leaves with a valid token.

use std::{
    fmt,
    future::{poll_fn, ready},
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use crate::{
    cache::token_cache::TokenCache,
    deadline::{Deadline, within},
    error::{BoxError, Error, ErrorKind},
    future::{Extra, ResponseFuture},
    http_service::HttpService,
    origin::{Admission, Origins, origin_of},
    rejection::RejectedWhen,
    replay::{IfEmpty, Replay},
    resend::{Resend, TOKENS_AT_MOST, give_readiness_back},
    source::{Lease, RequestHead, TokenSource},
};

/// Sends every request with a valid access token. Made by [`OAuthLayer`](crate::OAuthLayer).
///
/// If there is a usable token, the header is added and the inner service is called at once. Otherwise the
/// service gives back the inner service's readiness, waits for a token, and only then gets ready again, so
/// that a fetcher that shares a limited client with it cannot deadlock.
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Layer, Service, ServiceExt};
/// use tower_oauth::{OAuthLayer, OAuthService, Token, TokenCache, fetch_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let client = tower::service_fn(|request: Request<String>| async move {
/// #     assert_eq!(request.headers()["authorization"], "Bearer secret");
/// #     Ok::<_, BoxError>(Response::new(String::new()))
/// # });
/// let tokens = TokenCache::new(fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("secret")) }));
/// let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
/// let mut api: OAuthService<_> = layer.layer(client);
///
/// let request = Request::get("https://api.example.com/things").body(String::new())?;
/// let response = api.ready().await?.call(request).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
///
/// # The inner service
///
/// [`HttpService`] lists what it must be; above all it must be `Clone`. The [`Replay`] policy decides
/// which request bodies are accepted. The default, [`IfEmpty`], needs a default body to send again,
/// and says so for one that has none:
///
/// ```text
/// error[E0277]: `IfEmpty` cannot replay requests whose body is `Incoming`
///   = note: `IfEmpty`, the default, needs a body that is `http_body::Body + Default`, and `ByClone` one that is `Clone`;
///           `OAuthLayer::replay` takes another policy: `Buffered::new(limit)` for any `http_body::Body`, or `Never` for any type
/// ```
///
/// Where a method such as `oneshot` is called, rustc may only say that "its trait bounds were not
/// satisfied", among them `Incoming: Default`. The way out is the same:
/// [`OAuthLayer::replay`](crate::OAuthLayer::replay).
///
/// # Errors
///
/// The response future fails with the inner service's own error or with an [`Error`]. Both come as
/// `tower::BoxError`, and [`Error::find`] finds ours. `poll_ready` only ever fails with the
/// inner service's error, since a `tower::buffer` above would not recover from one.
///
/// A response that rejects the token is returned as it came if there is no other token. But it occupies
/// a place in a limit or in an HTTP/2 window, so it is dropped if the wait for another token takes
/// longer than a second and the request can be sent again. If none comes then, the error is of the kind
/// [`ErrorKind::Rejected`] and has the response's status.
pub struct OAuthService<S, T = TokenCache, R = IfEmpty> {
    inner: S,
    replay: R,
    shared: Arc<Shared<T>>,
}

/// What all services of a layer and their clones share. It is padded: the count in front of it
/// changes with every clone, and must not take what all of them read out of a processor's cache.
#[derive(Clone)]
#[repr(align(128))]
pub(crate) struct Shared<T> {
    pub(crate) source: T,
    pub(crate) origins: Origins,
    pub(crate) rejected_when: Option<Arc<RejectedWhen>>,
}

impl<S, T, R> OAuthService<S, T, R> {
    pub(crate) fn new(inner: S, replay: R, shared: Arc<Shared<T>>) -> Self {
        Self { inner, replay, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without this one around it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The future of an `OAuthService<S, T, R>`.
type Sent<S, T, R, B> = ResponseFuture<
    <S as Service<Request<<R as Replay<B>>::Body>>>::Future,
    <S as Service<Request<<R as Replay<B>>::Body>>>::Response,
    <T as TokenSource>::Lease,
    Resend<S, R, <R as Replay<B>>::Kept, B>,
>;

impl<S, T, R, B> Service<Request<B>> for OAuthService<S, T, R>
where
    S: HttpService<R::Body>,
    T: TokenSource + Send + Sync + 'static,
    R: Replay<B, Body: Send> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Sent<S, T, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let lease = match self.shared.origins.admit(&request) {
            Admission::Pass => None,
            Admission::Refuse => {
                let error = Error::new(ErrorKind::InsecureOrigin);
                return self.fail(error.with_description(origin_of(request.uri())));
            }
            Admission::Serve => {
                match self.shared.source.try_acquire(&RequestHead::from(&request)) {
                    None => return self.wait(request),
                    lease => lease,
                }
            }
        };
        self.send(request, lease)
    }
}

impl<S, T, R> OAuthService<S, T, R> {
    /// Sends a request with the token of its lease, or as it came.
    #[inline(always)] // or the request is copied once more
    fn send<B>(&mut self, request: Request<B>, mut lease: Option<T::Lease>) -> Sent<S, T, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B> + Clone,
    {
        // Kept without the token: a replay gets another one.
        let (mut request, kept) = self.replay.keep(request);
        if let Some(token) = &lease {
            // One look into the map both puts the token in and tells whether it is the only one. To
            // ask first would cost 70 to 160 instructions.
            let header = &self.shared.origins.header;
            match header.append(request.headers_mut(), token.header_value()) {
                Ok(false) => {}
                // It has one of its own, and passes untouched.
                Ok(true) => {
                    header.remove_last(request.headers_mut());
                    lease = None;
                }
                Err(_) => return self.fail(Error::new(ErrorKind::TooManyHeaders)),
            }
        }
        let rejected_when = &self.shared.rejected_when;
        let extra = match lease {
            Some(_) if kept.is_some() || rejected_when.is_some() => {
                let (inner, replay) = (&self.inner, &self.replay);
                let resend = kept.map(|kept| Resend {
                    inner: inner.clone(),
                    header: self.shared.origins.header.clone(),
                    replay: replay.clone(),
                    kept,
                    deadline: Deadline::of_call(&request),
                    body: PhantomData,
                });
                Some(Box::new(Extra { resend, rejected_when: rejected_when.clone() }))
            }
            _ => None,
        };
        ResponseFuture::hot(self.inner.call(request), lease, extra)
    }

    /// There is no token yet.
    #[cold]
    fn wait<B>(&mut self, mut request: Request<B>) -> Sent<S, T, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource + Send + Sync + 'static,
        R: Replay<B, Body: Send> + Clone + Send + 'static,
        B: Send + 'static,
    {
        if self.shared.origins.header.is_in(request.headers()) {
            return self.send(request, None);
        }
        // A place that is held while waiting for something else may be the place that the fetch
        // needs.
        give_readiness_back(&mut self.inner);
        let mut this = self.clone();
        let deadline = Deadline::of(request.headers());
        ResponseFuture::slow(async move {
            for _ in 0..TOKENS_AT_MOST {
                let acquire = this.shared.source.acquire(&RequestHead::from(&request));
                let lease = within(deadline, acquire).await??;
                let ready = poll_fn(|cx| this.inner.poll_ready(cx));
                within(deadline, ready).await?.map_err(Into::into)?;
                // Getting ready took its time: there may be another token by now.
                let lease = Some(lease)
                    .filter(Lease::is_usable)
                    .or_else(|| this.shared.source.try_acquire(&RequestHead::from(&request)));
                if lease.is_some() {
                    deadline.map(|deadline| deadline.write(request.headers_mut())).transpose()?;
                    return this.send(request, lease).await;
                }
                give_readiness_back(&mut this.inner);
            }
            Err(Error::new(ErrorKind::Expired).into())
        })
    }

    /// The request is not sent.
    #[cold]
    fn fail<B>(&mut self, error: Error) -> Sent<S, T, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        give_readiness_back(&mut self.inner);
        ResponseFuture::slow(ready(Err(error.into())))
    }
}

impl<S: Clone, T, R: Clone> Clone for OAuthService<S, T, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.replay.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, T: fmt::Debug, R: fmt::Debug> fmt::Debug for OAuthService<S, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthService")
            .field("inner", &self.inner)
            .field("source", &self.shared.source)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
