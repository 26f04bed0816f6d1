//! What of a cache is behind its lock: the slot, and the flights that are up. It starts nothing itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Id;

use super::{
    counts::Counts,
    flight::{Flight, Outcome},
    held::Held,
    in_flight::{Begun, FlightInfo, InFlight, Up},
    policy::{RefreshPolicy, SECOND, YEAR},
    slot::{Look, Slot, Verdict},
    sync::AtomicBool,
};
use crate::{
    error::{Error, ErrorKind},
    fetch::RefreshReason,
    token::Token,
};

pub(super) struct State {
    pub(super) slot: Slot,
    pub(super) counts: Counts,
    fetch_timeout: Duration,
    /// `Some` exactly while a fetch is up: whoever ends one takes it out first.
    in_flight: Option<Arc<InFlight>>,
    /// What those wait for who have no token because it is suspended.
    suspension: Option<Arc<InFlight>>,
    /// When a fetch was last lost.
    lost_at: Option<Instant>,
}

/// A token that can be used now, and its refresh, if that is due; or a flight to wait for.
pub(super) enum Found {
    Usable(Arc<Held>, Option<Up>),
    Wait(Up),
}

/// What the end of a fetch comes to.
pub(super) struct Ended {
    pub(super) outcome: Outcome<Result<Arc<Held>, Error>>,
    /// The suspension that ends with it.
    pub(super) suspension: Option<Arc<InFlight>>,
    /// The fetch that takes its place, and has to be launched.
    pub(super) next: Option<Up>,
    /// To be logged.
    pub(super) error: Option<Error>,
    pub(super) refreshes_too_fast: bool,
    pub(super) label: &'static str,
}

impl State {
    pub(super) fn new(slot: Slot, policy: &RefreshPolicy) -> Self {
        Self {
            slot,
            counts: Counts::default(),
            fetch_timeout: policy.timeout().min(YEAR),
            in_flight: None,
            suspension: None,
            lost_at: None,
        }
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.in_flight.is_some()
    }

    /// A token that can be used now, and its refresh, if that is due and can begin `here`.
    pub(super) fn usable(
        &mut self,
        here: Option<Id>,
        now: Duration,
    ) -> Option<(Arc<Held>, Option<Up>)> {
        match self.slot.look(now) {
            Look::Fresh(held) => Some((held, None)),
            Look::Stale(held) => {
                self.counts.stale_served += 1;
                Some((held, self.refresh_stale(here, now)))
            }
            Look::Nothing => None,
        }
    }

    fn refresh_stale(&mut self, here: Option<Id>, now: Duration) -> Option<Up> {
        if let Some(flight) = &self.in_flight {
            return Some(Up::joined(flight));
        }
        // One that is lost at once, as on a runtime without timers, is not begun for every request.
        if self.lost_at.is_some_and(is_recent) {
            return None;
        }
        // Without a runtime the next request that has one begins it.
        self.begin(None, here, now).ok()
    }

    /// A token that can be used now, or the flight that brings one.
    pub(super) fn acquire(&mut self, here: Option<Id>, now: Duration) -> Result<Found, Error> {
        if let Some((held, refresh)) = self.usable(here, now) {
            return Ok(Found::Usable(held, refresh));
        }
        let up = match &self.in_flight {
            Some(flight) => Ok(Up::joined(flight)),
            None => self.begin(None, here, now),
        };
        self.counts.waits += u64::from(up.is_ok());
        match up {
            Ok(up) if self.slot.suspension.is_on() => Ok(Found::Wait(self.suspend(up, here, now))),
            Ok(up) => Ok(Found::Wait(up)),
            Err(error) => {
                // If nobody can be sent to replace a rejected token, it is used again.
                self.slot.suspension.end(now);
                let (held, _) = self.usable(None, now).ok_or(error)?;
                Ok(Found::Usable(held, None))
            }
        }
    }

    /// The resource server rejected this token. Gives the fetch that has to be launched, where
    /// nobody waits for it.
    pub(super) fn reject(
        &mut self,
        token: &Token,
        here: Option<Id>,
        now: Duration,
    ) -> (Verdict, Option<Up>) {
        let verdict = self.slot.reject(token.id(), self.can_replace(here, now), now);
        self.counts.rejections += 1;
        self.counts.rejections_ignored += u64::from(verdict == Verdict::Ignored);
        let up = (verdict == Verdict::Refresh && !self.is_fetching())
            .then(|| self.begin(Some(RefreshReason::Rejected), here, now).ok());
        (verdict, up.flatten())
    }

    /// This token is revoked, and not just not accepted yet.
    pub(super) fn invalidate(
        &mut self,
        token: &Token,
        here: Option<Id>,
        now: Duration,
    ) -> (Verdict, Option<Up>) {
        // Otherwise the token before it stays: what is revoked must not be used in its place.
        if self.can_replace(here, now) {
            self.slot.drop_fallback(token.id());
        }
        self.reject(token, here, now)
    }

    /// Whether a fetch is up that can replace a rejected token, or can begin.
    fn can_replace(&self, here: Option<Id>, now: Duration) -> bool {
        self.is_fetching() || (here.is_some() && !self.slot.pauses.ignores_rejections(now))
    }

