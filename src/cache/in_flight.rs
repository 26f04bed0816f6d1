//! A fetch in progress, as the cache sees it.

use std::{sync::Arc, time::Instant};

use tokio::runtime::Id;

use super::{flight::Flight, slot::Held, sync::AtomicBool};
use crate::{error::Error, fetch::TokenRequest};

/// A fetch in progress.
pub(super) type InFlight = Flight<Result<Held, Error>, FlightInfo>;

/// What is known about a fetch in progress.
pub(super) struct FlightInfo {
    /// Where it runs.
    pub(super) runtime: Id,
    /// From here on nobody drives that runtime, or the fetch would have ended at its timeout.
    pub(super) overdue_at: Instant,
    /// Whether somebody makes sure that it ends by then.
    pub(super) is_watched: AtomicBool,
    /// It began for a stale token: nobody had to wait for it.
    pub(super) in_background: bool,
}

/// A flight that has just begun. Whoever gets it launches it.
#[must_use = "a flight that is not launched is up for ever"]
pub(super) struct Begun {
    pub(super) flight: Arc<InFlight>,
    pub(super) request: TokenRequest,
}

/// A flight that is up.
pub(super) enum Up {
    Begun(Begun),
    /// Somebody else's.
    Joined(Arc<InFlight>),
}
