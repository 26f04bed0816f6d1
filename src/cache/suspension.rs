//! How long requests wait for the replacement of a rejected token.

use std::time::Duration;

/// In all, until a token comes. A token endpoint that hangs must not stop everybody who has a token
/// that others may accept.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Suspension {
    since: Option<Duration>,
    /// What is left for it, from its begin.
    patience: Duration,
}

impl Suspension {
    pub(super) const fn new() -> Self {
        Self { since: None, patience: PATIENCE }
    }

    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// False if no patience is left.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        if !self.is_on() && !self.patience.is_zero() {
            self.since = Some(now);
        }
        self.is_on()
    }

    /// For how long it goes on, if no token comes.
    pub(super) fn left(&self, now: Duration) -> Duration {
        let so_far = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.patience.saturating_sub(so_far)
    }

    pub(super) fn settle(&mut self, now: Duration) {
        if self.is_on() && self.left(now).is_zero() {
            self.end(now);
        }
    }

    /// Ends it without a token.
    pub(super) fn end(&mut self, now: Duration) {
        self.patience = self.left(now);
        self.since = None;
    }

    /// Ends it, and lets none follow until a token comes.
    pub(super) fn give_up(&mut self) {
        if self.since.take().is_some() {
            self.patience = Duration::ZERO;
        }
    }
}
