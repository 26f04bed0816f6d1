//! The state of a cache as a pure state machine: what is held, what a failure forbids, and what a
//! rejection may do. It waits for nothing and starts nothing.

use std::{sync::Arc, time::Duration};

use super::{
    clock::Clock,
    policy::{Deadlines, SECOND},
};
use crate::{
    error::{Error, ErrorKind, TimeLeft},
    fetch::{RefreshReason, TokenRequest},
    token::Token,
};

const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);

/// How long after a refresh another rejection is ignored: a resource that rejects every token must
/// not become a token request per request. Up to a quarter is added by chance.
const REFRESH_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
    Duration::from_secs(64),
    Duration::from_secs(300),
];

/// A token and its deadlines.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) deadlines: Deadlines,
}

#[derive(Clone)]
enum State {
    Empty,
    /// Used until its deadline.
    Held(Held),
    /// Rejected: not used until the flight that is to replace it has ended.
    Suspended(Held),
}

/// The time after a fetch that brought nothing new, in which none is started.
struct Cooldown {
    until: Duration,
    /// `None` where the fetch brought the token that is held already, which is no failure.
    error: Option<Error>,
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
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The rejected token is no longer the one that is held: go on with what there is.
    Superseded,
    /// The token stays in use.
    Ignored,
    /// The token is suspended until a flight has ended.
    Suspended,
}

pub(super) struct Slot {
    clock: Arc<dyn Clock>,
    state: State,
    cooldown: Option<Cooldown>,
    /// Fetches in a row that ended alike and brought nothing new, and whether they were refused.
    failures: u32,
    refused: bool,
    /// Refreshes since rejections last stopped for five minutes, as an index of `REFRESH_PAUSES`.
    refreshes: usize,
    /// Until then another rejection is ignored.
    refreshed_until: Duration,
    last_rejection: Option<Duration>,
}

