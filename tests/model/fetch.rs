//! `src/cache/fetch.rs` without tokio: how the flights of a model end is up to each model.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::runtime::{Builder, Id, Runtime};

use super::{
    core::Core,
    flight::Outcome,
    in_flight::{InFlight, Up},
};

/// Ends a flight, the first, second .. of a run. Called in place of launching it.
pub(super) type Ends = fn(usize, Arc<Core>, Arc<InFlight>);

static ENDS: Mutex<Option<Ends>> = Mutex::new(None);

/// How many flights this run has launched. Not the model checker's: it adds no interleavings.
pub(super) static LAUNCHED: AtomicUsize = AtomicUsize::new(0);

/// Whether suspensions end before the flight that is to replace the token.
pub(super) static SUSPENSIONS_END: AtomicBool = AtomicBool::new(false);

pub(super) fn set_ends(ends: Ends) {
    *ENDS.lock().unwrap() = Some(ends);
}

pub(super) struct Here;

impl Here {
    pub(super) fn find() -> Self {
        Self
    }

    /// Always the same runtime, on which nothing ever runs.
    pub(super) fn id(&self) -> Option<Id> {
        static RUNTIME: LazyLock<Runtime> =
            LazyLock::new(|| Builder::new_current_thread().build().unwrap());
        Some(RUNTIME.handle().id())
    }

    /// A suspension that has just begun ends at once, in another thread.
    pub(super) fn tend(&self, core: &Arc<Core>, up: Up) -> Arc<InFlight> {
        let Up { flight, begun, patience } = up;
        if let Some(begun) = begun {
            let ends = ENDS.lock().unwrap().unwrap();
            let number = LAUNCHED.fetch_add(1, SeqCst) + 1;
            ends(number, Arc::clone(core), begun.flight);
        }
        if patience.is_some() && SUSPENSIONS_END.load(SeqCst) {
            let (core, suspension) = (Arc::clone(core), Arc::clone(&flight));
            loom::thread::spawn(move || core.give_up(&suspension, Outcome::Lost));
        }
        flight
    }

    pub(super) fn watch(&self, _: &Arc<Core>, _: &Arc<InFlight>) -> bool {
        false
    }
}

pub(super) fn is_fetching_for(_: &Arc<Core>) -> bool {
    false
}
