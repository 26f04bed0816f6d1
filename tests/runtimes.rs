//! Runtimes that nobody drives, that have no timers, or that are not there.

mod support;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use support::{cache, get, in_time, ms, runtime, secs, server};
use tokio::time::timeout;
use tower_oauth::{
    TokenCache,
    cache::RefreshPolicy,
    source::{RequestHead, TokenSource},
    testing::TokioClock,
};

/// As a blocking SDK has it, which enters its runtime for the time of each call.
#[test]
fn a_flight_on_a_runtime_that_nobody_drives_does_not_hang_the_others() {
    in_time(|| {
        let server = server(secs(3600), ms(100));
        let policy = RefreshPolicy::default().fetch_timeout(ms(200)).unwrap();
        let cache = TokenCache::builder(server.fetcher()).refresh(policy).build();
        let first = runtime();
        first.block_on(async { timeout(ms(20), cache.token()).await.unwrap_err() });
        // `first` is alive and idle, as between two calls of a blocking SDK.
        let outcome = runtime().block_on(async { timeout(secs(3), cache.token()).await });
        assert!(outcome.is_ok(), "waits for ever, far beyond fetch_timeout");
    });
}

/// Tokio tells it by a panic, which the panic hook shows.
#[test]
fn without_timers_there_is_no_panic_per_request() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let (server, clock) = (server(secs(100), ms(0)), TokioClock::new());
    let cache = cache(server.fetcher()).clock(clock.clone()).build();
    runtime().block_on(cache.warm_up()).unwrap();
    // From here on the token is stale.
    clock.suspend(secs(80));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
    let without_timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    without_timers.block_on(async {
        for _ in 0..10 {
            cache.token().await.unwrap();
        }
    });
    std::panic::set_hook(hook);
    let panics = PANICS.load(Ordering::SeqCst);
    assert!(panics <= 1, "{panics} panics for 10 requests with a usable token");
}

#[test]
fn a_rejection_without_a_runtime_leaves_the_token() {
    let server = server(secs(100), ms(0));
    let cache = TokenCache::new(server.fetcher());
    runtime().block_on(cache.warm_up()).unwrap();
    let request = get("https://api.example.com/");
    let lease = cache.try_acquire(&RequestHead::from(&request)).unwrap();
    let polled = tokio_test::task::spawn(lease.reject()).poll();
    assert!(matches!(polled, Poll::Ready(Ok(None))), "{polled:?}");
    assert!(cache.try_acquire(&RequestHead::from(&request)).is_some());
}
