//! What requests find in a model.

use std::{mem, task::Poll, time::Duration};

use tokio::time::Instant;
use tower_oauth::{Error, ErrorKind, RefreshReason};

use crate::{
    model::Model,
    support::{ms, secs},
};

/// What somebody waits for who has no token.
#[derive(Default)]
pub(crate) struct Wait {
    flight: Option<usize>,
    /// It is a suspension, which ends by then.
    until: Option<Instant>,
    is_polled: bool,
}

impl Model {
    /// Somebody looked whether there is a token, and found this one.
    pub(crate) fn looked(&mut self, found: Option<u64>, now: Duration) {
        self.settle(now);
        let usable = self.usable(now).map(|held| held.id());
        self.check(found == usable, || format!("{found:?} in place of {usable:?} at {now:?}"));
        let is_due = self.newest.as_ref().is_some_and(|newest| now >= newest.refresh_at);
        if usable.is_some() && is_due && self.flight.is_none() && !self.is_in_cooldown(now) {
            self.begin(RefreshReason::Stale, now);
        }
    }

    /// Somebody who needs a token was polled, in place of the rejected one if there was one.
    pub(crate) fn polled(
        &mut self,
        polled: Poll<Result<u64, &Error>>,
        rejected: Option<u64>,
        wait: &mut Wait,
        now: Duration,
    ) {
        self.settle(now);
        let is_first = !mem::replace(&mut wait.is_polled, true);
        let flight = self.flight.as_ref().map(|flight| flight.number);
        let waited = wait.flight.is_some() && wait.flight == flight;
        if polled.is_pending() && waited && wait.until.is_none_or(|until| Instant::now() < until) {
            return;
        }
        let is_suspended = self.suspended_since.is_some();
        if is_suspended && flight.is_none() && self.is_in_cooldown(now) {
            self.end_suspension(now);
        }
        match polled {
            Poll::Ready(Ok(id)) => self.looked(Some(id), now),
            // Why there is no other: the rejected one is used again.
            Poll::Ready(Err(_))
                if rejected.is_some() && rejected == self.usable(now).map(|held| held.id()) =>
            {
                self.looked(rejected, now);
            }
            Poll::Ready(Err(error)) => {
                let is_right = self.usable(now).is_none();
                self.check(is_right, || format!("{error}, with a usable token at {now:?}"));
                let is_right = !is_first || self.is_in_cooldown(now);
                self.check(is_right, || format!("{error} at once, outside of a cooldown"));
            }
            // The timer that ends a suspension may be the last one of its millisecond.
            Poll::Pending
                if self.usable(now).is_some()
                    && wait.until.is_some_and(|until| Instant::now() < until + ms(1)) => {}
            Poll::Pending => {
                let is_right = self.usable(now).is_none();
                self.check(is_right, || format!("it waits with a usable token at {now:?}"));
                self.wait(wait, now);
            }
        }
    }

    pub(crate) fn wait(&mut self, wait: &mut Wait, now: Duration) {
        let is_suspended = self.suspended_since.is_some();
        if self.flight.is_none() {
            let is_right = !self.is_in_cooldown(now);
            self.check(is_right, || format!("it waits in a cooldown at {now:?}"));
            self.begin(self.reason_to_wait(), now);
        }
        let left = self.patience.saturating_sub(now - self.suspended_since.unwrap_or(now));
        let Some(flight) = &mut self.flight else { return };
        wait.flight = Some(flight.number);
        // Whoever joins waits for the same timer, which a machine that sleeps holds up.
        let until = &mut flight.suspended_until;
        wait.until = is_suspended.then(|| *until.get_or_insert_with(|| Instant::now() + left));
    }

    fn reason_to_wait(&self) -> RefreshReason {
        match () {
            () if self.newest.is_none() => RefreshReason::Cold,
            () if self.suspended_since.is_some() => RefreshReason::Rejected,
            () => RefreshReason::Expired,
        }
    }

    /// Somebody who asked for another token was polled, and waits or not.
    pub(crate) fn requested(&mut self, is_first: bool, waits: bool, now: Duration) {
        self.settle(now);
        let is_suspended = self.suspended_since.is_some();
        let is_recent = self.landed_at.is_some_and(|at| now - at < secs(1));
        if is_first {
            let is_usable = self.newest.as_ref().is_some_and(|newest| now < newest.usable_until);
            let has_one = is_recent && !is_suspended && is_usable;
            self.check(has_one != waits, || format!("refresh: waits {waits} at {now:?}"));
        }
        if waits && self.flight.is_none() {
            let reason = match is_suspended {
                true => RefreshReason::Rejected,
                false => RefreshReason::Requested,
            };
            self.begin(reason, now);
        }
    }

    /// A request reaches the resource.
    pub(crate) fn sent(&mut self, secret: Option<&str>, now: Duration) {
        self.settle(now);
        let usable = self.usable(now).map(|held| held.secret().to_owned());
        let is_right = secret.is_some() && secret == usable.as_deref();
        self.check(is_right, || format!("sent {secret:?} in place of {usable:?} at {now:?}"));
    }

    /// A lease says whether its token may be sent.
    pub(crate) fn asked_if_usable(&mut self, id: u64, is_usable: bool, now: Duration) {
        self.settle(now);
        let expected = self.usable(now).is_some_and(|held| held.id() == id);
        self.check(is_usable == expected, || format!("{id} usable: {is_usable} at {now:?}"));
    }

    /// A request ended with an error of ours.
    pub(crate) fn gave_up(&mut self, error: &Error, now: Duration) {
        self.settle(now);
        let is_right = self.usable(now).is_none()
            || matches!(error.kind(), ErrorKind::Expired | ErrorKind::Rejected);
        self.check(is_right, || format!("a request failed with a usable token: {error}"));
    }
}
