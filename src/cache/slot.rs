//! What a cache holds, as a pure state machine: which token is used, what a rejection does to it,
//! and what a fetch brings. It waits for nothing and starts nothing.
//!
//! The newest token is used. For a minute the one before stays as its fallback, since servers may
//! not accept a new token at once. A rejected token is given up only for another one: it is
//! *suspended* while its replacement is fetched, for as long as the patience lasts.

use std::{sync::Arc, time::Duration};

use super::{
    clock::Clock,
    pauses::Pauses,
    policy::{Deadlines, SECOND},
};
use crate::{
    error::{Error, ErrorKind},
    fetch::{RefreshReason, TokenRequest},
    token::Token,
};

/// How long a token that came anew can fall back on the one before.
const MINUTE: Duration = Duration::from_secs(60);

/// For how long the fallback is used at first, until the newest token is tried again. Twice as long
/// each time.
const TRIAL: Duration = Duration::from_secs(10);

/// How long requests wait for the replacement of a rejected token, in all, until a token comes. A
/// token endpoint that hangs must not stop everybody who has a token that others may accept.
const PATIENCE: Duration = Duration::from_secs(5);

/// A token and its deadlines.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) deadlines: Deadlines,
}

struct Newest {
    held: Held,
    /// It was rejected, and not tried again since.
    is_bad: bool,
}

struct Fallback {
    held: Held,
    /// It is used in place of the newest.
    is_used: bool,
    /// Until then it is used, or kept.
    until: Duration,
    /// For how long it is used when the newest is rejected next.
    trial: Duration,
}

/// What a look at the slot finds.
pub(super) enum Look {
    /// Use it.
    Fresh(Held),
    /// Use it, and refresh it if nobody does and no failure forbids it.
    Stale(Held),
    /// There is nothing to use.
    Nothing,
}

/// What a rejection comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The rejected token is not the one that is used, or is not any more: go on with what there is.
    Superseded,
    /// The token stays in use, and nothing is fetched.
    Ignored,
    /// The token stays in use while another one is fetched.
    Refresh,
    /// The token is not used while another one is fetched.
    Suspended,
}

pub(super) struct Slot {
    clock: Arc<dyn Clock>,
    newest: Option<Newest>,
    fallback: Option<Fallback>,
    suspended_at: Option<Duration>,
    /// What is left of it.
    patience: Duration,
    pub(super) pauses: Pauses,
    /// When the last token came, and when a token was last rejected.
    landed_at: Option<Duration>,
    rejected_at: Option<Duration>,
}

