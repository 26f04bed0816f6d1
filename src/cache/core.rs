//! What all handles of one cache share: the slot, the flight, and the records that leases are on.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::Sleep};

use crate::{
    cache::{
        clock::CacheClock,
        fetching::fly,
        flight::{Crew, Flight, Seat},
        lanes::Lanes,
        lease::{Record, TokenLease},
        policy::RefreshPolicy,
        slot::{Held, Look, Slot, Verdict},
    },
    error::{Error, ErrorKind},
    fetch::{BoxFetch, Fetching, TokenRequest},
    runtime::timer,
    token::Token,
};

tokio::task_local! {
    /// The core whose flight the current task is.
    static FETCHING_FOR: usize;
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
    /// Counts the changes of what is held; a record of an older generation is not to be used.
    generation: AtomicU64,
    lanes: Lanes,
}

pub(super) struct State {
    pub(super) slot: Slot,
    flight: Option<Flying>,
    /// No handle is left to use the lanes: only leases and waiting futures.
    closed: bool,
}

struct Flying {
    flight: Arc<Flight<Brought>>,
    abort: Option<AbortHandle>,
}

/// What `Core::acquire` comes to.
pub(super) enum Acquired {
    Lease(TokenLease),
    Wait(Seat<Brought>),
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
        let state = State { slot: Slot::new(clock.clone()), flight: None, closed: false };
        Arc::new(Self {
            policy,
            clock,
            chance,
            fetcher: Mutex::new(fetcher),
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
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
        let now = self.clock.now();
        if let Some(record) = &*self.lanes.mine() {
            if now < record.refresh_at() {
                return Some(TokenLease(Arc::clone(record)));
            }
        }
        self.peek_slot(now)
    }

    #[cold]
    fn peek_slot(self: &Arc<Self>, now: Duration) -> Option<TokenLease> {
        let mut state = self.state();
        let (held, departure) = self.look(&mut state, now)?;
        let lease = self.lease(&state, &held);
        drop(state);
        self.take_off(departure);
        lease.ok()
    }

    /// A token that can be used now, and the flight that renews it if it is due.
    fn look(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
    ) -> Option<(Held, Option<Departure>)> {
        match state.slot.look(now) {
            Look::Fresh(held) => Some((held, None)),
            Look::Stale(held) => {
                let due = state.flight().is_none() && state.slot.may_renew(now);
                // Without a runtime the next request that has one renews it.
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
        } else if let Some(flight) = state.flight() {
            if FETCHING_FOR.try_with(|core| *core == self.address()).unwrap_or(false) {
                return Err(Error::new(ErrorKind::Recursive));
            }
            (Acquired::Wait(flight.seat()), None)
        } else {
            // If nobody can be sent to replace a rejected token, it is used again.
            let departure = self.depart(&mut state, now).inspect_err(|_| state.slot.release())?;
            (Acquired::Wait(departure.flight.seat()), Some(departure))
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
            self.empty_lanes();
        }
        verdict
    }

    /// A lease on what is held, from this thread's lane.
    fn lease(self: &Arc<Self>, state: &State, held: &Held) -> Result<TokenLease, Error> {
        let record = || {
            let generation = self.generation.load(Ordering::Acquire);
            Record::new(held, generation, Arc::clone(self)).map(Arc::new)
        };
        if state.closed {
            return Ok(TokenLease(record()?));
        }
        let mut lane = self.lanes.mine();
        if let Some(record) = &*lane {
            return Ok(TokenLease(Arc::clone(record)));
        }
        Ok(TokenLease(Arc::clone(lane.insert(record()?))))
    }

    /// Called under the lock of the state, whenever what is held changes.
    fn empty_lanes(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.lanes.clear();
    }

    /// The last handle is gone: what is left are leases and waiting futures.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.empty_lanes();
    }

    #[inline]
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Prepares a flight. It is started by `take_off`, outside the lock.
    fn depart(self: &Arc<Self>, state: &mut State, now: Duration) -> Result<Departure, Error> {
        let request = state.slot.request(now)?;
        let no_runtime = || Error::new(ErrorKind::NoRuntime);
        let runtime = Handle::try_current().map_err(|_| no_runtime())?;
        let deadline = timer(self.policy.timeout()).ok_or_else(no_runtime)?;
        let (flight, crew) = Flight::new();
        state.flight = Some(Flying { flight: Arc::clone(&flight), abort: None });
        Ok(Departure { flight, crew, request, runtime, deadline })
    }

    fn take_off(self: &Arc<Self>, departure: Option<Departure>) {
        let Some(Departure { flight, crew, request, runtime, deadline }) = departure else {
            return;
        };
        let work = fly(Arc::downgrade(self), crew, request, deadline);
        let task = runtime.spawn(FETCHING_FOR.scope(self.address(), work));
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

    /// Puts what a fetch brought into the slot.
    pub(super) fn land(
        self: &Arc<Self>,
        result: Result<Token, Error>,
        called_at: Duration,
    ) -> Brought {
        // Read before the lock is taken: both may be the user's code.
        let (now, chance) = (self.clock.now(), self.chance());
        let mut state = self.state();
        let held = match result {
            Ok(token) => {
                let since_call = now.saturating_sub(called_at);
                let deadlines = self.policy.deadlines(&token, now, since_call, chance);
                state.slot.land(token, deadlines, now, chance)
            }
            Err(error) => Err(state.slot.fail(error, now, chance)),
        };
        state.flight = None;
        self.empty_lanes();
        let brought = held.and_then(|held| self.lease(&state, &held));
        drop(state);
        if let Err(error) = &brought {
            tracing::warn!(%error, "no access token could be fetched");
        }
        brought
    }
}

impl State {
    /// The flight that is up. One that ended without a result, with its runtime, is none.
    fn flight(&self) -> Option<&Arc<Flight<Brought>>> {
        self.flight.as_ref().map(|flying| &flying.flight).filter(|flight| !flight.is_over())
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.flight().is_some()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(abort) = state.flight.take().and_then(|flying| flying.abort) {
            abort.abort();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

struct Departure {
    flight: Arc<Flight<Brought>>,
    crew: Crew<Brought>,
    request: TokenRequest,
    runtime: Handle,
    deadline: Sleep,
}
