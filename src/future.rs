//! The response future: hot, or slow in a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

pub use crate::http_service::HttpService;
use crate::{
    error::BoxError,
    rejection::{RejectedWhen, is_rejected},
    replay::Replay,
    resend::{Resend, tell},
    source::Lease,
};

pin_project! {
    /// The response to a request through an [`OAuthService`](crate::OAuthService).
    ///
    /// If the request found a token, this is the inner service's own future and a lease; otherwise
    /// it is a box.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the request. A fetch that was started for it goes on.
    // Its bounds name what the hot state holds by value: to hide that would take a box per request.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, L, R, B>
    where
        S: Service<Request<R::Body>>,
        R: Replay<B>,
    {
        #[pin]
        state: State<S, L, R, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, L, R, B>
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
        Slow { future: Slow<S::Response> },
    }
}

type Slow<A> = Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>>;

/// What is needed if the token is rejected, beyond the lease. There is none under
/// [`Never`](crate::replay::Never) and the standard rule. It is behind one pointer, since this future
/// is moved a few times before it is polled.
pub(crate) struct Extra<S, R, K> {
    pub(crate) resend: Option<Resend<S, R, K>>,
    pub(crate) rejected_when: Option<Arc<RejectedWhen>>,
}

impl<S, L, R, B> ResponseFuture<S, L, R, B>
where
    S: Service<Request<R::Body>>,
    R: Replay<B>,
{
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
                let extra = extra.take();
                state.rejected(cx, response, lease, extra)
            }
        }
    }
}

impl<S, L, R, B> State<S, L, R, B>
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
        extra: Option<Box<Extra<S, R, R::Kept>>>,
    ) -> Poll<Result<S::Response, BoxError>> {
        let Some(Extra { resend: Some(resend), rejected_when }) = extra.map(|extra| *extra) else {
            tell(lease, cx);
            return Poll::Ready(Ok(response));
        };
        // First the first attempt goes, and with it the place that it has in a limit.
        let again = resend.send(response, lease, rejected_when);
        self.set(Self::Slow { future: Box::pin(again) });
        match self.project() {
            StateProj::Slow { future } => future.as_mut().poll(cx),
            StateProj::Hot { .. } => Poll::Pending,
        }
    }
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
