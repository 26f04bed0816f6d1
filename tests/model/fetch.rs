//! `src/cache/fetch.rs` without tokio: how the flights of a model end is up to each model.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::runtime::{Builder, Id, Runtime};

use super::{
    core::Core,
    in_flight::{InFlight, Up},
};

/// Ends a flight, the first, second .. of a run. Called in place of launching it.
pub(super) type Ends = fn(usize, Arc<Core>, Arc<InFlight>);

static ENDS: Mutex<Option<Ends>> = Mutex::new(None);

/// How many flights this run has launched. Not the model checker's: it adds no interleavings.
pub(super) static LAUNCHED: AtomicUsize = AtomicUsize::new(0);

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

    pub(super) fn tend(&self, core: &Arc<Core>, up: Up) -> Arc<InFlight> {
        match up {
            Up::Begun(begun) => {
                let ends = ENDS.lock().unwrap().unwrap();
                let number = LAUNCHED.fetch_add(1, SeqCst) + 1;
                ends(number, Arc::clone(core), Arc::clone(&begun.flight));
                begun.flight
            }
            Up::Joined(flight) => flight,
        }
    }

    pub(super) fn watch(&self, _: &Arc<Core>, _: &Arc<InFlight>) {}
}

pub(super) fn is_fetching_for(_: &Arc<Core>) -> bool {
    false
}
