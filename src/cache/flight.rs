//! One piece of work that many callers wait for. It knows neither tokens nor runtimes: who starts
//! the work holds the [`Crew`], who waits for it holds a [`Seat`].

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

/// How many callers are woken before other tasks get their turn: waking 100,000 of them in one go
/// would stall a current-thread runtime for tens of milliseconds.
const WAKE_AT_ONCE: usize = 64;

/// What those who wait share.
pub(crate) struct Flight<T> {
    /// Set once: the result, or `None` if the work ended without one.
    result: OnceLock<Option<T>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    /// Places in `wakers` whose callers gave up.
    free: Vec<usize>,
    /// How many of `wakers` have been woken.
    woken: usize,
}

impl<T: Clone> Flight<T> {
    pub(crate) fn new() -> (Arc<Self>, Crew<T>) {
        let flight =
            Arc::new(Self { result: OnceLock::new(), waiting: Mutex::new(Waiting::default()) });
        let crew = Crew { flight: Arc::clone(&flight) };
        (flight, crew)
    }

    /// Whether the work has ended, with a result or without.
    pub(crate) fn is_over(&self) -> bool {
        self.result.get().is_some()
    }

    pub(crate) fn seat(self: &Arc<Self>) -> Seat<T> {
        Seat { flight: Arc::clone(self), place: None }
    }
}

impl<T> Flight<T> {
    /// Ends the flight without a result, if it has not ended yet.
    pub(crate) fn abandon(&self) {
        let _ = self.result.set(None);
        while self.wake_some() {}
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the next few; false when there is nobody left.
    fn wake_some(&self) -> bool {
        let mut wakers: [Option<Waker>; WAKE_AT_ONCE] = [const { None }; WAKE_AT_ONCE];
        let more = {
            let mut waiting = self.waiting();
            let start = waiting.woken;
            let end = waiting.wakers.len().min(start + WAKE_AT_ONCE);
            waiting.wakers[start..end].swap_with_slice(&mut wakers[..end - start]);
            waiting.woken = end;
            end < waiting.wakers.len()
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
        more
    }
}

/// The side that does the work. Dropping it before [`land`](Self::land) ends the flight without a
/// result; either way nobody is left asleep.
pub(crate) struct Crew<T> {
    flight: Arc<Flight<T>>,
}

impl<T> Crew<T> {
    pub(crate) fn is_of(&self, flight: &Arc<Flight<T>>) -> bool {
        Arc::ptr_eq(&self.flight, flight)
    }

    /// Sets the result; whoever looks from now on sees it.
    pub(crate) fn land(&self, result: T) {
        let _ = self.flight.result.set(Some(result));
    }

    /// Wakes everybody, letting other tasks in between. If it is dropped half-way, the rest is
    /// woken at once.
    pub(crate) async fn wake(self) {
        while self.flight.wake_some() {
            yield_now().await;
        }
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.flight.abandon();
    }
}

/// One caller's place among those who wait. Dropping it gives the place up.
pub(crate) struct Seat<T> {
    flight: Arc<Flight<T>>,
    place: Option<usize>,
}

impl<T: Clone> Seat<T> {
    /// The result, or `None` if the work ended without one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(result) = self.flight.result.get() {
            return Poll::Ready(result.clone());
        }
        let mut waiting = self.flight.waiting();
        // Looked at again under the lock: wakers are woken only after the result is set, so a
        // waker that goes in while there is none cannot be passed over.
        if let Some(result) = self.flight.result.get() {
            return Poll::Ready(result.clone());
        }
        let place = match self.place.or_else(|| waiting.free.pop()) {
            Some(place) => place,
            None => {
                waiting.wakers.push(None);
                waiting.wakers.len() - 1
            }
        };
        self.place = Some(place);
        match &mut waiting.wakers[place] {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            if self.flight.result.get().is_none() {
                let mut waiting = self.flight.waiting();
                waiting.wakers[place] = None;
                waiting.free.push(place);
            }
        }
    }
}

/// Lets other tasks of any runtime have their turn once.
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
