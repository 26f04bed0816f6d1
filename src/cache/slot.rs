//! What a cache holds, as a pure state machine: which token is used, what a rejection does to it,
//! and what a fetch brings. It waits for nothing and starts nothing.
//!
//! The newest token is used, or for a while the one before it. A rejected token is given up only for
//! another one: it is *suspended* while its replacement is fetched, for as long as the patience
//! lasts.

use std::{sync::Arc, time::Duration};

use super::{
    clock::Clock,
    fallback::{Fallback, Settled},
    held::Held,
    pauses::Pauses,
    policy::Deadlines,
    suspension::Suspension,
};
use crate::{
    error::{Error, ErrorKind},
    fetch::{RefreshReason, TokenRequest},
    token::Token,
};

/// What a look at the slot finds.
pub(super) enum Look {
    /// Use it.
    Fresh(Arc<Held>),
    /// Use it, and refresh it if nobody does and no failure forbids it.
    Stale(Arc<Held>),
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
    newest: Option<Arc<Held>>,
    /// The newest token was rejected, and not tried again since.
    is_bad: bool,
    fallback: Option<Fallback>,
    pub(super) suspension: Suspension,
    pub(super) pauses: Pauses,
    pub(super) landed_at: Option<Duration>,
    pub(super) rejected_at: Option<Duration>,
}

