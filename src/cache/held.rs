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
        let (token, born_at) = (self.token.clone(), self.deadlines.born_at);
        // One that was given, and not fetched, keeps the age that it was given.
        if born_at == Duration::MAX { token } else { token.with_age(now.saturating_sub(born_at)) }
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
        let lifetime = deadlines.expires_at.saturating_sub(deadlines.born_at);
        Self { token: self.token.clone().with_lifetime(lifetime), deadlines }
    }
}
