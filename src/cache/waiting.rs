//! Waiting for a flight, wherever it is and whatever becomes of it.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    core::Core,
    fetch::{Here, is_fetching_for},
    flight::{Outcome, Waiter},
    held::Held,
    in_flight::{FlightInfo, Up},
};
use crate::error::{Error, ErrorKind};

/// Somebody who waits for one flight after the other until there is a result.
pub(super) struct Waiting {
    pub(super) core: Arc<Core>,
    waiter: Option<Waiter<Result<Arc<Held>, Error>, FlightInfo>>,
    /// How many flights this has begun, and whether it waits for one of them.
    begun: u8,
    leads: bool,
}

impl Waiting {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, waiter: None, begun: 0, leads: false }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiter.is_some()
    }

    /// Waits for this flight from now on.
    pub(super) fn wait_for(&mut self, up: Up, here: &Here) -> Result<(), Error> {
        let is_new = up.begun.is_some();
        self.leads = up.leads();
        self.begun = self.begun.saturating_add(u8::from(self.leads));
        // First: a suspension that has just begun has to end, whoever waits for it.
        let flight = here.tend(&self.core, up);
        if !is_new && is_fetching_for(&self.core) {
            return Err(Error::new(ErrorKind::Recursive));
        }
        self.waiter = Some(Waiter::new(flight));
        Ok(())
    }

    /// The token of the flight, or its error; `None` if there is none to wait for any more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Arc<Held>>, Error>> {
        let Some(waiter) = &mut self.waiter else { return Poll::Ready(Ok(None)) };
        let mut polled = waiter.poll(cx);
        // It may have been moved to another runtime since it was polled last. Then the flight may have
        // ended before it was told that somebody waits elsewhere.
        if polled.is_pending() && Here::find().watch(&self.core, waiter.flight()) {
            polled = waiter.poll(cx);
        }
        let outcome = ready!(polled);
        self.waiter = None;
        let kind = match outcome {
            Outcome::Done(result) => return Poll::Ready(result.map(Some)),
            Outcome::Lost => ErrorKind::NoRuntime,
            Outcome::Overdue => ErrorKind::Timeout,
        };
        // Whoever comes first begins another one, on its own runtime. Two of one's own say that none
        // can end here; one may have been left behind on a runtime that this came from.
        Poll::Ready(self.may_go_on(kind).map(|()| None))
    }

    /// An error of this kind if the last flight was the second one of its own.
    pub(super) fn may_go_on(&self, kind: ErrorKind) -> Result<(), Error> {
        if self.leads && self.begun >= 2 { Err(Error::new(kind)) } else { Ok(()) }
    }
}
