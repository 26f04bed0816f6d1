//! One fetch, as the task that it is.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Weak,
    task::Poll,
};

use tokio::time::Sleep;

use crate::{
    cache::{
        core::{Brought, Core},
        flight::Crew,
    },
    error::{Error, ErrorKind},
    fetch::{Fetching, TokenRequest},
    token::Token,
};

/// From the call of the fetcher to the last caller woken. It holds the cache weakly, so that it ends
/// with the last handle.
pub(super) async fn fly(
    cache: Weak<Core>,
    crew: Crew<Brought>,
    request: TokenRequest,
    deadline: Sleep,
) {
    let Some(core) = cache.upgrade() else { return };
    let called_at = core.clock.now();
    let fetching = catch_unwind(AssertUnwindSafe(|| core.fetch(request)));
    drop(core);
    let result = match fetching {
        Ok(fetching) => within(deadline, fetching).await,
        Err(_) => Err(Error::new(ErrorKind::Panicked)),
    };
    let Some(core) = cache.upgrade() else { return };
    core.land(&crew, result, called_at);
    drop(core);
    crew.wake().await;
}

/// Polls a fetch until the deadline. A panic in it is an error.
async fn within(deadline: Sleep, mut fetching: Fetching) -> Result<Token, Error> {
    let mut deadline = pin!(deadline);
    let result = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| fetching.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(Error::new(ErrorKind::Panicked))));
        if polled.is_pending() && deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Error::new(ErrorKind::Timeout)));
        }
        polled
    })
    .await;
    // A fetch that is cut off may panic even now.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(fetching)));
    result
}
