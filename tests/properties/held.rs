//! A token as the model knows it.

use std::time::Duration;

use tower_oauth::Token;

use crate::support::secs;

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: Token,
    pub(crate) born_at: Duration,
    pub(crate) refresh_at: Duration,
    pub(crate) usable_until: Duration,
}

/// The token before the newest one.
#[derive(Debug)]
pub(crate) struct Fallback {
    pub(crate) held: Held,
    /// Until then it is used, or kept.
    pub(crate) until: Duration,
    /// How long it is used next time.
    pub(crate) turn: Duration,
}

impl Fallback {
    pub(crate) fn new(held: Held, now: Duration) -> Self {
        Self { held, until: now + secs(60), turn: secs(10) }
    }
}

impl Held {
    pub(crate) fn id(&self) -> u64 {
        self.token.id()
    }

    pub(crate) fn secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// `lived`: if its secret came before, for how long it has been known. `chance` is 0 or 1.
    pub(crate) fn new(
        token: &Token,
        lived: Option<Duration>,
        chance: u32,
        asked_at: Duration,
        now: Duration,
    ) -> Self {
        let age = token.age().unwrap_or(now - asked_at);
        let unsaid = lived.unwrap_or_default().max(secs(300));
        let lifetime = token.lifetime().unwrap_or(unsaid);
        let margin = (lifetime / 10).clamp(secs(1), secs(30)).min(lifetime / 2);
        // All of these count from its birth.
        let end = (lifetime - margin).max(age + secs(1));
        let due = end * 4 / 5;
        let refresh = match () {
            () if lifetime <= age + secs(1) => end,
            () if due <= age => (age + secs(1)).max(age + (end - age) * 4 / 5),
            () => (due - due / 10 * chance).max(age + secs(1).min((end - age) / 2)),
        };
        let born_at = now - age;
        Self {
            token: token.clone(),
            born_at,
            refresh_at: born_at + refresh.min(end),
            usable_until: born_at + end,
        }
    }

    /// It came again, as `new`.
    pub(crate) fn again(&self, new: &Self, now: Duration) -> Self {
        // The very same token says nothing new.
        let new_end = if new.id() == self.id() { self.usable_until } else { new.usable_until };
        let usable_until = self.usable_until.max(new_end);
        let wait = (usable_until.saturating_sub(now) * 4 / 5).max(secs(5));
        Self { refresh_at: usable_until.min(now + wait), usable_until, ..self.clone() }
    }
}
