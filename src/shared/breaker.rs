//! How long a store that fails is left alone.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    open_until: Option<Instant>,
    /// How long it was last open; zero once the store has worked since.
    last: Duration,
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store is to be left alone now.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open_until.is_some_and(|until| Instant::now() < until)
    }

    /// The store worked.
    pub(super) fn succeeded(&self) {
        *self.lock() = State::default();
    }

    /// The store failed. Returns how long it is left alone, or `None` if another call at the same
    /// time has already found that out.
    pub(super) fn failed(&self) -> Option<Duration> {
        let mut state = self.lock();
        let now = Instant::now();
        if state.open_until.is_some_and(|until| now < until) {
            return None;
        }
        state.last = (state.last * 2).clamp(FIRST, LONGEST);
        state.open_until = Some(now + state.last);
        Some(state.last)
    }
}
