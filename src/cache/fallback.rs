//! The token before the newest one: used in its place while that is not accepted yet, as with
//! servers that replicate, and clocks that differ.

use std::{sync::Arc, time::Duration};

use super::held::Held;

/// How long it is kept after the newest token came, or was tried again.
const KEPT: Duration = Duration::from_secs(60);

/// For how long it is used at first, until the newest token is tried again; twice as long each time.
const USED: Duration = Duration::from_secs(10);

pub(super) struct Fallback {
    pub(super) held: Arc<Held>,
    /// It is used in place of the newest.
    pub(super) is_used: bool,
    /// Until then it is used, or kept.
    until: Duration,
    /// For how long it is used next time.
    next: Duration,
}

/// What time does to a fallback.
#[derive(PartialEq)]
pub(super) enum Settled {
    Stays,
    /// The newest token is tried again, and this one is kept.
    Tries,
    /// It is over, and the newest token is tried again if this one was used.
    Ends,
}

impl Fallback {
    pub(super) fn new(held: Arc<Held>, now: Duration) -> Self {
        Self { held, is_used: false, until: now.saturating_add(KEPT), next: USED }
    }

    pub(super) fn settle(&mut self, now: Duration) -> Settled {
        if !self.held.is_usable(now) || (now >= self.until && !self.is_used) {
            return Settled::Ends;
        }
        if now < self.until {
            return Settled::Stays;
        }
        self.is_used = false;
        self.until = now.saturating_add(KEPT);
        Settled::Tries
    }

    /// The newest token was rejected. It may have been sent before this one was used.
    pub(super) fn fall_back(&mut self, now: Duration) {
        if !self.is_used {
            self.is_used = true;
            self.until = now.saturating_add(self.next);
            self.next *= 2;
        }
    }

    /// With the deadlines for whoever uses it: it is time to look again for a trial, the end, or the
    /// refresh of the newest token.
    pub(super) fn used(&self, newest: &Held) -> Held {
        let mut held = Held::clone(&self.held);
        let deadlines = &mut held.deadlines;
        deadlines.refresh_at =
            self.until.min(deadlines.usable_until).min(newest.deadlines.refresh_at);
        held
    }
}
