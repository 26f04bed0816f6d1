//! One request's use of a cached token, and waiting for one.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::HeaderValue;

use super::{
    core::{Acquired, Core},
    fetch::{Here, is_fetching_for},
    flight::{Outcome, Waiter},
    in_flight::{FlightInfo, Up},
    shards::Record,
    slot::{Held, Verdict},
};
use crate::{
    error::{Error, ErrorKind},
    source::Lease,
    token::Token,
};

/// One request's use of the token of a [`TokenCache`](crate::TokenCache).
///
/// It is one pointer, and keeps the cache's flight alive like the cache itself does.
#[derive(Clone)]
pub struct TokenLease(Arc<Record<Core>>);

impl TokenLease {
    /// The token that it is on.
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// The value of the request's `Authorization` header, marked sensitive.
    #[inline]
    pub fn header_value(&self) -> HeaderValue {
        self.0.header_value.clone()
    }

    /// Whether the token may still be sent: it has neither expired nor been replaced, and is not
    /// suspended.
    pub fn is_usable(&self) -> bool {
        self.0.owner.is_usable(&self.0.token)
    }

    /// The resource server rejected the token. Gives the lease on another one, which can take a
    /// refresh, or `None` if there is no other one to be had now.
    ///
    /// [`docs::rules`](crate::docs::rules) says when a rejection starts a refresh.
    pub fn reject(self) -> Reject {
        Reject { lease: self, acquire: None }
    }
}

/// A token that can be used now. Starts its refresh, if that is due and there is a runtime here.
#[inline(always)]
pub(super) fn try_acquire(core: &Arc<Core>) -> Option<TokenLease> {
    core.fresh().map(TokenLease).or_else(|| try_acquire_slowly(core))
}

#[cold]
fn try_acquire_slowly(core: &Arc<Core>) -> Option<TokenLease> {
    let here = Here::find();
    let (record, refresh) = core.usable(here.id())?;
    if let Some(refresh) = refresh {
        here.tend(core, refresh);
    }
    Some(TokenLease(record))
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

impl fmt::Debug for TokenLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenLease").field(&self.0.token).finish()
    }
}

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
pub struct Acquire(State);

enum State {
    Failed(Error),
    Waiting(Waiting),
}

struct Waiting {
    core: Arc<Core>,
    waiter: Option<Waiter<Result<Held, Error>, FlightInfo>>,
    /// How many flights this has begun, and whether it waits for one of them.
    begun: u8,
    is_leader: bool,
}

impl Acquire {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self(State::Waiting(Waiting { core, waiter: None, begun: 0, is_leader: false }))
    }
}

impl From<Error> for Acquire {
    fn from(error: Error) -> Self {
        Self(State::Failed(error))
    }
}

impl Future for Acquire {
    type Output = Result<TokenLease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Failed(error) => Poll::Ready(Err(error.clone())),
            State::Waiting(waiting) => waiting.poll(cx).map_ok(TokenLease),
        }
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Record<Core>>, Error>> {
        loop {
            let Some(waiter) = &mut self.waiter else {
                if let Some(record) = self.ask()? {
                    return Poll::Ready(Ok(record));
                }
                continue;
            };
            let Poll::Ready(outcome) = waiter.poll(cx) else {
                Here::find().watch(&self.core, waiter.flight());
                return Poll::Pending;
            };
            self.waiter = None;
            let lost = match outcome {
                // A usable token outlives any failure: this one was only suspended meanwhile.
                Outcome::Done(Err(error)) => {
                    return Poll::Ready(try_acquire(&self.core).map(|lease| lease.0).ok_or(error));
                }
                // From this thread's shard if it is still fresh, otherwise what the flight brought,
                // unless it has been replaced or rejected meanwhile.
                Outcome::Done(Ok(held)) => {
                    let record = try_acquire(&self.core).map(|lease| lease.0);
                    match record.or_else(|| self.core.still_held(&held.token)) {
                        Some(record) => return Poll::Ready(Ok(record)),
                        None => continue,
                    }
                }
                Outcome::Lost => ErrorKind::NoRuntime,
                Outcome::Overdue => ErrorKind::Timeout,
            };
            // Whoever comes first begins another one, on its own runtime. Two of one's own say that
            // none can end here; one may have been left behind on a runtime that this came from.
            if self.is_leader && self.begun == 2 {
                return Poll::Ready(Err(Error::new(lost)));
            }
        }
    }

    /// A token that can be used now. Otherwise there is a flight to wait for.
    fn ask(&mut self) -> Result<Option<Arc<Record<Core>>>, Error> {
        let here = Here::find();
        let up = match self.core.acquire(here.id())? {
            Acquired::Usable(record, refresh) => {
                if let Some(refresh) = refresh {
                    here.tend(&self.core, refresh);
                }
                return Ok(Some(record));
            }
            Acquired::Wait(up) => up,
        };
        self.is_leader = matches!(up, Up::Begun(_));
        if !self.is_leader && is_fetching_for(&self.core) {
            return Err(Error::new(ErrorKind::Recursive));
        }
        self.begun += u8::from(self.is_leader);
        self.waiter = Some(Waiter::new(here.tend(&self.core, up)));
        Ok(None)
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Failed(error) => f.debug_tuple("Acquire").field(error).finish(),
            State::Waiting(waiting) => f
                .debug_struct("Acquire")
                .field("is_waiting", &waiting.waiter.is_some())
                .finish_non_exhaustive(),
        }
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
        if this.acquire.is_none() && record.owner.reject(&record.token) == Verdict::Ignored {
            return Poll::Ready(Ok(None));
        }
        let acquire = this.acquire.get_or_insert_with(|| Acquire::new(Arc::clone(&record.owner)));
        let lease = ready!(Pin::new(acquire).poll(cx))?;
        let another = lease.token().id() != record.token.id();
        Poll::Ready(Ok(another.then_some(lease)))
    }
}
