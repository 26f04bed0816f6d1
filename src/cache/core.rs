//! What all handles of one cache share. It puts the state behind a lock, and keeps the shards in
//! step with it.
//!
//! The lock of the state comes before that of a flight or a shard. None of them is held while
//! foreign code runs: the clock and the jitter are read before, wakers and the causes of errors are
//! dropped after, and a fetch is launched after.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Id;
use tracing::Span;

use super::{
    clock::Clock,
    flight::{Outcome, Woken},
    held::Held,
    in_flight::{InFlight, Up},
    policy::RefreshPolicy,
    shards::{Record, Shards},
    slot::{Slot, Verdict},
    state::{Ended, Found, State},
    sync::{Mutex, MutexGuard, Ordering, lock, processors},
};
use crate::{
    error::{Error, WithCauses},
    fetch::{BoxFetch, Fetching, TokenRequest},
    token::Token,
};

pub(super) type JitterSource = Box<dyn Fn() -> f64 + Send + Sync>;

pub(super) struct Core {
    pub(super) policy: RefreshPolicy,
    pub(super) clock: Arc<dyn Clock>,
    jitter: JitterSource,
    /// Behind a lock of its own, since cloning it runs foreign code, and it need not be `Sync`. The
    /// one lock of which that is true: only whoever launches the next fetch waits for it.
    fetcher: Mutex<BoxFetch>,
    /// What metrics and logs call it.
    pub(super) name: Option<Arc<str>>,
    locked: Mutex<Locked>,
    shards: Shards<Self>,
}

struct Locked {
    state: State,
    /// No handle is left to use the shards: only leases and waiting futures.
    is_closed: bool,
}

pub(super) enum Acquired {
    /// A token that can be used now, and its refresh, if that is due.
    Usable(Arc<Record<Core>>, Option<Up>),
    Wait(Up),
}

