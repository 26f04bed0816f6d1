//! A token and its deadlines.

use std::time::Duration;

use super::policy::{Deadlines, SECOND};
use crate::token::Token;

#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) deadlines: Deadlines,
}

impl Held {
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.deadlines.usable_until
    }

    /// The token, as old as it is now, so that a cache behind a cache does not take it for a new one.
    pub(super) fn token_at(&self, now: Duration) -> Token {
        let token = self.token.clone();
        // One that was given, and not fetched, keeps the age that it was given.
        if self.deadlines == Deadlines::NEVER { token } else { token.with_age(self.age(now)) }
    }

    /// How long ago it was asked for.
    pub(super) fn age(&self, now: Duration) -> Duration {
        let Deadlines { came_at, age, .. } = self.deadlines;
        age.saturating_add(now.saturating_sub(came_at))
    }

    /// Whether this says all that the other one says.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.token.id() == other.token.id() && self.deadlines == other.deadlines
    }

    /// The same secret came again, with these deadlines. The token stays the one that it was: a late
    /// rejection must find it. The next try waits, since to ask at once would bring the same.
    pub(super) fn again(&self, new: Deadlines, now: Duration) -> Self {
        let mut deadlines = self.deadlines;
        deadlines.usable_until = deadlines.usable_until.max(new.usable_until);
        deadlines.expires_at = deadlines.expires_at.max(new.expires_at);
        let left = deadlines.usable_until.saturating_sub(now);
        let next = now.saturating_add((left * 4 / 5).max(5 * SECOND));
        deadlines.refresh_at = next.min(deadlines.usable_until);
        // With its new lifetime: a cache behind this one goes by it.
        let lifetime = (self.age(now).saturating_add(deadlines.expires_at)).saturating_sub(now);
        Self { token: self.token.clone().with_lifetime(lifetime), deadlines }
    }
}
