//! The response future: hot, or slow in a box.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    error::{BoxError, Error, ErrorKind},
    rejection::is_rejection,
    replay::Replay,
    runtime::timer,
    source::Lease,
};

/// What takes the place of the standard answer to "was this token rejected?".
pub(crate) type RejectedWhen = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

/// How often a token is acquired for one request whose inner service takes longer to become ready
/// than the token lives.
pub(crate) const ACQUIRE_AT_MOST: usize = 3;

/// How much of a discarded answer is read, and for how long after the renewal, so that its HTTP/1.1
/// connection can be used again. Beyond that a new connection is cheaper.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(100);

pin_project! {
    /// The answer to a request through an [`OAuthService`](crate::OAuthService).
    ///
    /// Without a wait for a token it is the inner service's own future and a lease; otherwise a
    /// box.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the request. A fetch that was started for it goes on.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, L, R, B>
    where
        S: Service<Request<R::Body>>,
        R: Replay<B>,
    {
        #[pin]
        state: State<S, L, R, B, S::Response>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, L, R, B, A>
    where
        S: Service<Request<R::Body>>,
        R: Replay<B>,
    {
        Hot {
            #[pin]
            future: S::Future,
            // `None` for a request that is not ours.
            watch: Option<Watch<L>>,
            kept: Option<Box<(R::Kept, S)>>,
        },
        Slow { future: Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>> },
    }
}

/// What is needed to notice a rejection and to answer it.
pub(crate) struct Watch<L> {
    pub(crate) lease: L,
    pub(crate) rejected_when: Option<Arc<RejectedWhen>>,
}

impl<S, L, R, B> ResponseFuture<S, L, R, B>
where
    S: Service<Request<R::Body>>,
    R: Replay<B>,
{
    pub(crate) fn hot(
        future: S::Future,
        watch: Option<Watch<L>>,
        kept: Option<Box<(R::Kept, S)>>,
    ) -> Self {
        Self { state: State::Hot { future, watch, kept } }
    }

    pub(crate) fn slow(
        future: impl Future<Output = Result<S::Response, BoxError>> + Send + 'static,
    ) -> Self {
        Self { state: State::Slow { future: Box::pin(future) } }
    }
}

impl<S, L, R, B, A> Future for ResponseFuture<S, L, R, B>
where
    S: Service<Request<R::Body>, Response = Response<A>, Error: Into<BoxError>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    L: Lease,
    R: Replay<B> + 'static,
    R::Body: Send,
    B: 'static,
    A: Body + Send + 'static,
{
    type Output = Result<Response<A>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let (result, rejected, kept) = match state.as_mut().project() {
            StateProj::Slow { future } => return future.as_mut().poll(cx),
            StateProj::Hot { future, watch, kept } => {
                let result = ready!(future.poll(cx));
                match watch.take_if(|watch| watch.sees_rejection(&result)) {
                    None => return Poll::Ready(result.map_err(Into::into)),
                    Some(watch) => (result, watch.lease, kept.take()),
                }
            }
        };
        let response = result.map_err(Into::into)?;
        let renew = rejected.reject();
        let Some(kept) = kept else {
            // Polled once, the renewal goes on by itself, for the next request.
            let _ = pin!(renew).poll(cx);
            return Poll::Ready(Ok(response));
        };
        let mut future = Box::pin(send_again::<S, L, R, B, A>(response, renew, kept));
        let polled = future.as_mut().poll(cx);
        state.set(State::Slow { future });
        polled
    }
}

impl<L> Watch<L> {
    #[inline]
    fn sees_rejection<A: Body, E>(&self, result: &Result<Response<A>, E>) -> bool {
        let Ok(response) = result else { return false };
        let (status, headers) = (response.status(), response.headers());
        match &self.rejected_when {
            None => is_rejection(status, headers, || response.body().is_end_stream()),
            Some(rejected) => rejected(status, headers),
        }
    }
}

/// The answer to a second attempt, or if there can be none, the first answer as it came.
async fn send_again<S, L, R, B, A>(
    response: Response<A>,
    renew: L::Renew,
    kept: Box<(R::Kept, S)>,
) -> Result<Response<A>, BoxError>
where
    S: Service<Request<R::Body>, Response = Response<A>, Error: Into<BoxError>> + Clone,
    L: Lease,
    R: Replay<B>,
    A: Body,
{
    let (kept, mut inner) = *kept;
    let Ok(Some(mut lease)) = renew.await else { return Ok(response) };
    let Some(mut request) = R::again(kept) else { return Ok(response) };
    // Not while the renewal runs: until there is another token, the answer may be the caller's.
    drain(response.into_body()).await;
    for _ in 0..ACQUIRE_AT_MOST {
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        if lease.is_usable() {
            authorize(&mut request, &lease)?;
            return inner.call(request).await.map_err(Into::into);
        }
        // Getting ready took its time, and this token has been replaced or has run out. As before,
        // no place in the inner service is held while another one is waited for.
        inner = inner.clone();
        let Some(another) = lease.reject().await? else { break };
        lease = another;
    }
    Err(Error::new(ErrorKind::Expired).into())
}

/// Puts the token in.
#[inline(always)]
pub(crate) fn authorize<B>(request: &mut Request<B>, lease: &impl Lease) -> Result<(), Error> {
    match request.headers_mut().try_insert(AUTHORIZATION, lease.authorization()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(ErrorKind::Request)),
    }
}

/// Reads an answer that nobody wants, as far as that is worth it.
async fn drain(body: impl Body) {
    // Without timers nothing bounds the time.
    let Some(deadline) = timer(DRAIN_TIME) else { return };
    let (mut body, mut deadline) = (pin!(body), pin!(deadline));
    let mut left = DRAIN_BYTES;
    poll_fn(|cx| {
        while let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
            // Something even for a frame without data: there may be no end of them.
            let read = frame.data_ref().map_or(0, Buf::remaining).max(1);
            match left.checked_sub(read) {
                Some(rest) => left = rest,
                None => return Poll::Ready(()),
            }
        }
        deadline.as_mut().poll(cx)
    })
    .await;
}

impl<S, L, R, B> fmt::Debug for ResponseFuture<S, L, R, B>
where
    S: Service<Request<R::Body>>,
    R: Replay<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Hot { .. } => "Hot",
            State::Slow { .. } => "Slow",
        };
        f.debug_tuple("ResponseFuture").field(&format_args!("{state}")).finish()
    }
}
