//! The tokio runtime, if there is one: asked for without a panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

/// A timer, if there is a runtime here and it has timers.
pub(crate) fn timer(duration: Duration) -> Option<Sleep> {
    Handle::try_current().ok()?;
    // Tokio says only by a panic that a runtime has no timers.
    catch_unwind(AssertUnwindSafe(|| sleep(duration))).ok()
}
