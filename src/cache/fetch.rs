//! Fetching: a flight of the core as tasks of a tokio runtime.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    task::try_id,
    time::sleep,
};
use tracing::{Instrument, Span, field::Empty};

use super::{
    core::Core,
    flight::{Outcome, Waiter, Woken},
    held::Held,
    in_flight::{Begun, InFlight, Up},
    sync::Ordering,
    watch,
};
use crate::{
    error::{Error, ErrorKind},
    fetch::{RefreshReason, TokenRequest},
    runtime::timer,
    token::Token,
};

tokio::task_local! {
    /// The core that the current task fetches for, after those whose fetches asked for it.
    static FETCHING_FOR: Vec<usize>;
}

/// The runtime of whoever asks, if there is one.
pub(super) struct Here(Option<Handle>);

impl Here {
    pub(super) fn find() -> Self {
        Self(Handle::try_current().ok())
    }

    pub(super) fn id(&self) -> Option<Id> {
        self.0.as_ref().map(Handle::id)
    }

    /// Sees to it that a flight ends. Gives the flight.
    pub(super) fn tend(&self, core: &Arc<Core>, up: Up) -> Arc<InFlight> {
        let Up { flight, begun, patience } = up;
        if let Some(begun) = begun {
            self.launch(core, begun);
        }
        if let (Some(patience), Some(runtime)) = (patience, &self.0) {
            match timer(patience) {
                Some(patience) => {
                    let (core, flight) = (Arc::downgrade(core), Arc::downgrade(&flight));
                    runtime.spawn(async move {
                        patience.await;
                        give_up(&core, &flight, Outcome::Lost);
                    });
                }
                None => watch(core, &flight),
            }
        }
        self.watch(core, &flight);
        flight
    }

    fn launch(&self, core: &Arc<Core>, begun: Begun) {
        let Begun { flight, request } = begun;
        // From here on the flight ends, whatever happens.
        let weak = Arc::downgrade(core);
        let mut completer =
            Completer { core: weak, flight, launched_at: Duration::ZERO, span: Span::none() };
        completer.launched_at = core.clock.now();
        completer.span = span(core, request.reason);
        let Some(runtime) = &self.0 else { return };
        let mut fetching_for = FETCHING_FOR.try_with(Clone::clone).unwrap_or_default();
        fetching_for.push(address(core));
        runtime.spawn(supervise(completer, request, fetching_for, core.policy.timeout()));
    }

    /// Sees to it that a flight that runs elsewhere ends: nobody may drive its runtime. Here, where
    /// its tasks run too, its own timeout does. Gives whether it runs elsewhere.
    pub(super) fn watch(&self, core: &Arc<Core>, flight: &Arc<InFlight>) -> bool {
        let info = &flight.info;
        // Workers drive their runtime by themselves. On a current-thread runtime whoever is not a
        // task may only have entered it, and be all alone.
        let is_here = self.0.as_ref().is_some_and(|here| {
            info.runtime == Some(here.id())
                && (here.runtime_flavor() != RuntimeFlavor::CurrentThread || try_id().is_some())
        });
        if !is_here {
            watch(core, flight);
        }
        !is_here
    }
}

/// A fetch belongs to nobody who asked: it goes on without them.
fn span(core: &Core, reason: RefreshReason) -> Span {
    let span = tracing::info_span!(
        target: "tower_oauth",
        parent: None,
        "oauth.fetch",
        name = core.name.as_deref(),
        reason = reason.as_str(),
        outcome = Empty,
        ms = Empty,
    );
    span.follows_from(Span::current());
    span
}

fn watch(core: &Arc<Core>, flight: &Arc<InFlight>) {
    // Relaxed: it decides who of several asks the watch. `Core::complete` says why that is enough for
    // what it reads there.
    if flight.info.is_watched.swap(true, Ordering::Relaxed) {
        return;
    }
    let (overdue_at, core, flight) =
        (flight.info.overdue_at, Arc::downgrade(core), Arc::downgrade(flight));
    watch::at(overdue_at, move || give_up(&core, &flight, Outcome::Overdue));
}

