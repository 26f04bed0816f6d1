//! What keeps a cache from fetching: the cooldown after a failure, and the pause after a refresh
//! that a rejection led to. Numbers only: it knows no token.

use std::{sync::Arc, time::Duration};

use super::{clock::Clock, policy::SECOND};
use crate::error::{Error, TimeLeft};

const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);

/// How long after a refresh that a rejection led to another rejection is ignored: a resource that
/// rejects every token must not become a token request per request. As much again is added by
/// chance, so that two processes that reject each other's tokens do not do so in step.
const PAUSES: [Duration; 4] =
    [SECOND, Duration::from_secs(4), Duration::from_secs(16), Duration::from_secs(60)];

pub(super) struct Pauses {
    /// The last failure, until a fetch succeeds.
    failure: Option<Failure>,
    /// How many refreshes in a row, none five minutes after the one before, began with a rejection
    /// and got another token; and when the last one did.
    refreshes: usize,
    refreshed_at: Duration,
    /// Until then another rejection is ignored.
    pub(super) pause_until: Duration,
}

pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) at: Duration,
    /// In a row.
    pub(super) count: u32,
    /// How many of them, the last ones, were alike in being denied or transient.
    alike: u32,
    /// Until then none is started.
    cooldown_until: Duration,
}

impl Pauses {
    pub(super) const fn new() -> Self {
        Self {
            failure: None,
            refreshes: 0,
            refreshed_at: Duration::ZERO,
            pause_until: Duration::ZERO,
        }
    }

    /// The last failure, if no fetch has succeeded since.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The error of the last fetch, while it keeps the next one from being started.
    pub(super) fn cooldown(&self, now: Duration) -> Option<&Error> {
        self.failure.as_ref().filter(|failure| now < failure.cooldown_until).map(|it| &it.error)
    }

    /// Whether a rejection is ignored, for one reason or the other.
    pub(super) fn ignores_rejections(&self, now: Duration) -> bool {
        now < self.pause_until || self.cooldown(now).is_some()
    }

    /// A fetch that was started at `started_at` failed; `None` if the next one need not wait, unless
    /// the endpoint asked for that. Gives the error as everybody gets it: it counts down until the
    /// next attempt. `jitter` is from 0 to 1.
    pub(super) fn failed(
        &mut self,
        error: &Error,
        clock: &Arc<dyn Clock>,
        started_at: Option<Duration>,
        now: Duration,
        jitter: f64,
    ) -> Error {
        let is_denied = !error.is_transient();
        // An outage says nothing about the denial after it.
        let (count, alike) = match &self.failure {
            Some(last) if last.error.is_transient() != is_denied => (last.count, last.alike),
            Some(last) => (last.count, 0),
            None => (0, 0),
        };
        let asked = error.asked_to_wait();
        let until = match started_at {
            // A fetch that hung for long has waited already.
            Some(at) => at
                .saturating_add(back_off(is_denied, alike, jitter))
                .max(now.saturating_add(asked.max(SECOND / 2))),
            None => now.saturating_add(asked),
        };
        let clock = Arc::clone(clock);
        let left: TimeLeft = Arc::new(move || until.saturating_sub(clock.now()));
        let error = error.with_time_left(left);
        self.failure = Some(Failure {
            error: error.clone(),
            at: now,
            count: count.saturating_add(1),
            alike: alike.saturating_add(u32::from(started_at.is_some())),
            cooldown_until: until,
        });
        error
    }

    /// A fetch got a token.
    pub(super) fn succeeded(&mut self) {
        self.failure = None;
    }

    /// A refresh that began with a rejection got another token.
    pub(super) fn refreshed(&mut self, now: Duration, jitter: f64) {
        if now.saturating_sub(self.refreshed_at) >= FIVE_MINUTES {
            self.refreshes = 0;
        }
        let pause = PAUSES[self.refreshes.min(PAUSES.len() - 1)];
        self.refreshes += 1;
        self.refreshed_at = now;
        self.pause_until = now.saturating_add(pause + pause.mul_f64(jitter));
    }

    /// Whether that was one so soon after others that somebody should know.
    pub(super) fn are_too_fast(&self) -> bool {
        self.refreshes == PAUSES.len()
    }
}

/// Exponential, with equal jitter: from half of it to all of it. `before` is how many there were.
///
/// A denial waits longer since it takes somebody to change something, but it starts as short: a
/// client that is being registered right now works within the minute.
fn back_off(is_denied: bool, before: u32, jitter: f64) -> Duration {
    let (factor, longest) = if is_denied { (4u32, FIVE_MINUTES) } else { (2, 30 * SECOND) };
    let full = (SECOND * factor.saturating_pow(before.min(15))).min(longest);
    full / 2 + (full / 2).mul_f64(jitter)
}