impl Slot {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: State::Empty,
            cooldown: None,
            failures: 0,
            refused: false,
            refreshes: 0,
            refreshed_until: Duration::ZERO,
            last_rejection: None,
        }
    }

    /// A slot that holds this token for ever.
    pub(super) fn fixed(clock: Arc<dyn Clock>, token: Token) -> Self {
        let state = State::Held(Held { token, deadlines: Deadlines::NEVER });
        Self { state, ..Self::new(clock) }
    }

    pub(super) fn look(&self, now: Duration) -> Look {
        match &self.state {
            State::Held(held) if now < held.deadlines.refresh_at => Look::Fresh(held.clone()),
            State::Held(held) if now < held.deadlines.usable_until => Look::Stale(held.clone()),
            _ => Look::Nothing,
        }
    }

    /// The token that is held or suspended, with its deadlines.
    pub(super) fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Empty => None,
            State::Held(held) | State::Suspended(held) => Some(held),
        }
    }

    /// The token `id`, if it is the one that is held and is not suspended.
    pub(super) fn in_use(&self, id: u64) -> Option<&Held> {
        self.held().filter(|held| held.token.id() == id && !self.is_suspended())
    }

    pub(super) fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended(_))
    }

    /// The error of the last fetch, while it keeps the next one from being started.
    pub(super) fn last_error(&self, now: Duration) -> Option<&Error> {
        self.cooldown(now)?.error.as_ref()
    }

    fn cooldown(&self, now: Duration) -> Option<&Cooldown> {
        self.cooldown.as_ref().filter(|cooldown| now < cooldown.until)
    }

    /// Whether a stale token may be refreshed now.
    pub(super) fn may_refresh(&self, now: Duration) -> bool {
        self.cooldown(now).is_none()
    }

    /// The request for the token that is missing, or why none may be made now.
    pub(super) fn request(&self, now: Duration) -> Result<TokenRequest, Error> {
        if let Some(error) = self.last_error(now) {
            return Err(error.clone());
        }
        let (reason, previous) = match &self.state {
            State::Empty => (RefreshReason::Cold, None),
            State::Held(held) if now < held.deadlines.usable_until => {
                (RefreshReason::Stale, Some(held))
            }
            State::Held(held) => (RefreshReason::Expired, Some(held)),
            State::Suspended(held) => (RefreshReason::Rejected, Some(held)),
        };
        let mut request = TokenRequest::new(reason);
        request.previous = previous.map(|held| held.token.clone());
        Ok(request)
    }

    /// A fetch brought `token`. Gives what is held now. `jitter` is from 0 to 1.
    pub(super) fn land(
        &mut self,
        token: Token,
        deadlines: Deadlines,
        now: Duration,
        jitter: f64,
    ) -> Result<Held, Error> {
        if let Err(error) = token.header_value() {
            return Err(self.fail(error, now, jitter));
        }
        let was_suspended = self.is_suspended();
        // A token that comes again stays the same token: a late rejection must find it.
        let again = self.held().filter(|held| held.token.has_secret_of(&token)).cloned();
        let held = match again {
            Some(_) if was_suspended => {
                let error = Error::new(ErrorKind::InvalidResponse)
                    .with_description("it is the token that the resource server rejected");
                return Err(self.fail(error, now, jitter));
            }
            // Caches and gateways hand out one token until it ends: what it said first holds, and
            // asking again at once would bring the same.
            Some(held) if now < held.deadlines.usable_until => {
                let until = now.saturating_add(self.back_off(false, jitter));
                self.cooldown = Some(Cooldown { until, error: None });
                return Ok(held);
            }
            Some(held) => Held { token: held.token, deadlines },
            None => Held { token, deadlines },
        };
        if was_suspended {
            self.refreshed(now, jitter);
        }
        self.state = State::Held(held.clone());
        self.cooldown = None;
        self.failures = 0;
        Ok(held)
    }

    /// A fetch failed. Gives the error as everybody gets it.
    pub(super) fn fail(&mut self, error: Error, now: Duration, jitter: f64) -> Error {
        if self.is_suspended() {
            self.refreshed(now, jitter);
            self.release();
        }
        let back_off = self.back_off(!error.is_transient(), jitter);
        let asked = error.asked_to_wait().unwrap_or_default().min(FIVE_MINUTES);
        let until = now.saturating_add(back_off.max(asked));
        let clock = Arc::clone(&self.clock);
        let left: TimeLeft = Arc::new(move || until.saturating_sub(clock.now()));
        let error = error.with_time_left(left);
        self.cooldown = Some(Cooldown { until, error: Some(error.clone()) });
        error
    }

    /// The resource server rejected the token `id`.
    pub(super) fn reject(&mut self, id: u64, now: Duration) -> Verdict {
        match &self.state {
            State::Suspended(held) if held.token.id() == id => Verdict::Suspended,
            State::Held(held) if held.deadlines == Deadlines::NEVER => Verdict::Ignored,
            State::Held(held) if held.token.id() == id && now < held.deadlines.usable_until => {
                let held = held.clone();
                let quiet = self.last_rejection.replace(now);
                if quiet.is_none_or(|last| now.saturating_sub(last) >= FIVE_MINUTES) {
                    self.refreshes = 0;
                    self.refreshed_until = Duration::ZERO;
                }
                if self.cooldown(now).is_some() || now < self.refreshed_until {
                    return Verdict::Ignored;
                }
                self.state = State::Suspended(held);
                Verdict::Suspended
            }
            _ => Verdict::Superseded,
        }
    }

    /// Ends the suspension: the token is used until its deadline.
    pub(super) fn release(&mut self) {
        if let State::Suspended(held) = &self.state {
            self.state = State::Held(held.clone());
        }
    }

    /// The pause after one more fetch that brought nothing new.
    fn back_off(&mut self, refused: bool, jitter: f64) -> Duration {
        // An outage says nothing about the refusal after it.
        self.failures = if refused == self.refused { self.failures.saturating_add(1) } else { 1 };
        self.refused = refused;
        back_off(!refused, self.failures, jitter)
    }

    fn refreshed(&mut self, now: Duration, jitter: f64) {
        let pause = REFRESH_PAUSES[self.refreshes.min(REFRESH_PAUSES.len() - 1)];
        self.refreshes += 1;
        self.refreshed_until = now.saturating_add(pause + pause.mul_f64(jitter / 4.0));
    }
}

/// Exponential, with equal jitter: from half of it to all of it.
///
/// A refusal waits longer since it takes somebody to change something, but it starts as short: a
/// client that is being registered right now works within the minute.
fn back_off(transient: bool, failures: u32, jitter: f64) -> Duration {
    let (factor, longest) = if transient { (2u32, 30 * SECOND) } else { (4, FIVE_MINUTES) };
    let full = SECOND * factor.saturating_pow(failures.saturating_sub(1).min(15));
    let full = full.min(longest);
    full / 2 + (full / 2).mul_f64(jitter)
}
