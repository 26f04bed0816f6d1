//! Single flight: one piece of work that many callers wait for. It knows neither tokens nor
//! runtimes. Whoever ends the work, with a result or without, calls [`Flight::end`]; whoever waits
//! polls a [`Waiter`].
//!
//! Nobody is left asleep, in any interleaving:
//!
//! - Wakers come out of a flight only in exchange for its outcome, in one critical section. So
//!   whoever is woken has something to see.
//! - A waiter looks for the outcome and leaves its waker in one critical section of the same lock.
//!   It comes before the end, and its waker is in the list that the end takes; or after it, and it
//!   sees the outcome. There is no moment in between.
//! - The first end counts. A later one gets an empty list.
//!
//! Foreign code, which is a waker's `clone`, `wake` and `drop`, never runs under the lock.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::sync::{Mutex, MutexGuard, lock};

/// How many waiters are woken before other tasks get their turn: waking 100,000 of them in one go
/// would stall a current-thread runtime for tens of milliseconds. If some wait elsewhere, all are
/// woken in one go nevertheless: see [`Core::complete`](super::core::Core::complete).
const WAKE_AT_ONCE: usize = 64;

/// How a flight ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome<T> {
    /// With a result.
    Done(T),
    /// Without one: whoever was to end it is gone, or another one takes its place.
    Lost,
    /// Without one: it should have ended long ago.
    Overdue,
}

/// `C` is what its starter knows about it.
pub(super) struct Flight<T, C> {
    pub(super) info: C,
    state: Mutex<State<T>>,
}

enum State<T> {
    Up(Waiting),
    Over(Outcome<T>),
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    /// Places in `wakers` whose waiters gave up.
    free: Vec<usize>,
}

impl<T, C> Flight<T, C> {
    pub(super) fn new(info: C) -> Arc<Self> {
        Arc::new(Self { info, state: Mutex::new(State::Up(Waiting::default())) })
    }

    /// Ends the flight, if nothing has ended it yet. The waiters see the outcome from now on;
    /// [`Woken`] wakes them.
    #[must_use = "whoever waits sleeps until it is dropped"]
    pub(super) fn end(&self, outcome: Outcome<T>) -> Woken {
        let mut state = self.state();
        let wakers = match &mut *state {
            State::Up(waiting) => mem::take(&mut waiting.wakers),
            State::Over(_) => return Woken::default(),
        };
        *state = State::Over(outcome);
        Woken(wakers.into())
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

/// One caller that waits for a flight. Dropping it gives its place up.
pub(super) struct Waiter<T, C> {
    flight: Arc<Flight<T, C>>,
    place: usize,
}

/// The place of a waiter that has not been polled.
const NO_PLACE: usize = usize::MAX;

impl<T, C> Waiter<T, C> {
    pub(super) fn new(flight: Arc<Flight<T, C>>) -> Self {
        Self { flight, place: NO_PLACE }
    }

    pub(super) fn flight(&self) -> &Arc<Flight<T, C>> {
        &self.flight
    }
}

impl<T: Clone, C> Waiter<T, C> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        // Cloned before the lock is taken, and dropped, like the one that it takes the place of,
        // after it is free: declared before it.
        let mut waker = Some(cx.waker().clone());
        let mut state = self.flight.state();
        let waiting = match &mut *state {
            State::Up(waiting) => waiting,
            State::Over(outcome) => return Poll::Ready(outcome.clone()),
        };
        if self.place == NO_PLACE {
            self.place = waiting.free.pop().unwrap_or_else(|| {
                waiting.wakers.push(None);
                waiting.wakers.len() - 1
            });
        }
        mem::swap(&mut waiting.wakers[self.place], &mut waker);
        Poll::Pending
    }
}

impl<T, C> Drop for Waiter<T, C> {
    fn drop(&mut self) {
        if self.place == NO_PLACE {
            return;
        }
        let mut _waker = None;
        if let State::Up(waiting) = &mut *self.flight.state() {
            _waker = waiting.wakers[self.place].take();
            waiting.free.push(self.place);
        }
    }
}

/// The waiters of a flight that has ended. Those who are not woken when it is dropped are woken
/// then.
#[derive(Default)]
pub(super) struct Woken(VecDeque<Option<Waker>>);

impl Woken {
    /// These and those.
    pub(super) fn and(mut self, mut others: Self) -> Self {
        self.0.append(&mut others.0);
        self
    }

    /// Wakes everybody, letting other tasks in between.
    pub(super) async fn wake(mut self) {
        loop {
            let some = WAKE_AT_ONCE.min(self.0.len());
            self.0.drain(..some).for_each(wake);
            if self.0.is_empty() {
                return;
            }
            yield_now().await;
        }
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(wake);
    }
}

fn wake(waker: Option<Waker>) {
    // One that panics must not leave the others asleep.
    let _ = catch_unwind(AssertUnwindSafe(|| waker.map(Waker::wake)));
}

/// Lets other tasks of any runtime have their turn once. Not tokio's: that one comes back before
/// the tasks that were just woken, whose queue then overflows.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
