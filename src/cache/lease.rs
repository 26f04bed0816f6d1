//! One request's use of a cached token.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::HeaderValue;

use crate::{
    cache::{
        acquire::Acquire,
        core::Core,
        policy::Deadlines,
        slot::{Held, Verdict},
    },
    error::Error,
    source::Lease,
    token::Token,
};

/// A copy of the held token, with what a request needs of it. It is padded, and its header value
/// has bytes of its own, so that using it touches no reference count of another lane.
#[repr(align(128))]
pub(super) struct Record {
    authorization: HeaderValue,
    deadlines: Deadlines,
    /// The tick in which it was last found fresh; at first one that never comes.
    fresh_in: AtomicU64,
    token: Token,
    core: Arc<Core>,
}

impl Record {
    pub(super) fn new(held: &Held, core: Arc<Core>) -> Result<Self, Error> {
        Ok(Self {
            authorization: held.token.copied_header_value()?,
            deadlines: held.deadlines,
            fresh_in: AtomicU64::new(u64::MAX),
            token: held.token.clone(),
            core,
        })
    }

    /// Whether the token is not due to be refreshed; asked of the clock once per tick.
    #[inline(always)]
    pub(super) fn is_fresh(&self) -> bool {
        let tick = self.core.clock.tick();
        tick == Some(self.fresh_in.load(Ordering::Relaxed)) || self.is_fresh_now(tick)
    }

    #[inline(never)]
    fn is_fresh_now(&self, tick: Option<u64>) -> bool {
        let Deadlines { refresh_at, usable_until, .. } = self.deadlines;
        let fresh = self.core.clock.now() < refresh_at;
        // A refresh may be a tick late, the end may not.
        if let (true, Some(tick)) = (fresh && refresh_at < usable_until, tick) {
            self.fresh_in.store(tick, Ordering::Relaxed);
        }
        fresh
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }
}

/// One request's use of the token of a [`TokenCache`](crate::TokenCache).
///
/// It is one pointer, and keeps the cache's flight alive like the cache itself does.
#[derive(Clone)]
pub struct TokenLease(pub(super) Arc<Record>);

impl TokenLease {
    /// The token that it is on.
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// Whether the token has not been replaced or held back since.
    pub(super) fn is_current(&self) -> bool {
        self.0.core.state().slot.in_use(self.0.token.id()).is_some()
    }
}

impl Lease for TokenLease {
    type Reject = Reject;

    #[inline]
    fn header_value(&self) -> HeaderValue {
        self.0.authorization.clone()
    }

    fn is_usable(&self) -> bool {
        let core = &self.0.core;
        let now = core.clock.now();
        // Not by the lease's own deadlines: a token that came again may have got others.
        let state = core.state();
        state.slot.in_use(self.0.token.id()).is_some_and(|held| now < held.deadlines.usable_until)
    }

    fn reject(self) -> Reject {
        Reject { lease: self, acquire: None }
    }
}

impl fmt::Debug for TokenLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenLease").field(&self.0.token).finish()
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
        let core = &this.lease.0.core;
        if this.acquire.is_none() && core.reject(&this.lease.0) == Verdict::Ignored {
            return Poll::Ready(Ok(None));
        }
        let acquire = this.acquire.get_or_insert_with(|| Acquire::new(Arc::clone(core)));
        let lease = ready!(Pin::new(acquire).poll(cx))?;
        let another = lease.token().id() != this.lease.token().id();
        Poll::Ready(Ok(another.then_some(lease)))
    }
}