impl Core {
    pub(super) fn new(
        fetcher: BoxFetch,
        policy: RefreshPolicy,
        clock: Arc<dyn Clock>,
        jitter: JitterSource,
        name: Option<Arc<str>>,
        slot: Slot,
    ) -> Arc<Self> {
        let state = State::new(slot, &policy);
        Arc::new(Self {
            policy,
            clock,
            jitter,
            fetcher: Mutex::new(fetcher),
            name,
            locked: Mutex::new(Locked { state, is_closed: false }),
            shards: Shards::new(processors()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        lock(&self.locked)
    }

    fn jitter(&self) -> f64 {
        let jitter = (self.jitter)();
        if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) }
    }

    /// A fresh token, from this thread's shard.
    #[inline(always)] // a call and its registers would cost as much as a reference count
    pub(super) fn fresh(&self) -> Option<Arc<Record<Self>>> {
        self.shards.mine().filter(|record| record.is_fresh(self.clock.now()))
    }

    /// A token that can be used now, and its refresh, if that is due and there is a runtime `here`.
    pub(super) fn usable(
        self: &Arc<Self>,
        here: Option<Id>,
    ) -> Option<(Arc<Record<Self>>, Option<Up>)> {
        let now = self.clock.now();
        let mut locked = self.lock();
        let (held, refresh) = locked.state.usable(here, now)?;
        // No token is held that no header can carry, but for a fixed one, which is never refreshed.
        Some((self.record(&locked, &held).ok()?, refresh))
    }

    /// A token that can be used now, or the flight that brings one.
    pub(super) fn acquire(self: &Arc<Self>, here: Option<Id>) -> Result<Acquired, Error> {
        let now = self.clock.now();
        let mut locked = self.lock();
        Ok(match locked.state.acquire(here, now)? {
            Found::Usable(held, refresh) => Acquired::Usable(self.record(&locked, &held)?, refresh),
            Found::Wait(up) => Acquired::Wait(up),
        })
    }

    /// The resource server rejected this token.
    pub(super) fn reject(&self, token: &Token, here: Option<Id>) -> (Verdict, Option<Up>) {
        self.give_up_token(|state, now| state.reject(token, here, now))
    }

    /// This token is revoked.
    pub(super) fn invalidate(&self, token: &Token, here: Option<Id>) -> (Verdict, Option<Up>) {
        self.give_up_token(|state, now| state.invalidate(token, here, now))
    }

    fn give_up_token<R>(&self, give_up: impl FnOnce(&mut State, Duration) -> R) -> R {
        let now = self.clock.now();
        let mut locked = self.lock();
        let before = locked.state.slot.used_id();
        let given_up = give_up(&mut locked.state, now);
        if locked.state.slot.used_id() != before {
            self.shards.clear();
        }
        given_up
    }

    /// What came of a rejection. Not logged by `reject`: what that begins has to be tended first.
    pub(super) fn log_rejection(&self, verdict: Verdict) {
        let name = self.name.as_deref();
        tracing::debug!(target: "tower_oauth", name, ?verdict, "the resource server rejected a token");
    }

    /// A request is sent again.
    pub(super) fn replayed(&self) {
        self.lock().state.counts.replays += 1;
        let name = self.name.as_deref();
        tracing::debug!(target: "tower_oauth", name, "a request is sent again with another token");
    }

    /// The fetch that brings another token now.
    pub(super) fn refresh(&self, here: Option<Id>) -> Result<Up, Error> {
        let now = self.clock.now();
        self.lock().state.refresh(here, now)
    }

    /// Calls the fetcher.
    pub(super) fn fetch(&self, request: TokenRequest) -> Fetching {
        lock(&self.fetcher)(request)
    }

    /// Ends a fetch with its result.
    ///
    /// The state changes before a waiter can see the outcome. Gives those who are to be woken, and the
    /// fetch that takes its place; `None` if it was given up.
    pub(super) fn complete(
        &self,
        flight: &Arc<InFlight>,
        result: Result<Token, Error>,
        called_at: Duration,
        span: &Span,
    ) -> Option<(Woken, Option<Up>)> {
        let (now, jitter) = (self.clock.now(), self.jitter());
        let mut locked = self.lock();
        if !locked.state.take(flight) {
            // The result is dropped after the lock is free: it may run foreign code.
            drop(locked);
            return None;
        }
        // Kept until the lock is free: dropping the error may run foreign code too.
        let _last_error = locked.state.slot.pauses.failure().map(|failure| failure.error.clone());
        let state = &mut locked.state;
        let ended = state.complete(flight, result, &self.policy, called_at, now, jitter);
        self.shards.clear();
        drop(locked);
        let Ended { outcome, suspension, next, error, refreshes_too_fast, label } = ended;
        let held_up = suspension.as_ref().map(|suspension| suspension.end(outcome.clone()));
        // First, so that nobody waits for what a subscriber does.
        let mut woken = flight.end(outcome).and(held_up.unwrap_or_default());
        // Whoever waits elsewhere must not depend on this runtime being driven. Relaxed: the lock
        // of the flight, under which they left their wakers, comes after they set it and before this.
        let waits_elsewhere = |it: &Arc<InFlight>| it.info.is_watched.load(Ordering::Relaxed);
        if waits_elsewhere(flight) || suspension.as_ref().is_some_and(waits_elsewhere) {
            woken = Woken::default();
        }
        span.record("outcome", label);
        span.record("ms", now.saturating_sub(called_at).as_millis() as u64);
        let name = self.name.as_deref();
        if let Some(error) = error {
            tracing::warn!(
                target: "tower_oauth",
                parent: span,
                name,
                error = %WithCauses(&error),
                "no access token could be fetched"
            );
        }
        if refreshes_too_fast {
            tracing::warn!(
                target: "tower_oauth",
                name,
                "four tokens in a row were rejected soon after they came; \
                 does another process use this client, so that each new token ends the one before?"
            );
        }
        Some((woken, next))
    }

    /// Ends a flight without a result, for this reason. Gives whether it was the fetch that is up.
    pub(super) fn give_up(
        &self,
        flight: &Arc<InFlight>,
        why: Outcome<Result<Arc<Held>, Error>>,
    ) -> bool {
        let (was_up, suspension) = self.lock().state.give_up(flight);
        drop(flight.end(why));
        drop(suspension.map(|suspension| suspension.end(Outcome::Lost)));
        was_up
    }

    /// A record of this token, if it is still the one that is used, and can be.
    pub(super) fn still_used(self: &Arc<Self>, token: &Token) -> Option<Arc<Record<Self>>> {
        let now = self.clock.now();
        let mut locked = self.lock();
        let held = locked.state.slot.in_use(token.id(), now)?;
        self.record(&locked, &held).ok()
    }

    /// Whether this token may still be sent.
    pub(super) fn is_usable(&self, token: &Token) -> bool {
        let now = self.clock.now();
        // Not by the deadlines that it came with: a token that came again may have got others.
        self.lock().state.slot.in_use(token.id(), now).is_some()
    }

    /// A record of what is used, from this thread's shard.
    fn record(
        self: &Arc<Self>,
        locked: &Locked,
        held: &Arc<Held>,
    ) -> Result<Arc<Record<Self>>, Error> {
        if locked.is_closed {
            let header_value = held.token.header_value()?;
            return Ok(Arc::new(Record::new(held, header_value, Arc::clone(self))));
        }
        self.shards.mine_or(held, Arc::clone(self))
    }

    /// Shows the state.
    pub(super) fn inspect<R>(&self, look: impl FnOnce(&mut State, Duration) -> R) -> R {
        let now = self.clock.now();
        look(&mut self.lock().state, now)
    }

    /// Why the last fetch failed, if it did so since then.
    pub(super) fn error_since(&self, since: Duration) -> Option<Error> {
        self.inspect(|it, _| {
            let failure = it.slot.pauses.failure().filter(|failure| failure.at >= since);
            failure.map(|failure| failure.error.clone())
        })
    }

    /// The last handle is gone.
    pub(super) fn close(&self) {
        let mut locked = self.lock();
        locked.is_closed = true;
        self.shards.clear();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let flights = self.lock().state.take_all();
        for flight in flights.into_iter().flatten() {
            drop(flight.end(Outcome::Lost));
        }
    }
}