impl Slot {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            newest: None,
            is_bad: false,
            fallback: None,
            suspension: Suspension::new(),
            pauses: Pauses::new(),
            landed_at: None,
            rejected_at: None,
        }
    }

    /// A slot that holds this token for ever.
    pub(super) fn fixed(clock: Arc<dyn Clock>, token: Token) -> Self {
        let mut slot = Self::new(clock);
        slot.newest = Some(Arc::new(Held { token, deadlines: Deadlines::NEVER }));
        slot.pauses.pause_until = Duration::MAX;
        // It has just come, at any time.
        slot.landed_at = Some(Duration::MAX);
        slot
    }

    /// Ends what time has ended. Comes first, whatever is asked.
    pub(super) fn settle(&mut self, now: Duration) {
        self.suspension.settle(now);
        let Some(fallback) = &mut self.fallback else { return };
        let was_used = fallback.is_used;
        let settled = fallback.settle(now);
        if settled == Settled::Ends {
            self.fallback = None;
        }
        // The newest token is tried again, as if it had never been rejected.
        self.is_bad &= settled == Settled::Stays || !was_used;
    }

    pub(super) fn look(&mut self, now: Duration) -> Look {
        self.settle(now);
        match self.used() {
            Some(held) if !held.is_usable(now) => Look::Nothing,
            // The newest token says when a refresh is due, even if the fallback is used.
            Some(held) if self.newest.as_ref().is_some_and(|it| now < it.deadlines.refresh_at) => {
                Look::Fresh(held)
            }
            Some(held) => Look::Stale(held),
            None => Look::Nothing,
        }
    }

    /// The token that is used, usable or not; none while it is suspended.
    fn used(&self) -> Option<Arc<Held>> {
        self.chosen().filter(|_| !self.suspension.is_on())
    }

    /// The token that is used unless it is suspended.
    fn chosen(&self) -> Option<Arc<Held>> {
        let newest = self.newest.as_ref()?;
        match &self.fallback {
            Some(fallback) if fallback.is_used => Some(Arc::new(fallback.used(newest))),
            _ => Some(Arc::clone(newest)),
        }
    }

    /// Which token is used, if any.
    pub(super) fn used_id(&self) -> Option<u64> {
        self.used().map(|held| held.token.id())
    }

    /// The newest token, used or not.
    pub(super) fn newest(&self) -> Option<&Held> {
        self.newest.as_deref()
    }

    /// The token `id`, if it is the one that is used, and can be.
    pub(super) fn in_use(&mut self, id: u64, now: Duration) -> Option<Arc<Held>> {
        self.settle(now);
        self.used().filter(|held| held.token.id() == id && held.is_usable(now))
    }

    /// The request for a token, or why none may be made now. It is made for the reason that is
    /// `wanted`, cooldown or not, or else for the one that what is held gives.
    pub(super) fn request(
        &self,
        wanted: Option<RefreshReason>,
        now: Duration,
    ) -> Result<TokenRequest, Error> {
        if let Some(error) = self.pauses.cooldown(now).filter(|_| wanted.is_none()) {
            return Err(error.clone());
        }
        let reason = match (wanted, self.used()) {
            (Some(reason), _) => reason,
            (None, _) if self.newest.is_none() => RefreshReason::Cold,
            (None, None) => RefreshReason::Rejected,
            (None, Some(held)) if held.is_usable(now) => RefreshReason::Stale,
            (None, Some(_)) => RefreshReason::Expired,
        };
        let mut request = TokenRequest::new(reason);
        request.previous = self.newest.as_ref().map(|held| held.token.clone());
        Ok(request)
    }

    /// How long ago the newest token was asked for, if this is its secret again.
    pub(super) fn lived(&self, token: &Token, now: Duration) -> Option<Duration> {
        let newest = self.newest.as_ref().filter(|held| held.token.has_secret_of(token))?;
        Some(newest.age(now))
    }

    /// A fetch got `token`. Gives what is used now. `jitter` is from 0 to 1.
    pub(super) fn land(
        &mut self,
        token: Token,
        deadlines: Deadlines,
        by_rejection: bool,
        now: Duration,
        jitter: f64,
    ) -> Result<Arc<Held>, Error> {
        self.settle(now);
        token.header_value()?;
        // What was there when the rejection came is not what those who wait need.
        let for_rejected = by_rejection || self.suspension.is_on();
        if self.lived(&token, now).is_some() {
            self.land_again(&token, deadlines, for_rejected, now)?;
        } else {
            if by_rejection {
                self.pauses.refreshed(now, jitter);
            }
            self.land_new(token, deadlines, for_rejected, now);
        }
        self.suspension = Suspension::new();
        self.pauses.succeeded();
        self.landed_at = Some(now);
        self.used().ok_or_else(|| Error::new(ErrorKind::InvalidResponse))
    }

    /// The newest token came again.
    fn land_again(
        &mut self,
        token: &Token,
        deadlines: Deadlines,
        for_rejected: bool,
        now: Duration,
    ) -> Result<(), Error> {
        let Some(newest) = &mut self.newest else { return Ok(()) };
        // Unless it comes from a cache behind this fetcher, to which it came again: then it is older by
        // now, and lives longer.
        let says_nothing = newest.token.id() == token.id()
            && (newest.token.age() == token.age() || newest.token.lifetime() == token.lifetime());
        let why = match () {
            () if self.is_bad && for_rejected => {
                "it is the token that the resource server rejected"
            }
            () if says_nothing && !newest.is_usable(now) => {
                "it is the token that was to be replaced, and that one has expired"
            }
            () => {
                // The very same token, and not another response with its secret, says nothing new.
                let deadlines = if says_nothing { newest.deadlines } else { deadlines };
                *newest = Arc::new(newest.again(deadlines, now));
                return Ok(());
            }
        };
        Err(Error::new(ErrorKind::InvalidResponse).with_description(why))
    }

    /// Another token takes over. The one before stays as its fallback, if nothing speaks against it.
    fn land_new(&mut self, token: Token, deadlines: Deadlines, for_rejected: bool, now: Duration) {
        let mut older = self.fallback.take().map(|fallback| fallback.held);
        // If it is the fallback that came again, it stays the token that it was.
        let again = older.take_if(|older| older.token.has_secret_of(&token));
        let newest = match again {
            Some(same) => same.again(deadlines, now),
            None => Held { token, deadlines },
        };
        let before =
            self.newest.replace(Arc::new(newest)).filter(|_| !self.is_bad && !for_rejected);
        let before = before.filter(|held| held.is_usable(now)).or(older);
        self.fallback = before.map(|held| Fallback::new(held, now));
        self.is_bad = false;
    }

    /// Whether what was there when a fetch for a stale token began has run out.
    pub(super) fn has_run_out(&self, now: Duration) -> bool {
        self.chosen().is_some_and(|held| !held.is_usable(now))
    }

    /// Whether the newest token was rejected since then, and is still all that there is.
    pub(super) fn is_rejected_since(&self, since: Duration) -> bool {
        let is_later = self.rejected_at.is_some_and(|at| at > since);
        self.suspension.is_on() || (self.is_bad && self.fallback.is_none() && is_later)
    }

    /// A fetch failed; see [`Pauses::failed`]. Gives the error as everybody gets it.
    pub(super) fn fail(
        &mut self,
        error: &Error,
        started_at: Option<Duration>,
        now: Duration,
        jitter: f64,
    ) -> Error {
        // It goes on if the next fetch is made at once: that is for the rejection too.
        if started_at.is_some() {
            self.suspension.end(now);
        }
        self.pauses.failed(error, &self.clock, started_at, now, jitter)
    }

    /// The resource server rejected the token `id`, which a fetch can replace now, or not.
    pub(super) fn reject(&mut self, id: u64, can_replace: bool, now: Duration) -> Verdict {
        self.settle(now);
        let fallback = self.fallback.take_if(|fallback| fallback.held.token.id() == id);
        let newest = self.newest.as_ref().filter(|held| held.is_usable(now));
        let counts = match (newest, fallback) {
            // The newest token was rejected before. It has nothing to fall back on any more.
            (Some(_), Some(fallback)) => fallback.is_used,
            (Some(newest), None) => newest.token.id() == id,
            (None, _) => false,
        };
        if !counts {
            return Verdict::Superseded;
        }
        self.is_bad = true;
        self.rejected_at = Some(now);
        if let Some(fallback) = &mut self.fallback {
            fallback.fall_back(now);
            return Verdict::Superseded;
        }
        if !can_replace {
            return Verdict::Ignored;
        }
        if self.suspension.begin(now) { Verdict::Suspended } else { Verdict::Refresh }
    }

    /// The token `id` is revoked, and not just not accepted yet: there is nothing to fall back on.
    pub(super) fn drop_fallback(&mut self, id: u64) {
        if self.newest.as_ref().is_some_and(|held| held.token.id() == id) {
            self.fallback = None;
        }
    }
}
