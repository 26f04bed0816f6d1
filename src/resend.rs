//! Sending a rejected request again, with another token.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use bytes::Buf;
use http::header::AUTHORIZATION;
use http_body::Body;

use crate::{
    error::{BoxError, Error, ErrorKind},
    http_service::HttpService,
    replay::Replay,
    runtime::timer,
    source::Lease,
};

/// How many tokens are taken for one request whose inner service needs longer to become ready than a
/// token lives.
pub(crate) const TOKENS_AT_MOST: usize = 3;

/// How much of a discarded response is read, and for how long after the refresh, so that its
/// HTTP/1.1 connection can be used again. Beyond that a new connection is cheaper.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// A request that can be sent again, and what it takes to do so.
pub(crate) struct Resend<S, R, K> {
    pub(crate) inner: S,
    pub(crate) replay: R,
    pub(crate) kept: K,
}

impl<S, R, K> Resend<S, R, K> {
    /// Waits for another token and sends the request with it. If there is none, or the request cannot
    /// be sent again, gives the first response as it came.
    pub(crate) async fn send<L, B>(
        mut self,
        response: S::Response,
        reject: impl Future<Output = Result<Option<L>, Error>>,
    ) -> Result<S::Response, BoxError>
    where
        S: HttpService<R::Body>,
        L: Lease,
        R: Replay<B, Kept = K>,
    {
        let Ok(Some(mut lease)) = reject.await else { return Ok(response) };
        let Some(mut request) = self.replay.again(&mut self.kept) else { return Ok(response) };
        let Self { mut inner, kept, .. } = self;
        // This attempt is the last one.
        drop(kept);
        // Not while the refresh runs: until there is another token, the caller may get the response.
        drain(response.into_body()).await;
        for _ in 0..TOKENS_AT_MOST {
            poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            if lease.is_usable() {
                let inserted =
                    request.headers_mut().try_insert(AUTHORIZATION, lease.header_value());
                inserted.map_err(|_| Error::new(ErrorKind::TooManyHeaders))?;
                return inner.call(request).await.map_err(Into::into);
            }
            // Getting ready took its time, and this token has been replaced or has expired. No place
            // in the inner service is held while another one is waited for.
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
