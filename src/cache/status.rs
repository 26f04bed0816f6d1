//! The state of a cache at one moment.

use std::{sync::Arc, time::Duration};

use super::{
    core::Core,
    counts::Counts,
    policy::Deadlines,
    slot::{Look, Slot},
};
use crate::error::Error;

/// The state of a [`TokenCache`](crate::TokenCache) at one moment, for health checks and metrics.
///
/// The token's times are those of the newest one. While that is not accepted yet and the one before it
/// is used in its place, [`state`](Self::state) is that of the one before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Whether the token can be used.
    pub state: TokenState,
    /// The time until the next request refreshes the token; zero if it is due.
    pub refresh_in: Option<Duration>,
    /// The time for which the token is still sent with requests.
    pub usable_for: Option<Duration>,
    /// The time until the token expires.
    pub expires_in: Option<Duration>,
    /// Whether a fetch is in progress.
    pub fetching: bool,
    /// Why the last fetch failed; `None` after the next success.
    pub last_error: Option<Error>,
    /// How long ago the last fetch failed.
    pub failed_ago: Option<Duration>,
    /// How many fetches have failed in a row.
    pub failures: u32,
    /// How long ago the resource server last rejected a token.
    pub rejected_ago: Option<Duration>,
    /// What has happened to the cache.
    pub counts: Counts,
    name: Option<Arc<str>>,
    has_succeeded: bool,
}

/// Whether the token of a cache can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenState {
    /// There is no token yet.
    Empty,
    /// It is no longer sent.
    Expired,
    /// It is used.
    Fresh,
    /// It is used, and the next request refreshes it.
    Stale,
    /// The resource server rejected it: it is not sent while another one is fetched.
    Suspended,
}

impl CacheStatus {
    /// The name that the cache was given by [`TokenCacheBuilder::name`](super::TokenCacheBuilder::name).
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether requests can be expected to find a token: one that can be used is held, or a fetch
    /// has succeeded and none has failed since. So a service that is idle, and lets its token expire,
    /// stays ready; one whose token endpoint is down when it starts is not.
    ///
    /// A token that was rejected and could not be replaced counts too. It is used again, since it may
    /// have been only one path, or one replica, that rejected it. [`rejected_ago`](Self::rejected_ago)
    /// and [`last_error`](Self::last_error) together tell of that; [`Counts`] has expressions for alerts.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, TokenState::Fresh | TokenState::Stale)
            || (self.has_succeeded && self.last_error.is_none())
    }

    pub(super) fn of(core: &Core) -> Self {
        core.inspect(|it, now| {
            let (fetching, counts, slot) = (it.is_fetching(), it.counts, &mut it.slot);
            let state = TokenState::of(slot, now);
            let newest = slot.newest().map(|held| held.deadlines);
            let newest = newest.filter(|deadlines| *deadlines != Deadlines::NEVER);
            let left = |until: fn(Deadlines) -> Duration| {
                newest.map(|deadlines| until(deadlines).saturating_sub(now))
            };
            let ago = |at: Duration| now.saturating_sub(at);
            let failure = slot.pauses.failure();
            Self {
                state,
                refresh_in: left(|deadlines| deadlines.refresh_at),
                usable_for: left(|deadlines| deadlines.usable_until),
                expires_in: left(|deadlines| deadlines.expires_at),
                fetching,
                last_error: failure.map(|failure| failure.error.clone()),
                failed_ago: failure.map(|failure| ago(failure.at)),
                failures: failure.map_or(0, |failure| failure.count),
                rejected_ago: slot.rejected_at.map(ago),
                counts,
                name: core.name.clone(),
                has_succeeded: slot.landed_at.is_some(),
            }
        })
    }
}

impl TokenState {
    fn of(slot: &mut Slot, now: Duration) -> Self {
        match slot.look(now) {
            Look::Fresh(_) => Self::Fresh,
            Look::Stale(_) => Self::Stale,
            Look::Nothing if slot.suspension.is_on() => Self::Suspended,
            Look::Nothing if slot.newest().is_some() => Self::Expired,
            Look::Nothing => Self::Empty,
        }
    }
}
