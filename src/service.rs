//! The middleware: every request leaves with a valid token.

use std::{
    fmt,
    future::{poll_fn, ready},
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, header::AUTHORIZATION};
use tower_service::Service;

use crate::{
    cache::TokenCache,
    error::{BoxError, Error, ErrorKind},
    future::{
        ACQUIRE_AT_MOST, Extra, HttpService, Kept, RejectedWhen, ResponseFuture,
        give_readiness_back,
    },
    origin::{Admission, Origins},
    replay::{IfEmpty, Replay},
    source::{Lease, RequestHead, TokenSource},
};

/// Sends every request with a valid access token. Made by [`OAuthLayer`](crate::OAuthLayer).
///
/// With a token at hand a request takes no detour: the header is put in and the inner service is
/// called. Otherwise the service gives the inner service's readiness back, waits for a token, and
/// only then gets ready again: a fetcher that shares a limited client with it cannot deadlock.
///
/// `poll_ready` is the inner service's; it never fails with an error of this crate, which
/// `tower::buffer` would not recover from. Those come from the response future.
///
/// # Errors
///
/// The inner service's own error, or an [`Error`], which [`Error::find`] gets out of the
/// [`BoxError`].
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

impl<T> Shared<T> {
    pub(crate) fn new(source: T) -> Self {
        Self { source, origins: Origins::default(), rejected_when: None }
    }
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

impl<S, T, R, B> Service<Request<B>> for OAuthService<S, T, R>
where
    S: HttpService<R::Body>,
    T: TokenSource + Send + Sync + 'static,
    R: Replay<B, Body: Send> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, T::Lease, R, B>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.shared.origins.admit(&request) {
            Admission::Serve => {}
            Admission::Pass => return self.pass(self.replay.keep(request).0),
            Admission::Refuse => return self.fail(ErrorKind::InsecureOrigin),
        }
        match self.shared.source.try_acquire(&RequestHead::from(&request)) {
            Some(lease) => self.send(request, lease),
            None => self.wait(request),
        }
    }
}

impl<S, T, R> OAuthService<S, T, R> {
    /// There is a token, and the inner service is ready.
    #[inline(always)] // or the request is copied once more
    fn send<B>(&mut self, request: Request<B>, lease: T::Lease) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B> + Clone,
    {
        // Kept without the token: a replay gets another one.
        let (mut request, kept) = self.replay.keep(request);
        // One look into the map both puts the token in and tells whether it is the only one. To ask
        // first would cost 70 to 160 instructions.
        match request.headers_mut().try_append(AUTHORIZATION, lease.header_value()) {
            Ok(false) => {}
            Ok(true) => {
                remove_last(request.headers_mut());
                return self.pass(request);
            }
            Err(_) => return self.fail(ErrorKind::TooManyHeaders),
        }
        let kept = kept.map(|request| Kept {
            inner: self.inner.clone(),
            replay: self.replay.clone(),
            request,
        });
        let extra = Extra::new(kept, self.shared.rejected_when.as_ref());
        ResponseFuture::hot(self.inner.call(request), Some(lease), extra)
    }

    /// There is no token yet.
    #[cold]
    fn wait<B>(&mut self, request: Request<B>) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource + Send + Sync + 'static,
        R: Replay<B, Body: Send> + Clone + Send + 'static,
        B: Send + 'static,
    {
        if request.headers().contains_key(AUTHORIZATION) {
            return self.pass(self.replay.keep(request).0);
        }
        // A place that is held while waiting for something else may be the place that the fetch
        // needs.
        give_readiness_back(&mut self.inner);
        let mut this = self.clone();
        ResponseFuture::slow(async move {
            for _ in 0..ACQUIRE_AT_MOST {
                let acquire = this.shared.source.acquire(&RequestHead::from(&request));
                let lease = acquire.await?;
                poll_fn(|cx| this.inner.poll_ready(cx)).await.map_err(Into::into)?;
                // Getting ready took its time: there may be another token by now.
                let lease = Some(lease)
                    .filter(Lease::is_usable)
                    .or_else(|| this.shared.source.try_acquire(&RequestHead::from(&request)));
                if let Some(lease) = lease {
                    return this.send(request, lease).await;
                }
                give_readiness_back(&mut this.inner);
            }
            Err(Error::new(ErrorKind::Expired).into())
        })
    }

    /// The request is sent as it came.
    #[cold]
    fn pass<B>(&mut self, request: Request<R::Body>) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        ResponseFuture::hot(self.inner.call(request), None, None)
    }

    /// The request is not sent.
    #[cold]
    fn fail<B>(&mut self, kind: ErrorKind) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        give_readiness_back(&mut self.inner);
        ResponseFuture::slow(ready(Err(Error::new(kind).into())))
    }
}

/// Takes the last value of `Authorization` out, and leaves everything else as and where it was.
#[cold]
fn remove_last(headers: &mut HeaderMap) {
    let values: Vec<_> = headers.get_all(AUTHORIZATION).iter().cloned().collect();
    let [first, others @ .., _] = &values[..] else { return };
    headers.insert(AUTHORIZATION, first.clone());
    for value in others {
        headers.append(AUTHORIZATION, value.clone());
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
