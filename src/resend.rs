//! Sending a rejected request again, with another token.

use std::{
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::Response;
use http_body::Body;

use crate::{
    deadline::{Deadline, within},
    error::{BoxError, Error, ErrorKind},
    header::TokenHeader,
    http_service::HttpService,
    rejection::{RejectedWhen, is_rejected},
    replay::Replay,
    runtime::{in_time, timer},
    source::Lease,
};

/// How many tokens are taken for one request whose inner service needs longer to become ready than a
/// token lives.
pub(crate) const TOKENS_AT_MOST: usize = 3;

/// How often one request is sent: with a token, with the one before it, which may still be good, and
/// with the one after both.
const SENDS_AT_MOST: usize = 3;

/// For how long a rejected response stays unread while another token is fetched. It may hold what the
/// fetch needs: its part of an HTTP/2 window, or its place in a limit.
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// How much of a discarded response is read, and for how long after the refresh, so that its
/// HTTP/1.1 connection can be used again. Beyond that a new connection is cheaper.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// What a [`ResponseFuture`](crate::future::ResponseFuture) needs of a [`Resend`].
#[allow(unnameable_types)] // it is one of that future's bounds
pub trait SendAgain<A, L>: Sized {
    /// Sends the request with another token each time that its token is rejected. If there is none, or
    /// the request cannot be sent again, the latest response is given as it came.
    fn send(
        self,
        response: A,
        lease: L,
        rejected_when: Option<Arc<RejectedWhen>>,
    ) -> impl Future<Output = Result<A, BoxError>> + Send + 'static;
}

/// A request with a body `B` that can be sent again, and what it takes to do so.
#[allow(missing_debug_implementations, unnameable_types)] // it is part of `OAuthService`'s future
pub struct Resend<S, R, K, B> {
    pub(crate) inner: S,
    /// Where the token goes.
    pub(crate) header: TokenHeader,
    pub(crate) replay: R,
    pub(crate) kept: K,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) body: PhantomData<fn(B)>,
}

impl<S, R, B, L> SendAgain<S::Response, L> for Resend<S, R, R::Kept, B>
where
    S: HttpService<R::Body>,
    R: Replay<B, Body: Send> + Send + 'static,
    B: 'static,
    L: Lease,
{
    async fn send(
        mut self,
        mut response: S::Response,
        mut lease: L,
        rejected_when: Option<Arc<RejectedWhen>>,
    ) -> Result<S::Response, BoxError> {
        for _ in 1..SENDS_AT_MOST {
            // Not a shared borrow: a policy need not be `Sync`.
            let (replay, kept) = (&mut self.replay, &mut self.kept);
            let held = hold(response, lease.reject(), move || replay.again(kept));
            let (again, rejected) = within(self.deadline, held).await?;
            let Some((another, mut request)) = again else {
                return rejected.map_err(Into::into);
            };
            if let Ok(rejected) = rejected {
                // Not while the refresh runs: until there is another token, the caller may get it.
                drain(rejected.into_body()).await;
            }
            lease = within(self.deadline, ready_with(&mut self.inner, another)).await??;
            let headers = request.headers_mut();
            headers
                .try_insert(self.header.name(), lease.header_value())
                .map_err(|_| Error::new(ErrorKind::TooManyHeaders))?;
            self.deadline.map(|deadline| deadline.write(headers)).transpose()?;
            lease.replayed();
            response = self.inner.call(request).await.map_err(Into::into)?;
            if !is_rejected(&response, rejected_when.as_deref()) {
                return Ok(response);
            }
        }
        let mut lease = Some(lease);
        poll_fn(|cx| Poll::Ready(lease.take().map(|lease| tell(lease, cx)))).await;
        Ok(response)
    }
}

/// Waits for another token and makes the request again. It keeps the response as long as it may be
/// kept; then its error takes its place.
async fn hold<A, L, Q>(
    response: Response<A>,
    reject: impl Future<Output = Result<Option<L>, Error>>,
    again: impl FnOnce() -> Option<Q>,
) -> (Option<(L, Q)>, Result<Response<A>, Error>) {
    let mut reject = pin!(reject);
    if let Some(replaced) = in_time(UNREAD_TIME, reject.as_mut()).await {
        let another = replaced.ok().flatten();
        return (another.and_then(|lease| Some((lease, again()?))), Ok(response));
    }
    // Not before: the body of the attempt that is answered may fail from here on, and the response
    // with it. And not later: without the request there is nothing to wait for.
    let Some(request) = again() else { return (None, Ok(response)) };
    let error = Error::new(ErrorKind::Rejected).with_response_status(response.status());
    drop(response);
    match reject.await {
        Ok(another) => (another.map(|lease| (lease, request)), Err(error)),
        Err(cause) => (None, Err(error.with_source(cause))),
    }
}

/// Makes the inner service ready, and gives a lease that can be used then.
async fn ready_with<S, B, L>(inner: &mut S, mut lease: L) -> Result<L, BoxError>
where
    S: HttpService<B>,
    L: Lease,
{
    for _ in 0..TOKENS_AT_MOST {
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        if lease.is_usable() {
            return Ok(lease);
        }
        // Getting ready took its time, and this token is not used any more. No place in the inner
        // service is held while another one is waited for.
        give_readiness_back(inner);
        let Some(another) = lease.reacquire().await? else { break };
        lease = another;
    }
    Err(Error::new(ErrorKind::Expired).into())
}

/// Tells the source of a rejection. Polled once, a refresh goes on by itself, for the next request.
pub(crate) fn tell<L: Lease>(lease: L, cx: &mut Context<'_>) {
    let _ = pin!(lease.reject()).poll(cx);
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
