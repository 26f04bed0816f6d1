//! What fetches do to a model.

use std::{mem, time::Duration};

use tokio::time::Instant;
use tower_oauth::{RefreshReason, Token, TokenRequest};

use crate::{
    held::{Fallback, Held},
    model::Model,
    support::{ms, secs},
};

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) number: usize,
    pub(crate) reason: RefreshReason,
    pub(crate) previous: Option<u64>,
    pub(crate) began_at: Duration,
    pub(crate) timeout_at: Instant,
    pub(crate) is_asked: bool,
    /// When those who wait because the token is suspended stop waiting for it.
    pub(crate) suspended_until: Option<Instant>,
    /// When it ended without a result, of which the cache may not have heard yet.
    pub(crate) dropped_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) is_denied: bool,
    pub(crate) count: u32,
    pub(crate) alike: u32,
    pub(crate) cooldown_until: Duration,
}

impl Model {
    pub(crate) fn is_in_cooldown(&self, now: Duration) -> bool {
        self.failure.is_some_and(|failure| now < failure.cooldown_until)
    }

    pub(crate) fn begin(&mut self, reason: RefreshReason, now: Duration) {
        self.check(self.flight.is_none(), || format!("{reason:?}: a flight is up"));
        self.flights += 1;
        self.flight = Some(Flight {
            number: self.flights,
            reason,
            previous: self.newest.as_ref().map(|held| held.id()),
            began_at: now,
            timeout_at: Instant::now() + secs(30),
            is_asked: false,
            suspended_until: None,
            dropped_at: None,
        });
    }

    /// The fetcher is called. Gives the number of the flight.
    pub(crate) fn asked(&mut self, request: &TokenRequest, now: Duration) -> usize {
        self.settle(now);
        let previous = request.previous.as_ref().map(|token| token.id());
        let reason = request.reason;
        let Some(flight) = self.flight.as_mut().filter(|flight| !flight.is_asked) else {
            self.check(false, || format!("{reason:?}: there is no reason to ask at {now:?}"));
            return 0;
        };
        flight.is_asked = true;
        let (number, expected) = (flight.number, (flight.reason, flight.previous));
        let is_right = expected == (reason, previous);
        self.check(is_right, || format!("{reason:?}, {previous:?} in place of {expected:?}"));
        number
    }

    /// A fetch was dropped without a result.
    pub(crate) fn dropped(&mut self, number: usize, now: Duration) {
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.number == number) {
            flight.dropped_at = Some(now);
        }
    }

    /// A fetch that ended without a result has failed when the cache says so, which is in the same
    /// moment, but not in the same poll.
    pub(crate) fn end_dropped(&mut self, is_fetching: impl FnOnce() -> bool, now: Duration) {
        let Some(flight) = &self.flight else { return };
        let may_have_ended = flight.dropped_at.is_some() || Instant::now() >= flight.timeout_at;
        if may_have_ended && !is_fetching() {
            let now = flight.dropped_at.unwrap_or(now);
            self.failed(false, Duration::ZERO, now);
        }
    }

    pub(crate) fn failed(&mut self, is_denied: bool, retry_after: Duration, now: Duration) {
        self.settle(now);
        let Some(flight) = self.flight.take() else { return };
        let chosen = match &self.fallback {
            Some(fallback) if self.is_bad => Some(&fallback.held),
            _ => self.newest.as_ref(),
        };
        // Whoever is left with nothing begins another one.
        let at_once = flight.reason == RefreshReason::Stale
            && chosen.is_some_and(|held| now >= held.usable_until);
        if !at_once {
            self.end_suspension(now);
        }
        // An outage says nothing about the denial after it.
        let before = self.failure;
        let alike = before.filter(|it| it.is_denied == is_denied).map_or(0, |it| it.alike);
        let (factor, longest) = if is_denied { (4u32, 300) } else { (2, 30) };
        let full = secs(u64::from(factor.pow(alike.min(8)).min(longest)));
        let back_off = flight.began_at + full / 2 * (1 + self.chance);
        let cooldown_until = match at_once {
            true => now + retry_after.min(secs(300)),
            false => back_off.max(now + retry_after.clamp(ms(500), secs(300))),
        };
        self.failure = Some(Failure {
            is_denied,
            count: before.map_or(0, |it| it.count) + 1,
            alike: alike + u32::from(!at_once),
            cooldown_until,
        });
    }

    /// The fetch brought this.
    pub(crate) fn landed(&mut self, token: &Token, now: Duration) {
        self.settle(now);
        let Some(flight) = &self.flight else { return };
        let (by_rejection, began_at) = (flight.reason == RefreshReason::Rejected, flight.began_at);
        let is_suspended = self.suspended_since.is_some();
        let secret = token.expose_secret();
        let same = self.newest.as_ref().filter(|newest| newest.secret() == secret);
        let is_rejected_since = is_suspended
            || (self.is_bad
                && self.fallback.is_none()
                && self.rejected_at.is_some_and(|at| at > began_at));
        if same.is_some() && !by_rejection && is_rejected_since {
            self.flight = None;
            if !self.is_in_cooldown(now) {
                self.begin(RefreshReason::Rejected, now);
            }
            return;
        }
        let lived = same.map(|same| now - same.born_at);
        let new = Held::new(token, lived, self.chance, began_at, now);
        if let Some(same) = same {
            let is_dead = same.id() == token.id() && now >= same.usable_until;
            if is_dead || (self.is_bad && (by_rejection || is_suspended)) {
                return self.failed(false, Duration::ZERO, now);
            }
            self.newest = Some(same.again(&new, now));
        } else {
            if by_rejection {
                self.pause(now);
            }
            let mut kept = self.fallback.take().map(|fallback| fallback.held);
            let again = kept.take_if(|kept| kept.secret() == secret);
            let newest = again.map_or_else(|| new.clone(), |again| again.again(&new, now));
            let before = self.newest.replace(newest);
            let is_good = !mem::take(&mut self.is_bad) && !by_rejection && !is_suspended;
            let before = before.filter(|before| is_good && now < before.usable_until);
            self.fallback = before.or(kept).map(|held| Fallback::new(held, now));
        }
        self.flight = None;
        self.failure = None;
        (self.suspended_since, self.patience) = (None, secs(5));
        self.landed_at = Some(now);
    }

    fn pause(&mut self, now: Duration) {
        if now - self.refreshed_at >= secs(300) {
            self.refreshes = 0;
        }
        let pause = secs([1, 4, 16, 60][self.refreshes.min(3)]);
        self.refreshes += 1;
        self.refreshed_at = now;
        self.pause_until = now + pause * (1 + self.chance);
    }
}
