//! The rules of `docs::rules`, a second time: what a cache may do, by what has happened to it.

use std::{mem, time::Duration};

use tower_oauth::{
    RefreshReason,
    cache::{CacheStatus, TokenState},
};

use crate::{
    fetches::{Failure, Flight},
    held::{Fallback, Held},
    requests::Wait,
    support::secs,
};

/// What a rejection comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Go on with what there is, or is to come.
    Another,
    /// Nothing comes of it.
    Ignored,
    /// Another token is fetched, and nobody waits for it.
    Fetched,
    /// Another token is fetched, and everybody waits for it.
    Suspended,
}

pub(crate) struct Model {
    pub(crate) name: char,
    /// 0 or 1.
    pub(crate) chance: u32,
    pub(crate) newest: Option<Held>,
    /// The newest token was rejected, and not tried again since.
    pub(crate) is_bad: bool,
    /// It is used while the newest one is bad.
    pub(crate) fallback: Option<Fallback>,
    pub(crate) suspended_since: Option<Duration>,
    pub(crate) patience: Duration,
    pub(crate) flight: Option<Flight>,
    pub(crate) flights: usize,
    pub(crate) failure: Option<Failure>,
    /// Those that began with a rejection and brought another token.
    pub(crate) refreshes: usize,
    pub(crate) refreshed_at: Duration,
    pub(crate) pause_until: Duration,
    pub(crate) rejected_at: Option<Duration>,
    pub(crate) landed_at: Option<Duration>,
    pub(crate) violations: Vec<String>,
}

impl Model {
    pub(crate) fn new(name: char, chance: u32) -> Self {
        Self {
            name,
            chance,
            newest: None,
            is_bad: false,
            fallback: None,
            suspended_since: None,
            patience: secs(5),
            flight: None,
            flights: 0,
            failure: None,
            refreshes: 0,
            refreshed_at: Duration::ZERO,
            pause_until: Duration::ZERO,
            rejected_at: None,
            landed_at: None,
            violations: Vec::new(),
        }
    }

    pub(crate) fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.violations.push(format!("{}: {}", self.name, what()));
        }
    }

    /// What time alone does. Comes first, whatever happens.
    pub(crate) fn settle(&mut self, now: Duration) {
        let is_late = |flight: &Flight| !flight.is_asked && flight.began_at < now;
        let forgotten = self.flight.as_ref().is_some_and(is_late);
        self.check(!forgotten, || "a flight began, and the fetcher was not called".to_owned());
        if self.suspended_since.is_some_and(|since| now >= since + self.patience) {
            self.end_suspension(now);
        }
        let Some(fallback) = &mut self.fallback else { return };
        let has_ended = now >= fallback.held.usable_until;
        let is_due = now >= fallback.until;
        if has_ended || (is_due && !self.is_bad) {
            self.fallback = None;
        } else if is_due {
            fallback.until = now + secs(60);
        }
        if has_ended || is_due {
            self.is_bad = false;
        }
    }

    pub(crate) fn end_suspension(&mut self, now: Duration) {
        if let Some(since) = self.suspended_since.take() {
            self.patience = self.patience.saturating_sub(now - since);
        }
    }

    /// The token that is used, usable or not.
    fn used(&self) -> Option<&Held> {
        match &self.fallback {
            _ if self.suspended_since.is_some() => None,
            Some(fallback) if self.is_bad => Some(&fallback.held),
            _ => self.newest.as_ref(),
        }
    }

    pub(crate) fn usable(&self, now: Duration) -> Option<&Held> {
        self.used().filter(|held| now < held.usable_until)
    }

    /// The token `id` was rejected.
    pub(crate) fn rejected(&mut self, id: u64, now: Duration) -> Verdict {
        self.settle(now);
        let is_usable = self.newest.as_ref().is_some_and(|newest| now < newest.usable_until);
        let is_newest = self.newest.as_ref().is_some_and(|newest| newest.id() == id);
        let fallback = self.fallback.take_if(|fallback| fallback.held.id() == id);
        let was_used = fallback.is_some() && self.is_bad;
        if !is_usable || !(is_newest || was_used) {
            return Verdict::Another;
        }
        self.rejected_at = Some(now);
        let was_bad = mem::replace(&mut self.is_bad, true);
        if let Some(fallback) = &mut self.fallback {
            if !was_bad {
                fallback.until = now + fallback.turn;
                fallback.turn *= 2;
            }
            return Verdict::Another;
        }
        if self.flight.is_none() && self.is_quiet(now) {
            return Verdict::Ignored;
        }
        if self.suspended_since.is_none() && !self.patience.is_zero() {
            self.suspended_since = Some(now);
        }
        if self.suspended_since.is_some() {
            return Verdict::Suspended;
        }
        if self.flight.is_none() {
            self.begin(RefreshReason::Rejected, now);
        }
        Verdict::Fetched
    }

    /// Whether rejections begin no fetch.
    fn is_quiet(&self, now: Duration) -> bool {
        now < self.pause_until || self.is_in_cooldown(now)
    }

    /// The token `id` was revoked, and something came of it, or not.
    pub(crate) fn invalidated(&mut self, id: u64, something_came: bool, now: Duration) {
        self.settle(now);
        let is_newest = self.newest.as_ref().is_some_and(|newest| newest.id() == id);
        // Where nothing can be fetched now, the one before is better than what is revoked.
        if is_newest && (self.flight.is_some() || !self.is_quiet(now)) {
            self.fallback = None;
        }
        let verdict = self.rejected(id, now);
        let expected = matches!(verdict, Verdict::Fetched | Verdict::Suspended);
        self.check(something_came == expected, || format!("invalidate: {verdict:?} at {now:?}"));
        if verdict == Verdict::Suspended {
            self.wait(&mut Wait::default(), now);
        }
    }

    /// What the cache says about itself.
    pub(crate) fn compare(&mut self, status: &CacheStatus, now: Duration) {
        self.settle(now);
        let newest = self.newest.as_ref();
        let is_due = newest.is_some_and(|newest| now >= newest.refresh_at);
        let state = match self.usable(now) {
            Some(_) if is_due => TokenState::Stale,
            Some(_) => TokenState::Fresh,
            None if self.suspended_since.is_some() => TokenState::Suspended,
            None if newest.is_some() => TokenState::Expired,
            None => TokenState::Empty,
        };
        let left = |until: fn(&Held) -> Duration| newest.map(|it| until(it).saturating_sub(now));
        let expected = (
            state,
            left(|held| held.refresh_at),
            left(|held| held.usable_until),
            self.flight.is_some(),
            self.failure.map_or(0, |failure| failure.count),
        );
        let said =
            (status.state, status.refresh_in, status.usable_for, status.fetching, status.failures);
        self.check(said == expected, || format!("{said:?} in place of {expected:?} at {now:?}"));
    }
}
