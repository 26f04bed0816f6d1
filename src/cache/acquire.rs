//! Waiting for a token.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::Sleep;

use crate::{
    cache::{
        core::{Acquired, Brought, Core},
        flight::Seat,
        lease::TokenLease,
    },
    error::{Error, ErrorKind},
};

/// A token of a [`TokenCache`](crate::TokenCache), as soon as there is one.
///
/// # Cancel safety
///
/// Does nothing until it is polled. Dropping it after that does not stop the fetch that it waits
/// for, which goes on for everybody else and for the next request.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    core: Arc<Core>,
    seat: Option<Seat<Brought>>,
    /// How many flights ended without a result while this waited.
    lost: u8,
    /// Set while it waits for a flight on another runtime: when to give that up for lost.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Acquire {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, seat: None, lost: 0, patience: None }
    }
}

impl Future for Acquire {
    type Output = Result<TokenLease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let Some(seat) = &mut this.seat else {
                match this.core.acquire()? {
                    Acquired::Lease(lease) => return Poll::Ready(Ok(lease)),
                    Acquired::Wait(seat, patience) => {
                        this.seat = Some(seat);
                        this.patience = patience.map(Box::pin);
                    }
                }
                continue;
            };
            let brought = match seat.poll(cx) {
                Poll::Ready(brought) => brought,
                Poll::Pending => {
                    let Some(patience) = &mut this.patience else { return Poll::Pending };
                    ready!(patience.as_mut().poll(cx));
                    None
                }
            };
            (this.seat, this.patience) = (None, None);
            match brought {
                // A usable token outlives any failure: this one was only held back meanwhile.
                Some(Err(error)) => return Poll::Ready(this.core.peek().ok_or(error)),
                // From this thread's lane if it is still fresh, otherwise what the flight brought,
                // unless it has been replaced or rejected meanwhile.
                Some(Ok(lease)) => {
                    if let Some(lease) =
                        this.core.peek().or_else(|| lease.is_current().then_some(lease))
                    {
                        return Poll::Ready(Ok(lease));
                    }
                }
                // They end as they begin: this runtime is shutting down.
                None if this.lost == 3 => {
                    return Poll::Ready(Err(Error::new(ErrorKind::NoRuntime)));
                }
                // Its runtime went away: whoever comes first starts it again on their own.
                None => this.lost += 1,
            }
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("waits", &self.seat.is_some()).finish_non_exhaustive()
    }
}
