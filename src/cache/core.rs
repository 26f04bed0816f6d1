//! What all handles of one cache share: the slot, the flight, and the records that leases are on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::Sleep};

use crate::{
    cache::{
        clock::CacheClock,
        fetching::fly,
        flight::{Crew, Flight, Seat},
        lanes::Lanes,
        lease::{Record, TokenLease},
        policy::{RefreshPolicy, SECOND, YEAR},
        slot::{Held, Look, Slot, Verdict},
        state::{Departure, Flying, State},
    },
    error::{Error, ErrorKind},
    fetch::{BoxFetch, Fetching, TokenRequest},
    runtime::timer,
    token::Token,
};

tokio::task_local! {
    /// The core whose flight the current task is, after those whose flights asked for it.
    static FETCHING_FOR: Vec<usize>;
}

/// What a flight brings to everybody who waits for it.
pub(super) type Brought = Result<TokenLease, Error>;

pub(super) struct Core {
    pub(super) policy: RefreshPolicy,
    pub(super) clock: CacheClock,
    chance: Box<dyn Fn() -> f64 + Send + Sync>,
    /// Behind a lock of its own, since cloning it runs the user's code.
    fetcher: Mutex<BoxFetch>,
    state: Mutex<State>,
    pub(super) lanes: Lanes,
}

