//! Waiting for a token.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    core::{Acquired, Core},
    fetch::Here,
    lease::{TokenLease, try_acquire},
    waiting::Waiting,
};
use crate::error::{Error, ErrorKind};

/// A lease on a token of a [`TokenCache`](crate::TokenCache), as soon as there is one.
///
/// It can also be an error from the start, for a [`TokenSource`](crate::source::TokenSource) that
/// has no cache for a request: `Acquire::from(error)`.
///
/// # Cancel safety
///
/// Does nothing until it is polled. Dropping it after that does not stop the fetch that it waits
/// for, which goes on for everybody else and for the next request.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire(Result<Waiting, Error>);

impl Acquire {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self(Ok(Waiting::new(core)))
    }
}

impl From<Error> for Acquire {
    fn from(error: Error) -> Self {
        Self(Err(error))
    }
}

impl Future for Acquire {
    type Output = Result<TokenLease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = match &mut self.0 {
            Ok(waiting) => waiting,
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        loop {
            if !waiting.is_waiting() {
                let here = Here::find();
                match waiting.core.acquire(here.id())? {
                    Acquired::Wait(up) => waiting.wait_for(up, &here)?,
                    Acquired::Usable(record, refresh) => {
                        refresh.map(|refresh| here.tend(&waiting.core, refresh));
                        return Poll::Ready(Ok(TokenLease(record)));
                    }
                }
            }
            match ready!(waiting.poll(cx)) {
                // A usable token outlives any failure: this one was only suspended meanwhile.
                Err(error) => return Poll::Ready(try_acquire(&waiting.core).ok_or(error)),
                // From this thread's shard if it is fresh, otherwise the result of the flight, unless
                // it has been replaced or rejected meanwhile.
                Ok(Some(held)) => {
                    let result = || waiting.core.still_used(&held.token).map(TokenLease);
                    if let Some(lease) = try_acquire(&waiting.core).or_else(result) {
                        return Poll::Ready(Ok(lease));
                    }
                    // It may have run out before this was polled.
                    if !held.is_usable(waiting.core.clock.now()) {
                        waiting.may_go_on(ErrorKind::Expired)?;
                    }
                }
                Ok(None) => {}
            }
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(_) => f.debug_struct("Acquire").finish_non_exhaustive(),
            Err(error) => f.debug_tuple("Acquire").field(error).finish(),
        }
    }
}
