//! What all handles of one cache share: the slot, the flight that is up, and the shards. It says
//! what has to be done, and starts nothing itself.
//!
//! The lock of the state comes before that of a flight or a shard. None of them is held while
//! foreign code runs: the clock and the jitter are read before, wakers and the causes of errors are
//! dropped after, and a flight is launched after.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Id;

use super::{
    clock::Clock,
    flight::{Flight, Outcome, Woken},
    in_flight::{Begun, FlightInfo, InFlight, Up},
    policy::{RefreshPolicy, SECOND, YEAR},
    shards::{Record, Shards},
    slot::{Held, Look, Slot, Verdict},
    sync::{AtomicBool, Mutex, MutexGuard, lock, processors},
};
use crate::{
    error::{Error, ErrorKind},
    fetch::{BoxFetch, Fetching, RefreshReason, TokenRequest},
    token::Token,
};

pub(super) type JitterSource = Box<dyn Fn() -> f64 + Send + Sync>;

pub(super) enum Acquired {
    /// A token that can be used now, and its refresh, if that is due.
    Usable(Arc<Record<Core>>, Option<Up>),
    Wait(Up),
}

pub(super) struct Core {
    pub(super) policy: RefreshPolicy,
    pub(super) clock: Arc<dyn Clock>,
    jitter: JitterSource,
    /// Behind a lock of its own, since cloning it runs foreign code, and it need not be `Sync`. The
    /// one lock of which that is true: only whoever launches the next flight waits for it.
    fetcher: Mutex<BoxFetch>,
    state: Mutex<State>,
    shards: Shards<Self>,
}

struct State {
    slot: Slot,
    /// `Some` exactly while a flight is up: whoever ends one takes it out first.
    in_flight: Option<Arc<InFlight>>,
    /// Somebody without a usable token waits for a flight that began in the background.
    is_joined: bool,
    /// When a flight was last lost.
    lost_at: Option<Instant>,
    /// No handle is left to use the shards: only leases and waiting futures.
    is_closed: bool,
}