impl Slot {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            newest: None,
            fallback: None,
            suspended_at: None,
            patience: PATIENCE,
            pauses: Pauses::new(),
            landed_at: None,
            rejected_at: None,
        }
    }

    /// A slot that holds this token for ever.
    pub(super) fn fixed(clock: Arc<dyn Clock>, token: Token) -> Self {
        let held = Held { token, deadlines: Deadlines::NEVER };
        let mut slot = Self::new(clock);
        slot.newest = Some(Newest { held, is_bad: false });
        slot.pauses.pause_until = Duration::MAX;
        slot
    }

    /// Brings the state up to this moment: ends what time ends. Comes first, whatever is asked.
    pub(super) fn settle(&mut self, now: Duration) {
        if self.suspended_at.is_some_and(|at| now.saturating_sub(at) >= self.patience) {
            self.release(now);
        }
        let Some(fallback) = &mut self.fallback else { return };
        let has_ended = now >= fallback.held.deadlines.usable_until;
        if (has_ended || now >= fallback.until) && fallback.is_used {
            // The newest token is tried again.
            fallback.is_used = false;
            fallback.until = now.saturating_add(MINUTE);
            fallback.trial *= 2;
            if let Some(newest) = &mut self.newest {
                newest.is_bad = false;
            }
        } else if now >= fallback.until {
            self.fallback = None;
        }
        if has_ended {
            self.fallback = None;
        }
    }

    pub(super) fn look(&mut self, now: Duration) -> Look {
        self.settle(now);
        match self.used() {
            Some(held) if now < held.deadlines.refresh_at => Look::Fresh(held),
            Some(held) if now >= held.deadlines.usable_until => Look::Nothing,
            // A fallback is fresh too, as long as the newest token is not due.
            Some(held) if !self.is_due(now) => Look::Fresh(held),
            Some(held) => Look::Stale(held),
            None => Look::Nothing,
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        self.newest.as_ref().is_none_or(|newest| now >= newest.held.deadlines.refresh_at)
    }

    /// The token that is used, with the deadlines for whoever uses it: whether it is usable or not,
    /// but not if it is suspended.
    fn used(&self) -> Option<Held> {
        let newest = self.newest.as_ref().filter(|_| self.suspended_at.is_none())?;
        match &self.fallback {
            Some(fallback) if fallback.is_used => {
                let mut held = fallback.held.clone();
                // Then it is time to look again: for a trial, the end, or a refresh.
                held.deadlines.refresh_at = fallback
                    .until
                    .min(held.deadlines.usable_until)
                    .min(newest.held.deadlines.refresh_at);
                Some(held)
            }
            _ => Some(newest.held.clone()),
        }
    }

    /// The newest token, with its deadlines, whether it is used or not.
    pub(super) fn newest(&self) -> Option<&Held> {
        self.newest.as_ref().map(|newest| &newest.held)
    }

    /// The token `id`, if it is the one that is used.
    pub(super) fn in_use(&mut self, id: u64, now: Duration) -> Option<Held> {
        self.settle(now);
        self.used().filter(|held| held.token.id() == id)
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// For how long the suspension goes on, if nothing comes.
    pub(super) fn suspended_for(&self, now: Duration) -> Duration {
        let since = self.suspended_at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.patience.saturating_sub(since)
    }

    pub(super) fn landed_at(&self) -> Option<Duration> {
        self.landed_at
    }

    pub(super) fn rejected_at(&self) -> Option<Duration> {
        self.rejected_at
    }

    /// The request for a token, or why none may be made now. `wanted` is the reason, unless the age
    /// of what is held says it.
    pub(super) fn request(
        &self,
        wanted: Option<RefreshReason>,
        now: Duration,
    ) -> Result<TokenRequest, Error> {
        if let Some(error) = self.pauses.cooldown(now).filter(|_| wanted.is_none()) {
            return Err(error.clone());
        }
        let reason = match (wanted, self.newest()) {
            (Some(reason), _) => reason,
            (None, None) => RefreshReason::Cold,
            (None, Some(_)) if self.is_suspended() => RefreshReason::Rejected,
            (None, Some(_)) => match self.used() {
                Some(held) if now < held.deadlines.usable_until => RefreshReason::Stale,
                _ => RefreshReason::Expired,
            },
        };
        let mut request = TokenRequest::new(reason);
        request.previous = self.newest().map(|held| held.token.clone());
        Ok(request)
    }

    /// How long ago the held token was asked for, if this is its secret again.
    pub(super) fn lived(&self, token: &Token, now: Duration) -> Option<Duration> {
        let held = self.newest().filter(|held| held.token.has_secret_of(token))?;
        Some(now.saturating_sub(held.deadlines.born_at))
    }

    /// A fetch brought `token`. Gives what is used now, and whether refreshes that begin with
    /// rejections come too fast. `jitter` is from 0 to 1.
    pub(super) fn land(
        &mut self,
        token: Token,
        deadlines: Deadlines,
        by_rejection: bool,
        now: Duration,
        jitter: f64,
    ) -> Result<(Held, bool), Error> {
        self.settle(now);
        token.header_value()?;
        let was_suspended = self.is_suspended();
        let mut too_fast = false;
        let newest = self.newest.take();
        let fallback = self.fallback.take();
        match newest {
            Some(newest) if newest.held.token.has_secret_of(&token) => {
                let is_same = newest.held.token.id() == token.id();
                let rejected = newest.is_bad && (by_rejection || was_suspended);
                let ended = is_same && now >= newest.held.deadlines.usable_until;
                if rejected || ended {
                    (self.newest, self.fallback) = (Some(newest), fallback);
                    let why = if rejected {
                        "it is the token that the resource server rejected"
                    } else {
                        "it is the token that was to be replaced, and that has ended"
                    };
                    return Err(Error::new(ErrorKind::InvalidResponse).with_description(why));
                }
                // The very same token says nothing new.
                let deadlines = if is_same { newest.held.deadlines } else { deadlines };
                let held = newest.held.again(deadlines, now);
                self.newest = Some(Newest { held, ..newest });
                self.fallback = fallback;
            }
            newest => {
                if by_rejection && newest.is_some() {
                    too_fast = self.pauses.refreshed(now, jitter);
                }
                let good = |held: &Held| now < held.deadlines.usable_until;
                let (mut held, mut older) = (Held { token, deadlines }, fallback);
                // The fallback came again: it is the newest now, and stays the token that it was.
                if let Some(same) =
                    older.take_if(|older| older.held.token.has_secret_of(&held.token))
                {
                    held = same.held.again(held.deadlines, now);
                }
                let before = newest.filter(|newest| {
                    !newest.is_bad && !by_rejection && !was_suspended && good(&newest.held)
                });
                let before = before.map(|newest| newest.held);
                let before = before.or(older.map(|older| older.held).filter(good));
                self.newest = Some(Newest { held, is_bad: false });
                self.fallback = before.map(|held| Fallback {
                    held,
                    is_used: false,
                    until: now.saturating_add(MINUTE),
                    trial: TRIAL,
                });
            }
        }
        self.suspended_at = None;
        self.patience = PATIENCE;
        self.pauses.succeeded();
        self.landed_at = Some(now);
        let used = self.used().ok_or_else(|| Error::new(ErrorKind::InvalidResponse))?;
        Ok((used, too_fast))
    }

    /// A fetch that was started at `started_at` failed. Gives the error as everybody gets it.
    pub(super) fn fail(
        &mut self,
        error: &Error,
        started_at: Duration,
        now: Duration,
        jitter: f64,
    ) -> Error {
        self.release(now);
        self.pauses.failed(error, &self.clock, started_at, now, jitter)
    }

    /// The resource server rejected the token `id`. Whether a flight `is_up`, or one `can_begin`,
    /// says whether the token can be suspended.
    pub(super) fn reject(
        &mut self,
        id: u64,
        is_up: bool,
        can_begin: bool,
        now: Duration,
    ) -> Verdict {
        self.settle(now);
        self.rejected_at = Some(now);
        // A fallback that is rejected is gone. If it was used, the newest token, which was rejected
        // before, counts as rejected now.
        let fallback = self.fallback.take_if(|fallback| fallback.held.token.id() == id);
        let Some(newest) = &mut self.newest else { return Verdict::Superseded };
        match fallback {
            Some(fallback) if fallback.is_used => {}
            None if newest.held.token.id() == id => {}
            _ => return Verdict::Superseded,
        }
        if self.suspended_at.is_some() {
            return Verdict::Suspended;
        }
        if now >= newest.held.deadlines.usable_until {
            return Verdict::Superseded;
        }
        newest.is_bad = true;
        if let Some(fallback) = &mut self.fallback {
            if !fallback.is_used {
                fallback.is_used = true;
                fallback.until = now.saturating_add(fallback.trial);
            }
            return Verdict::Superseded;
        }
        if !is_up && (self.pauses.ignores_rejections(now) || !can_begin) {
            return Verdict::Ignored;
        }
        if self.patience.is_zero() {
            return Verdict::Refresh;
        }
        self.suspended_at = Some(now);
        Verdict::Suspended
    }

    /// Drops the fallback, if the newest token or the fallback is the token `id`: what is revoked
    /// is not just not accepted yet.
    pub(super) fn drop_fallback(&mut self, id: u64, now: Duration) {
        self.settle(now);
        if self.newest().is_some_and(|held| held.token.id() == id) {
            self.fallback = None;
        }
    }

    /// Ends the suspension, and lets none follow until a token comes.
    pub(super) fn give_patience_up(&mut self) {
        if self.suspended_at.take().is_some() {
            self.patience = Duration::ZERO;
        }
    }

    /// Ends the suspension: the token is used until its deadline.
    pub(super) fn release(&mut self, now: Duration) {
        if let Some(at) = self.suspended_at.take() {
            self.patience = self.patience.saturating_sub(now.saturating_sub(at));
        }
    }
}

/// A token as old as it is now, so that a cache behind a cache does not take it for a new one.
pub(super) fn aged(token: &Token, born_at: Duration, now: Duration) -> Token {
    let token = token.clone();
    // One that was given, and not fetched, keeps the age that it was given.
    if born_at == Duration::MAX { token } else { token.with_age(now.saturating_sub(born_at)) }
}

impl Held {
    pub(super) fn token_at(&self, now: Duration) -> Token {
        aged(&self.token, self.deadlines.born_at, now)
    }

    /// The same secret came again, with these deadlines. The token stays the one that it was: a late
    /// rejection must find it. To ask again at once would bring the same.
    fn again(&self, new: Deadlines, now: Duration) -> Self {
        let mut deadlines = self.deadlines;
        deadlines.usable_until = deadlines.usable_until.max(new.usable_until);
        deadlines.expires_at = deadlines.expires_at.max(new.expires_at);
        let left = deadlines.usable_until.saturating_sub(now);
        let next = now.saturating_add((left * 4 / 5).max(5 * SECOND));
        deadlines.refresh_at = next.min(deadlines.usable_until);
        Self { token: self.token.clone(), deadlines }
    }
}
