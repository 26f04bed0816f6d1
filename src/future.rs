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

/// How much of a discarded answer is read, and for how long after the refresh, so that its HTTP/1.1
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
            lease: Option<L>,
            extra: Option<Box<Extra<R::Kept, S>>>,
        },
        Slow { future: Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>> },
    }
}

/// What only some requests need. It is behind one pointer, because futures are moved: a caller that
/// needs none of it pays for the lease and the pointer.
pub(crate) struct Extra<K, S> {
    /// To send the request again.
    pub(crate) kept: Option<(K, S)>,
    pub(crate) rejected_when: Option<Arc<RejectedWhen>>,
}

impl<S, L, R, B> ResponseFuture<S, L, R, B>
where
    S: Service<Request<R::Body>>,
    R: Replay<B>,
{
    #[inline(always)]
    pub(crate) fn hot(
        future: S::Future,
        lease: Option<L>,
        extra: Option<Box<Extra<R::Kept, S>>>,
    ) -> Self {
        Self { state: State::Hot { future, lease, extra } }
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

    #[inline(always)] // or the answer is copied once more
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProj::Slow { future } => future.as_mut().poll(cx),
            StateProj::Hot { future, lease, extra } => {
                let response = ready!(future.poll(cx)).map_err(Into::into)?;
                if !is_rejected(&response, extra) {
                    return Poll::Ready(Ok(response));
                }
                let (lease, extra) = (lease.take(), extra.take());
                answer_rejection(state, cx, response, lease, extra)
            }
        }
    }
}

#[inline]
fn is_rejected<A: Body, K, S>(response: &Response<A>, extra: &Option<Box<Extra<K, S>>>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    match extra.as_ref().and_then(|extra| extra.rejected_when.as_ref()) {
        None => is_rejection(status, headers, || response.body().is_end_stream()),
        Some(rejected) => rejected(status, headers),
    }
}

/// Has the token refreshed, and the request sent again if it was kept.
#[cold]
#[inline(never)]
fn answer_rejection<S, L, R, B, A>(
    mut state: Pin<&mut State<S, L, R, B, Response<A>>>,
    cx: &mut Context<'_>,
    response: Response<A>,
    lease: Option<L>,
    extra: Option<Box<Extra<R::Kept, S>>>,
) -> Poll<Result<Response<A>, BoxError>>
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
    // Not our request, not our answer.
    let Some(lease) = lease else { return Poll::Ready(Ok(response)) };
    let reject = lease.reject();
    let Some((kept, inner)) = extra.and_then(|extra| extra.kept) else {
        // Polled once, the refresh goes on by itself, for the next request.
        let _ = pin!(reject).poll(cx);
        return Poll::Ready(Ok(response));
    };
    let future = Box::pin(send_again::<S, L, R, B, A>(response, reject, kept, inner));
    // First the first attempt goes, and with it the place that it has in a limit.
    state.set(State::Slow { future });
    match state.project() {
        StateProj::Slow { future } => future.as_mut().poll(cx),
        StateProj::Hot { .. } => Poll::Pending,
    }
}

/// The answer to a second attempt, or if there can be none, the first answer as it came.
async fn send_again<S, L, R, B, A>(
    response: Response<A>,
    reject: L::Reject,
    kept: R::Kept,
    mut inner: S,
) -> Result<Response<A>, BoxError>
where
    S: Service<Request<R::Body>, Response = Response<A>, Error: Into<BoxError>> + Clone,
    L: Lease,
    R: Replay<B>,
    A: Body,
{
    let Ok(Some(mut lease)) = reject.await else { return Ok(response) };
    let Some(mut request) = R::again(kept) else { return Ok(response) };
    // Not while the refresh runs: until there is another token, the answer may be the caller's.
    drain(response.into_body()).await;
    for _ in 0..ACQUIRE_AT_MOST {
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        if lease.is_usable() {
            let inserted = request.headers_mut().try_insert(AUTHORIZATION, lease.header_value());
            inserted.map_err(|_| Error::new(ErrorKind::TooManyHeaders))?;
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
