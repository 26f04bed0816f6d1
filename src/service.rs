//! The middleware: every request leaves with a valid token.

use std::{
    fmt,
    future::{poll_fn, ready},
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, Request,
    header::{AUTHORIZATION, Entry},
};
use tower_service::Service;

use crate::{
    cache::TokenCache,
    error::{BoxError, Error, ErrorKind},
    future::{ACQUIRE_AT_MOST, Extra, HttpService, Kept, RejectedWhen, ResponseFuture},
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
            Admission::Pass => return self.pass(request),
            Admission::Refuse => return self.fail(ErrorKind::InsecureOrigin),
        }
        match self.shared.source.try_acquire(&RequestHead::from(&request)) {
            Some(lease) => self.send(request, lease),
            None => self.send_later(request),
        }
    }
}

impl<S, T, R> OAuthService<S, T, R> {
    /// The hot path: there is a token, and the inner service is ready.
    #[inline(always)] // or the request is copied once more
    fn send<B>(&mut self, request: Request<B>, lease: T::Lease) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B> + Clone,
    {
        // Before the token is in: a replay gets another one.
        let (mut request, kept) = self.replay.keep(request);
        // One look into the map both puts the token in and tells whether it is the only one: to ask
        // first would cost 70 to 160 instructions.
        match request.headers_mut().try_append(AUTHORIZATION, lease.header_value()) {
            Ok(false) => {}
            Ok(true) => return self.pass_with_its_own(request),
            Err(_) => return self.fail(ErrorKind::TooManyHeaders),
        }
        let extra = self.extra(kept);
        ResponseFuture::hot(self.inner.call(request), Some(lease), extra)
    }

    #[inline]
    fn extra<K>(&self, kept: Option<K>) -> Option<Box<Extra<S, R, K>>>
    where
        S: Clone,
        R: Clone,
    {
        let rejected_when = &self.shared.rejected_when;
        if kept.is_none() && rejected_when.is_none() {
            return None;
        }
        let (inner, replay) = (&self.inner, &self.replay);
        let kept =
            kept.map(|request| Kept { request, inner: inner.clone(), replay: replay.clone() });
        Some(Box::new(Extra { kept, rejected_when: rejected_when.clone() }))
    }

    /// The slow path: there is no token yet.
    #[cold]
    fn send_later<B>(&mut self, request: Request<B>) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource + Send + Sync + 'static,
        R: Replay<B, Body: Send> + Clone + Send + 'static,
        B: Send + 'static,
    {
        if request.headers().contains_key(AUTHORIZATION) {
            return self.pass(request);
        }
        // A place that is held while waiting for something else may be the place that the fetch
        // needs.
        self.give_readiness_back();
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
                this.give_readiness_back();
            }
            Err(Error::new(ErrorKind::Expired).into())
        })
    }

    /// For a request that is none of ours.
    #[cold]
    fn pass<B>(&mut self, request: Request<B>) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        let (request, _) = self.replay.keep(request);
        ResponseFuture::hot(self.inner.call(request), None, None)
    }

    /// For a request that brought its own `Authorization`, and now has ours as well.
    #[cold]
    fn pass_with_its_own<B>(
        &mut self,
        mut request: Request<R::Body>,
    ) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        remove_last(request.headers_mut());
        ResponseFuture::hot(self.inner.call(request), None, None)
    }

    #[cold]
    fn fail<B>(&mut self, kind: ErrorKind) -> ResponseFuture<S, T::Lease, R, B>
    where
        S: HttpService<R::Body>,
        T: TokenSource,
        R: Replay<B>,
    {
        self.give_readiness_back();
        ResponseFuture::slow(ready(Err(Error::new(kind).into())))
    }

    /// A clone is not ready, and dropping the ready one gives back what it had reserved.
    fn give_readiness_back(&mut self)
    where
        S: Clone,
    {
        self.inner = self.inner.clone();
    }
}

/// Takes the last value of `Authorization` out, and leaves everything else as and where it was.
fn remove_last(headers: &mut HeaderMap) {
    let mut values: Vec<_> = headers.get_all(AUTHORIZATION).iter().cloned().collect();
    values.pop();
    let mut values = values.into_iter();
    if let (Entry::Occupied(mut entry), Some(first)) = (headers.entry(AUTHORIZATION), values.next())
    {
        entry.insert(first);
        values.for_each(|value| entry.append(value));
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