fn give_up(core: &Weak<Core>, flight: &Weak<InFlight>, why: Outcome<Result<Arc<Held>, Error>>) {
    if let (Some(core), Some(flight)) = (core.upgrade(), flight.upgrade()) {
        core.give_up(&flight, why);
    }
}

/// Whether the current task fetches for this core, or for one whose fetch asked for its token.
pub(super) fn is_fetching_for(core: &Arc<Core>) -> bool {
    FETCHING_FOR.try_with(|cores| cores.contains(&address(core))).unwrap_or(false)
}

fn address(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core) as usize
}

/// The obligation to end a flight, and to say in its span how it ended. If it is dropped before, as
/// with the runtime, the flight is lost.
struct Completer {
    core: Weak<Core>,
    flight: Arc<InFlight>,
    launched_at: Duration,
    /// None once it says so.
    span: Span,
}

impl Completer {
    /// Ends the flight with an error of its supervisor.
    async fn fail(mut self, kind: ErrorKind) {
        let Some(core) = self.core.upgrade() else { return };
        let error = Err(Error::new(kind));
        let completed = core.complete(&self.flight, error, self.launched_at, &self.span);
        drop(core);
        let Some((woken, _)) = completed else { return };
        self.span = Span::none();
        woken.wake().await;
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        // Without a core nobody waits, but for the fetch itself, which its drop has ended.
        let Some(core) = self.core.upgrade() else {
            self.span.record("outcome", "lost");
            return;
        };
        // First, so that nobody waits for what a subscriber does.
        if core.give_up(&self.flight, Outcome::Lost) {
            let took = core.clock.now().saturating_sub(self.launched_at);
            self.span.record("outcome", "lost");
            self.span.record("ms", took.as_millis() as u64);
        }
    }
}

/// Sees to it that a fetch ends in time, and wakes those who waited for it.
///
/// The fetch is a task of its own, so that one that blocks its thread cannot keep this one from
/// noticing, and tokio catches its panic.
async fn supervise(
    mut completer: Completer,
    request: TokenRequest,
    fetching_for: Vec<usize>,
    limit: Duration,
) {
    // Before the fetcher is called: on a runtime without timers this panics, and the flight is lost.
    let mut limit = pin!(sleep(limit));
    let (core, flight) = (Weak::clone(&completer.core), Arc::clone(&completer.flight));
    let fetch =
        FETCHING_FOR.scope(fetching_for, fetch(core, flight, request, completer.span.clone()));
    let mut fetch = tokio::spawn(fetch.instrument(completer.span.clone()));
    let ended = poll_fn(|cx| match Pin::new(&mut fetch).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| None),
    });
    match ended.await {
        Some(Ok(Some(woken))) => {
            completer.span = Span::none();
            woken.wake().await;
        }
        Some(Err(error)) if error.is_panic() => completer.fail(ErrorKind::Panicked).await,
        Some(Ok(None)) => _ = completer.span.record("outcome", "lost"),
        // The runtime is shutting down.
        Some(Err(_)) => {}
        None => {
            // First, so that it is gone when the waiters go on.
            fetch.abort();
            completer.fail(ErrorKind::Timeout).await;
        }
    }
}

/// Calls the fetcher, and ends the flight in the very poll in which it gave a token: between the
/// two a request would be sent with the old one. Gives those who are to be woken; `None` if it was
/// given up.
///
/// It waits for its own flight too. So whoever ends that, such as the last handle, ends this.
async fn fetch(
    core: Weak<Core>,
    flight: Arc<InFlight>,
    request: TokenRequest,
    span: Span,
) -> Option<Woken> {
    let this = core.upgrade()?;
    let called_at = this.clock.now();
    let mut fetching = this.fetch(request);
    // Held weakly while it waits, so that the cache can end with its last handle.
    drop(this);
    let mut end = Waiter::new(Arc::clone(&flight));
    let result = poll_fn(|cx| match fetching.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => end.poll(cx).map(|_| None),
    });
    let result: Option<Result<Token, Error>> = result.await;
    let core = core.upgrade()?;
    let (woken, next) = core.complete(&flight, result?, called_at, &span)?;
    next.map(|next| Here::find().tend(&core, next));
    Some(woken)
}
