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
use http::{Request, Response, header::AUTHORIZATION};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    error::{BoxError, Error, ErrorKind},
    rejection::is_rejection,
    replay::Replay,
    runtime::timer,
    source::{Lease, ResponseHead},
};

/// What takes the place of the standard rule.
pub(crate) type RejectedWhen = dyn Fn(ResponseHead<'_>) -> bool + Send + Sync;

/// How often a token is acquired for one request whose inner service takes longer to become ready
/// than the token lives.
pub(crate) const ACQUIRE_AT_MOST: usize = 3;

/// How much of a discarded response is read, and for how long after the refresh, so that its
/// HTTP/1.1 connection can be used again. Beyond that a new connection is cheaper.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// What an [`OAuthService`](crate::OAuthService) can wrap: an alias for the bounds on its inner
/// service, for requests with a body of type `B`.
///
/// It cannot be implemented; implement [`Service`].
pub trait HttpService<B>:
    Service<
        Request<B>,
        Response = Response<Self::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type ResponseBody: Body + Send + 'static;
}

impl<S, B, A> HttpService<B> for S
where
    S: Service<Request<B>, Response = Response<A>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    A: Body + Send + 'static,
{
    type ResponseBody = A;
}

pin_project! {
    /// The response to a request through an [`OAuthService`](crate::OAuthService).
    ///
    /// If the request found a token, this is the inner service's own future and a lease; otherwise
    /// it is a box.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the request. A fetch that was started for it goes on.
    // The bounds name what the hot state holds: a box around it would cost more than all the rest.
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
            // `None` for a request that is passed on as it is.
            lease: Option<L>,
            extra: Option<Box<Extra<S, R, R::Kept>>>,
        },
        Slow { future: Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>> },
    }
}

/// What is needed if the token is rejected, beyond the lease: nothing under
/// [`Never`](crate::replay::Never) and the standard rule. Behind one pointer, since this future is
/// moved a few times before it is polled.
pub(crate) struct Extra<S, R, K> {
    kept: Option<Kept<S, R, K>>,
    rejected_when: Option<Arc<RejectedWhen>>,
}

impl<S, R, K> Extra<S, R, K> {
    #[inline]
    pub(crate) fn new(
        kept: Option<Kept<S, R, K>>,
        rejected_when: Option<&Arc<RejectedWhen>>,
    ) -> Option<Box<Self>> {
        (kept.is_some() || rejected_when.is_some())
            .then(|| Box::new(Self { kept, rejected_when: rejected_when.cloned() }))
    }
}

/// A request that can be sent again, and what with.
pub(crate) struct Kept<S, R, K> {
    pub(crate) inner: S,
    pub(crate) replay: R,
    pub(crate) request: K,
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
        extra: Option<Box<Extra<S, R, R::Kept>>>,
    ) -> Self {
        Self { state: State::Hot { future, lease, extra } }
    }

    pub(crate) fn slow(
        future: impl Future<Output = Result<S::Response, BoxError>> + Send + 'static,
    ) -> Self {
        Self { state: State::Slow { future: Box::pin(future) } }
    }
}

impl<S, L, R, B> Future for ResponseFuture<S, L, R, B>
where
    S: HttpService<R::Body>,
    L: Lease,
    R: Replay<B, Body: Send> + Send + 'static,
    B: 'static,
{
    type Output = Result<S::Response, BoxError>;

    #[inline(always)] // or the response is copied once more
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProj::Slow { future } => future.as_mut().poll(cx),
            StateProj::Hot { future, lease, extra } => {
                let response = ready!(future.poll(cx)).map_err(Into::into)?;
                let rejected_when = extra.as_ref().and_then(|extra| extra.rejected_when.as_deref());
                if !is_rejected(&response, rejected_when) {
                    return Poll::Ready(Ok(response));
                }
                // Not our token, not our rejection.
                let Some(lease) = lease.take() else { return Poll::Ready(Ok(response)) };
                let kept = extra.take().and_then(|extra| extra.kept);
                state.rejected(cx, response, lease, kept)
            }
        }
    }
}

#[inline]
fn is_rejected<A: Body>(response: &Response<A>, rejected_when: Option<&RejectedWhen>) -> bool {
    match rejected_when {
        None => {
            is_rejection(response.status(), response.headers(), || response.body().is_end_stream())
        }
        Some(rejected) => rejected(ResponseHead::from(response)),
    }
}

impl<S, L, R, B> State<S, L, R, B, S::Response>
where
    S: HttpService<R::Body>,
    L: Lease,
    R: Replay<B, Body: Send> + Send + 'static,
    B: 'static,
{
    /// Has the token refreshed, and the request sent again if it was kept.
    #[cold]
    #[inline(never)]
    fn rejected(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        response: S::Response,
        lease: L,
        kept: Option<Kept<S, R, R::Kept>>,
    ) -> Poll<Result<S::Response, BoxError>> {
        let reject = lease.reject();
        let Some(kept) = kept else {
            // Polled once, the refresh goes on by itself, for the next request.
            let _ = pin!(reject).poll(cx);
            return Poll::Ready(Ok(response));
        };
        // First the first attempt goes, and with it the place that it has in a limit.
        let future = Box::pin(Self::send_again(response, reject, kept));
        self.set(Self::Slow { future });
        match self.project() {
            StateProj::Slow { future } => future.as_mut().poll(cx),
            StateProj::Hot { .. } => Poll::Pending,
        }
    }

    /// The response to a second attempt, or if there can be none, the first response as it came.
    async fn send_again(
        response: S::Response,
        reject: L::Reject,
        mut kept: Kept<S, R, R::Kept>,
    ) -> Result<S::Response, BoxError> {
        let Ok(Some(mut lease)) = reject.await else { return Ok(response) };
        let Some(mut request) = kept.replay.again(&mut kept.request) else { return Ok(response) };
        let Kept { mut inner, .. } = kept;
        // Not while the refresh runs: until there is another token, the caller may get the response.
        drain(response.into_body()).await;
        for _ in 0..ACQUIRE_AT_MOST {
            poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            if lease.is_usable() {
                let inserted =
                    request.headers_mut().try_insert(AUTHORIZATION, lease.header_value());
                inserted.map_err(|_| Error::new(ErrorKind::TooManyHeaders))?;
                return inner.call(request).await.map_err(Into::into);
            }
            // Getting ready took its time, and this token has been replaced or has run out. As
            // before, no place in the inner service is held while another one is waited for.
            give_readiness_back(&mut inner);
            let Some(another) = lease.reject().await? else { break };
            lease = another;
        }
        Err(Error::new(ErrorKind::Expired).into())
    }
}

/// A clone is not ready, and dropping the ready one gives back what it had reserved.
pub(crate) fn give_readiness_back<S: Clone>(inner: &mut S) {
    *inner = inner.clone();
}

/// Reads a response that nobody wants, as far as that is worth it.
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
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
