//! A cache whose model is told of whatever is asked of it, and of what it says.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderValue;
use tower_oauth::{
    Error, Token, TokenCache,
    cache::{Acquire, Clock, Replacement, TokenLease},
    source::{Lease, RequestHead, TokenSource},
};

use crate::{
    model::{Model, Verdict},
    requests::Wait,
    world::World,
};

#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) cache: TokenCache,
    pub(crate) number: usize,
    pub(crate) world: World,
}

impl Watched {
    /// Tells the model of something that happens now.
    pub(crate) fn tell<T>(&self, happens: impl FnOnce(&mut Model, Duration) -> T) -> T {
        let now = self.world.clock.now();
        let mut model = self.world.model(self.number);
        model.end_dropped(|| self.cache.status().fetching, now);
        happens(&mut model, now)
    }

    fn lease(&self, lease: TokenLease) -> WatchedLease {
        WatchedLease { lease, of: self.clone() }
    }

    pub(crate) fn compare(&self) {
        self.tell(|_, _| {});
        let status = self.cache.status();
        self.tell(|model, now| model.compare(&status, now));
    }

    pub(crate) fn invalidate(&self, token: &Token) {
        self.tell(|_, _| {});
        let something_came = self.cache.invalidate(token);
        self.tell(|model, now| model.invalidated(token.id(), something_came, now));
    }

    pub(crate) async fn refresh(self) {
        let mut refresh = Box::pin(async { self.cache.refresh().await });
        let mut is_first = true;
        std::future::poll_fn(|cx| {
            self.tell(|_, _| {});
            let polled = refresh.as_mut().poll(cx);
            let waits = polled.is_pending();
            self.tell(|model, now| model.requested(is_first, waits, now));
            is_first = false;
            polled.map(drop)
        })
        .await;
    }
}

impl TokenSource for Watched {
    type Lease = WatchedLease;
    type Acquire = WatchedAcquire;

    fn try_acquire(&self, request: &RequestHead<'_>) -> Option<WatchedLease> {
        self.tell(|_, _| {});
        let lease = self.cache.try_acquire(request);
        let found = lease.as_ref().map(|lease| lease.token().id());
        self.tell(|model, now| model.looked(found, now));
        lease.map(|lease| self.lease(lease))
    }

    fn acquire(&self, request: &RequestHead<'_>) -> WatchedAcquire {
        let acquire = self.cache.acquire(request);
        WatchedAcquire { acquire, of: self.clone(), wait: Wait::default() }
    }
}

pub(crate) struct WatchedAcquire {
    acquire: Acquire,
    of: Watched,
    wait: Wait,
}

impl Future for WatchedAcquire {
    type Output = Result<WatchedLease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { acquire, of, wait } = &mut *self;
        of.tell(|_, _| {});
        let polled = Pin::new(acquire).poll(cx);
        let told = match &polled {
            Poll::Ready(Ok(lease)) => Poll::Ready(Ok(lease.token().id())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        of.tell(|model, now| model.polled(told, None, wait, now));
        polled.map_ok(|lease| of.lease(lease))
    }
}

pub(crate) struct WatchedLease {
    lease: TokenLease,
    of: Watched,
}

impl Lease for WatchedLease {
    type Replacement = WatchedReject;

    fn header_value(&self) -> HeaderValue {
        self.lease.header_value()
    }

    fn is_usable(&self) -> bool {
        self.of.tell(|_, _| {});
        let is_usable = self.lease.is_usable();
        let id = self.lease.token().id();
        self.of.tell(|model, now| model.asked_if_usable(id, is_usable, now));
        is_usable
    }

    fn reject(self) -> WatchedReject {
        let id = self.lease.token().id();
        let reject = self.lease.reject();
        let (verdict, wait) = (None, Wait::default());
        WatchedReject { reject, of: self.of, id, is_rejected: true, verdict, wait }
    }

    fn reacquire(self) -> WatchedReject {
        let id = self.lease.token().id();
        let reject = self.lease.reacquire();
        let (verdict, wait) = (Some(Verdict::Another), Wait::default());
        WatchedReject { reject, of: self.of, id, is_rejected: false, verdict, wait }
    }
}

pub(crate) struct WatchedReject {
    reject: Replacement,
    of: Watched,
    id: u64,
    is_rejected: bool,
    verdict: Option<Verdict>,
    wait: Wait,
}

impl Future for WatchedReject {
    type Output = Result<Option<WatchedLease>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { reject, of, id, is_rejected, verdict, wait } = &mut *self;
        of.tell(|_, _| {});
        let polled = Pin::new(reject).poll(cx);
        let verdict = *verdict.get_or_insert_with(|| of.tell(|it, now| it.rejected(*id, now)));
        if let Verdict::Ignored | Verdict::Fetched = verdict {
            let is_right = matches!(polled, Poll::Ready(Ok(None)));
            of.tell(|it, _| it.check(is_right, || format!("{verdict:?}, but it goes on")));
        } else {
            let told = match &polled {
                Poll::Ready(Ok(None)) => Poll::Ready(Ok(*id)),
                Poll::Ready(Ok(Some(lease))) => Poll::Ready(Ok(lease.token().id())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            // Even one that had run out when it was rejected can be all that comes in its place.
            let rejected = is_rejected.then_some(*id);
            of.tell(|model, now| model.polled(told, rejected, wait, now));
        }
        let lease = ready!(polled)?;
        Poll::Ready(Ok(lease.map(|lease| of.lease(lease))))
    }
}