impl Core {
    pub(super) fn new(
        fetcher: BoxFetch,
        policy: RefreshPolicy,
        clock: Arc<dyn Clock>,
        jitter: JitterSource,
        slot: Slot,
    ) -> Arc<Self> {
        let state =
            State { slot, in_flight: None, is_joined: false, lost_at: None, is_closed: false };
        Arc::new(Self {
            policy,
            clock,
            jitter,
            fetcher: Mutex::new(fetcher),
            state: Mutex::new(state),
            shards: Shards::new(processors()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
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
        self.usable_in(&mut self.state(), now, here)?.ok()
    }

    fn usable_in(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
        here: Option<Id>,
    ) -> Option<Result<(Arc<Record<Self>>, Option<Up>), Error>> {
        let (held, is_stale) = match state.slot.look(now) {
            Look::Fresh(held) => (held, false),
            Look::Stale(held) => (held, true),
            Look::Nothing => return None,
        };
        let refresh = if is_stale { self.refresh_in(state, now, here) } else { None };
        Some(self.record(state, &held).map(|record| (record, refresh)))
    }

    /// The refresh of a stale token. Without a runtime the next request that has one begins it.
    fn refresh_in(&self, state: &mut State, now: Duration, here: Option<Id>) -> Option<Up> {
        if let Some(flight) = &state.in_flight {
            return Some(Up::Joined(Arc::clone(flight)));
        }
        // One that is lost at once, as on a runtime without timers, is not begun for every request.
        let was_lost = state.lost_at.is_some_and(|at| at.elapsed() < SECOND);
        if was_lost || !state.slot.may_refresh(now) {
            return None;
        }
        self.begin(state, now, here).ok().map(Up::Begun)
    }

    /// A token that can be used now, or the flight that brings one.
    pub(super) fn acquire(self: &Arc<Self>, here: Option<Id>) -> Result<Acquired, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(usable) = self.usable_in(&mut state, now, here) {
            return usable.map(|(record, refresh)| Acquired::Usable(record, refresh));
        }
        if let Some(flight) = state.in_flight.clone() {
            state.is_joined |= flight.info.in_background && !state.slot.is_suspended();
            return Ok(Acquired::Wait(Up::Joined(flight)));
        }
        self.begin(&mut state, now, here).map(|begun| Acquired::Wait(Up::Begun(begun))).or_else(
            |error| {
                // If nobody can be sent to replace a rejected token, it is used again.
                state.slot.release();
                let (record, _) = self.usable_in(&mut state, now, None).ok_or(error)??;
                Ok(Acquired::Usable(record, None))
            },
        )
    }

    fn begin(&self, state: &mut State, now: Duration, here: Option<Id>) -> Result<Begun, Error> {
        let request = state.slot.request(now)?;
        let runtime = here.ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let flight = Flight::new(FlightInfo {
            runtime,
            overdue_at: Instant::now() + self.policy.timeout().min(YEAR) + SECOND,
            is_watched: AtomicBool::new(false),
            in_background: request.reason == RefreshReason::Stale,
        });
        state.in_flight = Some(Arc::clone(&flight));
        state.is_joined = false;
        Ok(Begun { flight, request })
    }

    /// Calls the fetcher.
    pub(super) fn fetch(&self, request: TokenRequest) -> Fetching {
        lock(&self.fetcher).fetch(request)
    }

    /// Ends a flight with what its fetch brought; nothing, if it was given up meanwhile.
    ///
    /// The slot changes once per flight, since one end at most finds the flight in the state, and
    /// before a waiter can see the outcome.
    pub(super) fn complete(
        self: &Arc<Self>,
        flight: &Arc<InFlight>,
        result: Result<Token, Error>,
        called_at: Duration,
    ) -> Woken {
        let (now, jitter) = (self.clock.now(), self.jitter());
        let mut state = self.state();
        if !state.take(flight) {
            return Woken::nobody();
        }
        // Kept until the lock is free: dropping the error may run foreign code too.
        let _last_error = state.slot.last_error(Duration::ZERO).cloned();
        let (outcome, error) = match result {
            Ok(token) => {
                let since_call = now.saturating_sub(called_at);
                let deadlines = self.policy.deadlines(&token, now, since_call, jitter);
                let landed = state.slot.land(token, deadlines, now, jitter);
                let error = landed.as_ref().err().cloned();
                (Outcome::Done(landed), error)
            }
            // Whoever is left with nothing must not get the error of a fetch that was begun long
            // ago, perhaps before the process was frozen: they begin one of their own.
            Err(error) if state.is_joined => (Outcome::Lost, Some(error)),
            Err(error) => {
                let error = state.slot.fail(error, now, jitter);
                (Outcome::Done(Err(error.clone())), Some(error))
            }
        };
        self.shards.clear();
        drop(state);
        if let Some(error) = error {
            tracing::warn!(%error, "no access token could be fetched");
        }
        flight.end(outcome)
    }

    /// Ends a flight without a result, for this reason.
    pub(super) fn give_up(&self, flight: &Arc<InFlight>, why: Outcome<Result<Held, Error>>) {
        let mut state = self.state();
        if state.take(flight) {
            state.lost_at = Some(Instant::now());
        }
        drop(state);
        drop(flight.end(why));
    }

    /// The resource server rejected this token.
    pub(super) fn reject(&self, token: &Token) -> Verdict {
        let now = self.clock.now();
        let mut state = self.state();
        let verdict = state.slot.reject(token.id(), now);
        if verdict == Verdict::Suspended {
            self.shards.clear();
        }
        verdict
    }

    /// A record of this token, if it has been neither replaced nor suspended since it came.
    pub(super) fn still_held(self: &Arc<Self>, token: &Token) -> Option<Arc<Record<Self>>> {
        let state = self.state();
        let held = state.slot.in_use(token.id())?;
        self.record(&state, held).ok()
    }

    /// Whether this token may still be sent.
    pub(super) fn is_usable(&self, token: &Token) -> bool {
        let now = self.clock.now();
        // Not by the deadlines that it came with: a token that came again may have got others.
        let state = self.state();
        state.slot.in_use(token.id()).is_some_and(|held| now < held.deadlines.usable_until)
    }

    /// A record of what is held, from this thread's shard.
    fn record(self: &Arc<Self>, state: &State, held: &Held) -> Result<Arc<Record<Self>>, Error> {
        if state.is_closed {
            let header_value = held.token.header_value()?;
            return Ok(Arc::new(Record::new(held, header_value, Arc::clone(self))));
        }
        self.shards.mine_or(held, Arc::clone(self))
    }

    /// Shows the slot, and whether a flight is up.
    pub(super) fn inspect<R>(&self, look: impl FnOnce(&Slot, bool, Duration) -> R) -> R {
        let now = self.clock.now();
        let state = self.state();
        look(&state.slot, state.in_flight.is_some(), now)
    }

    /// The last handle is gone.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        self.shards.clear();
    }
}

impl State {
    /// Takes the flight out, if it is the one that is up.
    fn take(&mut self, flight: &Arc<InFlight>) -> bool {
        self.in_flight.take_if(|up| Arc::ptr_eq(up, flight)).is_some()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let flight = self.state().in_flight.take();
        if let Some(flight) = flight {
            drop(flight.end(Outcome::Lost));
        }
    }
}