/// What `Core::acquire` comes to.
pub(super) enum Acquired {
    Lease(TokenLease),
    /// With how long, if the flight is on another runtime, which may be one that nobody drives.
    Wait(Seat<Brought>, Option<Sleep>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No lock of ours is held where something could panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn new(
        fetcher: BoxFetch,
        policy: RefreshPolicy,
        clock: CacheClock,
        chance: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> Arc<Self> {
        let state = State {
            slot: Slot::new(clock.clone()),
            flight: None,
            no_timers_until: Duration::ZERO,
            closed: false,
        };
        Arc::new(Self {
            policy,
            clock,
            chance,
            fetcher: Mutex::new(fetcher),
            state: Mutex::new(state),
            lanes: Lanes::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn chance(&self) -> f64 {
        let chance = (self.chance)();
        if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) }
    }

    /// A token that can be used now.
    #[inline(always)] // a call and its registers would cost as much as a reference count
    pub(super) fn peek(self: &Arc<Self>) -> Option<TokenLease> {
        if let Some(record) = &*self.lanes.mine() {
            if record.is_fresh() {
                return Some(TokenLease(Arc::clone(record)));
            }
        }
        self.peek_slot()
    }

    #[cold]
    fn peek_slot(self: &Arc<Self>) -> Option<TokenLease> {
        let now = self.clock.now();
        let mut state = self.state();
        let (held, departure) = self.look(&mut state, now)?;
        let lease = self.lease(&state, &held);
        drop(state);
        self.take_off(departure);
        lease.ok()
    }

    /// A token that can be used now, and the flight that refreshes it if it is due.
    fn look(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
    ) -> Option<(Held, Option<Departure>)> {
        match state.slot.look(now) {
            Look::Fresh(held) => Some((held, None)),
            Look::Stale(held) => {
                let due = state.flight().is_none()
                    && state.slot.may_refresh(now)
                    && now >= state.no_timers_until;
                // Without a runtime the next request that has one refreshes it.
                Some((held, due.then(|| self.depart(state, now).ok()).flatten()))
            }
            Look::Nothing => None,
        }
    }

    /// A token that can be used now, or a seat in the flight that brings one.
    pub(super) fn acquire(self: &Arc<Self>) -> Result<Acquired, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        let (acquired, departure) = if let Some((held, departure)) = self.look(&mut state, now) {
            (Acquired::Lease(self.lease(&state, &held)?), departure)
        } else if let Some(flying) = state.flight() {
            if FETCHING_FOR.try_with(|cores| cores.contains(&self.address())).unwrap_or(false) {
                return Err(Error::new(ErrorKind::Recursive));
            }
            let here = Handle::try_current().is_ok_and(|here| here.id() == flying.runtime);
            let left = flying.until.saturating_duration_since(Instant::now());
            let patience = if here { None } else { timer(left) };
            (Acquired::Wait(flying.flight.seat(), patience), None)
        } else {
            match self.depart(&mut state, now) {
                Ok(departure) => (Acquired::Wait(departure.flight.seat(), None), Some(departure)),
                // If nobody can be sent to replace a rejected token, it is used again.
                Err(error) => {
                    state.slot.release();
                    let (held, _) = self.look(&mut state, now).ok_or(error)?;
                    (Acquired::Lease(self.lease(&state, &held)?), None)
                }
            }
        };
        drop(state);
        self.take_off(departure);
        Ok(acquired)
    }

    /// The resource server rejected the token of this record.
    pub(super) fn reject(&self, record: &Record) -> Verdict {
        let now = self.clock.now();
        let mut state = self.state();
        let verdict = state.slot.reject(record.token().id(), now);
        if verdict == Verdict::HeldBack {
            self.lanes.clear();
        }
        verdict
    }

    /// A lease on what is held, from this thread's lane.
    fn lease(self: &Arc<Self>, state: &State, held: &Held) -> Result<TokenLease, Error> {
        let record = || Record::new(held, Arc::clone(self)).map(Arc::new);
        if state.closed {
            return Ok(TokenLease(record()?));
        }
        let mut lane = self.lanes.mine();
        if let Some(record) = &*lane {
            return Ok(TokenLease(Arc::clone(record)));
        }
        Ok(TokenLease(Arc::clone(lane.insert(record()?))))
    }

    /// The last handle is gone: what is left are leases and waiting futures.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.lanes.clear();
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Prepares a flight. It is started by `take_off`, outside the lock.
    fn depart(self: &Arc<Self>, state: &mut State, now: Duration) -> Result<Departure, Error> {
        let request = state.slot.request(now)?;
        let no_runtime = || Error::new(ErrorKind::NoRuntime);
        let runtime = Handle::try_current().map_err(|_| no_runtime())?;
        let Some(deadline) = timer(self.policy.timeout()) else {
            // Finding that out costs a panic: not for every request with a stale token.
            state.no_timers_until = now.saturating_add(SECOND);
            return Err(no_runtime());
        };
        let (flight, crew) = Flight::new();
        let lost = state.flight.replace(Flying {
            flight: Arc::clone(&flight),
            abort: None,
            runtime: runtime.id(),
            until: Instant::now() + self.policy.timeout().min(YEAR) + SECOND,
        });
        Ok(Departure { flight, crew, request, runtime, deadline, lost })
    }

    fn take_off(self: &Arc<Self>, departure: Option<Departure>) {
        let Some(Departure { flight, crew, request, runtime, deadline, lost }) = departure else {
            return;
        };
        if let Some(lost) = lost {
            lost.end();
        }
        let work = fly(Arc::downgrade(self), crew, request, deadline);
        let mut fetching_for = FETCHING_FOR.try_with(Clone::clone).unwrap_or_default();
        fetching_for.push(self.address());
        let task = runtime.spawn(FETCHING_FOR.scope(fetching_for, work));
        if let Some(flying) = &mut self.state().flight {
            if Arc::ptr_eq(&flying.flight, &flight) {
                flying.abort = Some(task.abort_handle());
            }
        }
    }

    /// Calls the fetcher.
    pub(super) fn fetch(&self, request: TokenRequest) -> Fetching {
        lock(&self.fetcher).fetch(request)
    }

    /// Puts what a fetch brought into the slot, and tells those who wait.
    pub(super) fn land(
        self: &Arc<Self>,
        crew: &Crew<Brought>,
        result: Result<Token, Error>,
        called_at: Duration,
    ) {
        // Read before the lock is taken: both may be the user's code.
        let (now, chance) = (self.clock.now(), self.chance());
        let mut state = self.state();
        if !state.flight.as_ref().is_some_and(|flying| crew.is_of(&flying.flight)) {
            // It was given up for lost, and another one is on its way.
            return;
        }
        // Kept until the lock is free: dropping the error may run the user's code too.
        let _last_error = state.slot.last_error(Duration::ZERO).cloned();
        let held = match result {
            Ok(token) => {
                let since_call = now.saturating_sub(called_at);
                let deadlines = self.policy.deadlines(&token, now, since_call, chance);
                state.slot.land(token, deadlines, now, chance)
            }
            Err(error) => Err(state.slot.fail(error, now, chance)),
        };
        state.flight = None;
        self.lanes.clear();
        let brought = held.and_then(|held| self.lease(&state, &held));
        drop(state);
        if let Err(error) = &brought {
            tracing::warn!(%error, "no access token could be fetched");
        }
        crew.land(brought);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(flying) = state.flight.take() {
            flying.end();
        }
    }
}
