//! The response future: hot, or slow in a box.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

pub use crate::http_service::HttpService;
use crate::{
    error::BoxError,
    rejection::{RejectedWhen, is_rejected},
    resend::{SendAgain, tell},
    source::Lease,
};

pin_project! {
    /// The response to a request through an [`OAuthService`](crate::OAuthService).
    ///
    /// If the request found a token, this is the inner service's own future `F` and a lease `L`; otherwise
    /// it is a box. `A` is the inner service's response, and `X` what it takes to send the request again.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the request. A fetch that was started for it goes on.
    // Its parameters are what the hot state holds by value: to hide that would take a box per request. They
    // are not `S::Future` and the like. A service with a bound on `BoxError`, such as a buffer, has that
    // only for `'static`, and rustc forgets lifetimes when it asks whether a task is `Send`.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, A, L, X> {
        #[pin]
        state: State<F, A, L, X>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, A, L, X> {
        Hot {
            #[pin]
            future: F,
            // `None` for a request that is passed on as it is.
            lease: Option<L>,
            extra: Option<Box<Extra<X>>>,
        },
        Slow { future: Slow<A> },
    }
}

type Slow<A> = Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>>;

/// What is needed if the token is rejected, beyond the lease. There is none under
/// [`Never`](crate::replay::Never) and the standard rule. It is behind one pointer, since this future
/// is moved a few times before it is polled.
pub(crate) struct Extra<X> {
    pub(crate) resend: Option<X>,
    pub(crate) rejected_when: Option<Arc<RejectedWhen>>,
}

impl<F, A, L, X> ResponseFuture<F, A, L, X> {
    pub(crate) fn hot(future: F, lease: Option<L>, extra: Option<Box<Extra<X>>>) -> Self {
        Self { state: State::Hot { future, lease, extra } }
    }

    pub(crate) fn slow(future: impl Future<Output = Result<A, BoxError>> + Send + 'static) -> Self {
        Self { state: State::Slow { future: Box::pin(future) } }
    }
}

impl<F, A, E, L, X> Future for ResponseFuture<F, Response<A>, L, X>
where
    F: Future<Output = Result<Response<A>, E>>,
    E: Into<BoxError>,
    A: Body,
    L: Lease,
    X: SendAgain<Response<A>, L>,
{
    type Output = Result<Response<A>, BoxError>;

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

impl<F, A, L: Lease, X: SendAgain<A, L>> State<F, A, L, X> {
    /// Has the token refreshed, and the request sent again if it was kept.
    #[cold]
    #[inline(never)]
    fn rejected(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        response: A,
        lease: L,
        extra: Option<Box<Extra<X>>>,
    ) -> Poll<Result<A, BoxError>> {
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

impl<F, A, L, X> fmt::Debug for ResponseFuture<F, A, L, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