    /// The fetch that brings another token now, whatever the cooldown says.
    pub(super) fn refresh(&mut self, here: Option<Id>, now: Duration) -> Result<Up, Error> {
        self.slot.settle(now);
        // One that brings a rejected token again must fail, or there would be no end of them.
        let reason = match self.slot.suspension.is_on() {
            true => RefreshReason::Rejected,
            false => RefreshReason::Requested,
        };
        match &self.in_flight {
            Some(flight) => Ok(Up::joined(flight)),
            None => self.begin(Some(reason), here, now),
        }
    }

    fn begin(
        &mut self,
        wanted: Option<RefreshReason>,
        here: Option<Id>,
        now: Duration,
    ) -> Result<Up, Error> {
        let request = self.slot.request(wanted, now)?;
        here.ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let flight = self.flight(request.reason, here, self.fetch_timeout);
        self.counts.fetches.count(request.reason);
        self.in_flight = Some(Arc::clone(&flight));
        let begun = Begun { flight: Arc::clone(&flight), request };
        Ok(Up { flight, begun: Some(begun), patience: None })
    }

    /// What to wait for in place of a fetch, while the token is suspended.
    fn suspend(&mut self, up: Up, here: Option<Id>, now: Duration) -> Up {
        if let Some(suspension) = &self.suspension {
            return Up { flight: Arc::clone(suspension), ..up };
        }
        let patience = self.slot.suspension.left(now);
        let flight = self.flight(up.flight.info.reason, here, patience);
        self.suspension = Some(Arc::clone(&flight));
        Up { flight, begun: up.begun, patience: Some(patience) }
    }

    fn flight(&self, reason: RefreshReason, here: Option<Id>, time: Duration) -> Arc<InFlight> {
        Flight::new(FlightInfo {
            reason,
            runtime: here,
            overdue_at: Instant::now() + time + SECOND,
            is_watched: AtomicBool::new(false),
        })
    }

    /// Ends a fetch. The slot changes once for each, since one end at most finds it here.
    pub(super) fn complete(
        &mut self,
        flight: &Arc<InFlight>,
        result: Result<Token, Error>,
        policy: &RefreshPolicy,
        called_at: Duration,
        now: Duration,
        jitter: f64,
    ) -> Ended {
        let reason = flight.info.reason;
        let by_rejection = reason == RefreshReason::Rejected;
        self.slot.settle(now);
        let mut ended = Ended {
            outcome: Outcome::Lost,
            suspension: self.suspension.take(),
            next: None,
            error: None,
            refreshes_too_fast: false,
            label: "token",
        };
        self.counts.fetch_time += now.saturating_sub(called_at);
        let landed = result.and_then(|token| {
            let lived = self.slot.lived(&token, now);
            if lived.is_some() {
                self.counts.same_again += 1;
                ended.label = "same_again";
            }
            if lived.is_some() && !by_rejection && self.slot.is_rejected_since(called_at) {
                return Ok(None);
            }
            let since_call = now.saturating_sub(called_at);
            let deadlines = policy.deadlines(&token, now, since_call, lived, jitter);
            self.slot.land(token, deadlines, by_rejection, now, jitter).map(Some)
        });
        if let Err(error) = &landed {
            ended.label = self.counts.failures.count(error.kind());
        }
        match landed {
            // It was asked for before the rejection, so it is asked for once more, for that.
            Ok(None) if self.slot.pauses.cooldown(now).is_none() => {
                ended.next =
                    self.begin(Some(RefreshReason::Rejected), flight.info.runtime, now).ok();
            }
            Ok(None) => {}
            Ok(Some(held)) => {
                ended.outcome = Outcome::Done(Ok(held));
                ended.refreshes_too_fast = by_rejection && self.slot.pauses.are_too_fast();
            }
            // Whoever is left with nothing begins a fetch of their own: this one's error may be older
            // than a freeze of the process.
            Err(error) if reason == RefreshReason::Stale && self.slot.has_run_out(now) => {
                ended.error = Some(self.slot.fail(&error, None, now, jitter));
            }
            Err(error) => {
                let error = self.slot.fail(&error, Some(called_at), now, jitter);
                ended.outcome = Outcome::Done(Err(error.clone()));
                ended.error = Some(error);
            }
        }
        ended
    }

    /// A flight ends without a result. Gives whether it was the fetch that is up, and the suspension
    /// that ends with it.
    pub(super) fn give_up(&mut self, flight: &Arc<InFlight>) -> (bool, Option<Arc<InFlight>>) {
        if self.take(flight) {
            self.counts.flights_lost += 1;
            // Whoever waits begins another fetch. If that is lost too, none can end here.
            if self.lost_at.replace(Instant::now()).is_some_and(is_recent) {
                self.slot.suspension.give_up();
            }
            return (true, self.suspension.take());
        }
        let suspension = self.suspension.take_if(|up| Arc::ptr_eq(up, flight));
        if suspension.is_some() {
            self.slot.suspension.give_up();
        }
        (false, suspension)
    }

    /// Takes a fetch out, if it is the one that is up.
    pub(super) fn take(&mut self, flight: &Arc<InFlight>) -> bool {
        self.in_flight.take_if(|up| Arc::ptr_eq(up, flight)).is_some()
    }

    /// No handle is left: whatever is up ends.
    pub(super) fn take_all(&mut self) -> [Option<Arc<InFlight>>; 2] {
        [self.in_flight.take(), self.suspension.take()]
    }
}

fn is_recent(at: Instant) -> bool {
    at.elapsed() < SECOND
}
