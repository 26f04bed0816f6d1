//! A fetch in progress, as the cache sees it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Id;

use super::{flight::Flight, held::Held, sync::AtomicBool};
use crate::{
    error::Error,
    fetch::{RefreshReason, TokenRequest},
};

/// A fetch in progress; or the suspension of a token, which ends with the fetch that is to replace
/// it, or before. Whoever waits for a suspension is not held up by a fetch that hangs.
pub(super) type InFlight = Flight<Result<Arc<Held>, Error>, FlightInfo>;

/// What is known about a flight.
pub(super) struct FlightInfo {
    /// Why it began.
    pub(super) reason: RefreshReason,
    /// Where it runs, if it began where there is a runtime.
    pub(super) runtime: Option<Id>,
    /// From here on nobody drives that runtime, or the flight would have ended by itself.
    pub(super) overdue_at: Instant,
    /// Whether somebody makes sure that it ends by then.
    pub(super) is_watched: AtomicBool,
}

/// A flight that is up.
#[must_use = "whoever gets it has to tend it"]
pub(super) struct Up {
    pub(super) flight: Arc<InFlight>,
    /// A fetch that has just begun, and has to be launched.
    pub(super) begun: Option<Begun>,
    /// The flight is a suspension that has just begun, and has to end after this.
    pub(super) patience: Option<Duration>,
}

pub(super) struct Begun {
    pub(super) flight: Arc<InFlight>,
    pub(super) request: TokenRequest,
}

impl Up {
    /// Somebody else's flight.
    pub(super) fn joined(flight: &Arc<InFlight>) -> Self {
        Self { flight: Arc::clone(flight), begun: None, patience: None }
    }

    /// Whether the flight to wait for is the fetch that has just begun.
    pub(super) fn leads(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| Arc::ptr_eq(&begun.flight, &self.flight))
    }
}
