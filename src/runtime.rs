//! The tokio runtime, if there is one: asked for without a panic.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
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

/// What this comes to, or nothing if it takes longer than that. Without timers it may take any time.
pub(crate) async fn in_time<F: Future>(
    duration: Duration,
    mut work: Pin<&mut F>,
) -> Option<F::Output> {
    let mut timer = pin!(timer(duration));
    poll_fn(|cx| match (work.as_mut().poll(cx), timer.as_mut().as_pin_mut()) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Some(timer)) => timer.poll(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}
