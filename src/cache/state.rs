//! What of a cache is behind its lock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, Id},
    task::AbortHandle,
    time::Sleep,
};

use crate::{
    cache::{
        core::Brought,
        flight::{Crew, Flight},
        slot::Slot,
    },
    fetch::TokenRequest,
};

/// The slot, and the flight that is up.
pub(super) struct State {
    pub(super) slot: Slot,
    pub(super) flight: Option<Flying>,
    /// When to look again whether there are timers here.
    pub(super) no_timers_until: Duration,
    /// No handle is left to use the lanes: only leases and waiting futures.
    pub(super) closed: bool,
}

/// A flight that was started.
pub(super) struct Flying {
    pub(super) flight: Arc<Flight<Brought>>,
    pub(super) abort: Option<AbortHandle>,
    pub(super) runtime: Id,
    /// From here on nobody drives its runtime, or it would have ended by its own deadline. On the
    /// clock of that deadline, which does not count sleep.
    pub(super) until: Instant,
}

impl State {
    /// The flight that is up. One that ended without a result, with its runtime, is none, and
    /// neither is one on a runtime that nobody drives.
    pub(super) fn flight(&self) -> Option<&Flying> {
        self.flight
            .as_ref()
            .filter(|flying| !flying.flight.is_over() && Instant::now() < flying.until)
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.flight().is_some()
    }
}

impl Flying {
    pub(super) fn end(self) {
        if let Some(abort) = self.abort {
            abort.abort();
        }
        self.flight.abandon();
    }
}

/// A flight that is about to be started.
pub(super) struct Departure {
    pub(super) flight: Arc<Flight<Brought>>,
    pub(super) crew: Crew<Brought>,
    pub(super) request: TokenRequest,
    pub(super) runtime: Handle,
    pub(super) deadline: Sleep,
    /// A flight that never ended.
    pub(super) lost: Option<Flying>,
}
