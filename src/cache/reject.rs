//! What a rejection of a cached token comes to.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::HeaderValue;

use super::{acquire::Acquire, fetch::Here, lease::TokenLease, slot::Verdict};
use crate::{error::Error, source::Lease};

impl TokenLease {
    /// The resource server rejected the token. Gives the lease on another one, which can take a
    /// refresh, or `None` if there is no other one to be had now.
    ///
    /// [`docs::rules`](crate::docs::rules) says when a rejection starts a refresh.
    pub fn reject(self) -> Reject {
        Reject { lease: self, acquire: None }
    }
}

impl Lease for TokenLease {
    type Reject = Reject;

    #[inline]
    fn header_value(&self) -> HeaderValue {
        self.header_value()
    }

    fn is_usable(&self) -> bool {
        self.is_usable()
    }

    fn reject(self) -> Reject {
        self.reject()
    }
}

/// The outcome of the rejection of a [`TokenLease`]: the lease on another token, or `None` if the
/// cache keeps the one that was rejected.
///
/// # Cancel safety
///
/// Does nothing until it is polled. Dropping it after that does not stop the refresh.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Reject {
    lease: TokenLease,
    acquire: Option<Acquire>,
}

impl Future for Reject {
    type Output = Result<Option<TokenLease>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let record = &this.lease.0;
        let core = &record.owner;
        if this.acquire.is_none() {
            let here = Here::find();
            let (verdict, refresh) = core.reject(&record.token, here.id());
            refresh.map(|refresh| here.tend(core, refresh));
            if matches!(verdict, Verdict::Ignored | Verdict::Refresh) {
                return Poll::Ready(Ok(None));
            }
        }
        let acquire = this.acquire.get_or_insert_with(|| Acquire::new(Arc::clone(core)));
        let lease = ready!(Pin::new(acquire).poll(cx))?;
        let another = lease.0.token.id() != record.token.id();
        Poll::Ready(Ok(another.then_some(lease)))
    }
}
