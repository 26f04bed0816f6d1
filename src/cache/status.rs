//! What a cache is in at one moment.

use std::time::Duration;

use super::{
    core::Core,
    policy::Deadlines,
    slot::{Look, Slot},
};
use crate::error::Error;

/// What a [`TokenCache`](crate::TokenCache) is in at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheStatus {
    /// What the held token is good for.
    pub state: TokenState,
    /// The time until the token is refreshed by the next request; zero if it is due.
    pub refresh_in: Option<Duration>,
    /// The time for which the token is still sent with requests.
    pub usable_for: Option<Duration>,
    /// The time until the token expires.
    pub expires_in: Option<Duration>,
    /// Whether a fetch is in progress.
    pub fetching: bool,
    /// Why the last fetch failed, until the next attempt is due.
    pub last_error: Option<Error>,
}

/// What the token that a cache holds is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenState {
    /// There is none yet.
    Empty,
    /// It is not sent any more.
    Expired,
    /// It is used.
    Fresh,
    /// It is used, and the next request has it refreshed.
    Stale,
    /// The resource server rejected it: it is not sent while another one is fetched.
    Suspended,
}

impl CacheStatus {
    pub(super) fn of(core: &Core) -> Self {
        core.inspect(|slot, fetching, now| {
            let held = slot.held().map(|held| held.deadlines);
            let held = held.filter(|deadlines| *deadlines != Deadlines::NEVER);
            let left = |until: fn(Deadlines) -> Duration| {
                held.map(|deadlines| until(deadlines).saturating_sub(now))
            };
            Self {
                state: TokenState::of(slot, now),
                refresh_in: left(|deadlines| deadlines.refresh_at),
                usable_for: left(|deadlines| deadlines.usable_until),
                expires_in: left(|deadlines| deadlines.expires_at),
                fetching,
                last_error: slot.last_error(now).cloned(),
            }
        })
    }
}

impl TokenState {
    fn of(slot: &Slot, now: Duration) -> Self {
        match slot.look(now) {
            Look::Fresh(_) => Self::Fresh,
            Look::Stale(_) => Self::Stale,
            Look::Nothing if slot.is_suspended() => Self::Suspended,
            Look::Nothing if slot.held().is_some() => Self::Expired,
            Look::Nothing => Self::Empty,
        }
    }
}
