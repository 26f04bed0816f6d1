//! What takes the place of a cached token that was rejected, or that has run out.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderValue;

use super::{acquire::Acquire, fetch::Here, lease::TokenLease, slot::Verdict};
use crate::{error::Error, source::Lease};

impl TokenLease {
    /// The resource server rejected the token. Gives the lease on another one, which can take a
    /// refresh, or `None` if nothing is to be fetched now.
    ///
    /// [`docs::rules`](crate::docs::rules) says when a rejection starts a refresh.
    ///
    /// # Errors
    ///
    /// Why the fetch of another one failed. The cache may use the one that was rejected again: nobody
    /// knows whether it still is.
    pub fn reject(self) -> Replacement {
        Replacement::of(self, true)
    }
}

impl Lease for TokenLease {
    type Replacement = Replacement;

    #[inline]
    fn header_value(&self) -> HeaderValue {
        self.header_value()
    }

    fn is_usable(&self) -> bool {
        self.is_usable()
    }

    fn reject(self) -> Replacement {
        self.reject()
    }

    fn replayed(&self) {
        self.0.owner.replayed();
    }

    fn reacquire(self) -> Replacement {
        Replacement::of(self, false)
    }
}

/// A lease in place of a [`TokenLease`]: after a rejection on another token, or `None` if nothing is to be
/// fetched now.
///
/// # Cancel safety
///
/// Does nothing until it is polled. Dropping it after that does not stop the refresh.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Replacement {
    lease: TokenLease,
    is_rejected: bool,
    acquire: Option<Acquire>,
    began_at: Duration,
}

impl Replacement {
    fn of(lease: TokenLease, is_rejected: bool) -> Self {
        let began_at = lease.0.owner.clock.now();
        Self { lease, is_rejected, acquire: None, began_at }
    }

    /// Tells the cache of a rejection. False if there is nothing to wait for.
    fn begin(&self) -> bool {
        let record = &self.lease.0;
        let here = Here::find();
        let (verdict, refresh) = record.owner.reject(&record.held.token, here.id());
        refresh.map(|refresh| here.tend(&record.owner, refresh));
        record.owner.log_rejection(verdict);
        matches!(verdict, Verdict::Superseded | Verdict::Suspended)
    }
}

impl Future for Replacement {
    type Output = Result<Option<TokenLease>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.is_rejected && this.acquire.is_none() && !this.begin() {
            return Poll::Ready(Ok(None));
        }
        let core = &this.lease.0.owner;
        let acquire = this.acquire.get_or_insert_with(|| Acquire::new(Arc::clone(core)));
        let lease = ready!(Pin::new(acquire).poll(cx))?;
        if !this.is_rejected || lease.0.held.token.id() != this.lease.0.held.token.id() {
            return Poll::Ready(Ok(Some(lease)));
        }
        // The cache uses it again. Whoever waited learns why there is no other.
        Poll::Ready(core.error_since(this.began_at).map_or(Ok(None), Err))
    }
}
