//! What there is of a tokio runtime here, asked for without a panic.

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
    // Tokio tells that a runtime has no timers only by a panic.
    catch_unwind(AssertUnwindSafe(|| sleep(duration))).ok()
}
