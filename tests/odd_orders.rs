//! Orders of events that a reader of the code thought of.

mod support;

use std::{
    fmt,
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use support::{cache, ms, secs, server};
use tokio::{
    runtime::Builder,
    task::yield_now,
    time::{Instant, sleep},
};
use tower::BoxError;
use tower_oauth::{
    Error, ErrorKind, Token, TokenCache, TokenRequest,
    cache::{Clock, RefreshPolicy},
    fetch_fn,
    testing::ResponseTemplate,
};

/// A cache that its fetcher, or what that gives, can ask.
type Cell = Arc<OnceLock<TokenCache>>;

/// An error whose end looks at the cache.
#[derive(Debug)]
struct Curious(Cell);

impl Drop for Curious {
    fn drop(&mut self) {
        drop(self.0.get().map(TokenCache::status));
    }
}

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("curious")
    }
}

impl std::error::Error for Curious {}

#[test]
fn an_error_that_comes_too_late_is_not_dropped_under_the_lock() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cell = Cell::default();
        let in_fetcher = Arc::clone(&cell);
        let fetcher = fetch_fn(move |_| {
            let error = Curious(Arc::clone(&in_fetcher));
            async move {
                thread::sleep(ms(400));
                Err::<Token, BoxError>(error.into())
            }
        });
        let policy = RefreshPolicy::default().fetch_timeout(ms(100)).unwrap();
        let cache = TokenCache::builder(fetcher).refresh(policy).build();
        cell.set(cache.clone()).unwrap();
        runtime.block_on(cache.token()).unwrap_err();
        thread::sleep(ms(600));
        sender.send(cache.status().fetching)
    });
    assert_eq!(receiver.recv_timeout(secs(10)), Ok(false), "the cache is locked for ever");
}

#[tokio::test(start_paused = true)]
async fn a_fetcher_that_invalidates_what_it_replaces_holds_nobody_up_for_long() {
    let cell = Cell::default();
    let fetches = Arc::new(AtomicUsize::new(0));
    let in_fetcher = Arc::clone(&cell);
    let fetcher = fetch_fn(move |request: TokenRequest| {
        let (cell, number) = (Arc::clone(&in_fetcher), fetches.fetch_add(1, SeqCst));
        async move {
            if number > 0 {
                assert!(cell.get().unwrap().invalidate(&request.previous.unwrap()));
                pending::<()>().await;
            }
            Ok::<_, BoxError>(Token::bearer("abc").with_lifetime(secs(1000)))
        }
    });
    let cache = cache(fetcher).build();
    cell.set(cache.clone()).unwrap();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    cache.warm_up().await.unwrap();
    sleep(ms(1)).await;
    let start = Instant::now();
    cache.warm_up().await.unwrap();
    assert!(start.elapsed() <= secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cache_behind_a_cache_follows_a_token_that_comes_again() {
    let same =
        fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("same").with_lifetime(secs(1000))) });
    let inner = cache(same).build();
    let in_fetcher = inner.clone();
    let outer = cache(fetch_fn(move |_| {
        let inner = in_fetcher.clone();
        async move { inner.token().await }
    }))
    .build();
    for second in 0..3000 {
        inner.warm_up().await.unwrap();
        outer.warm_up().await.unwrap_or_else(|error| panic!("after {second} s: {error}"));
        sleep(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_refresh_share_a_success_whatever_else_is_rejected() {
    let server = server(secs(3600), ms(0));
    let cache = cache(server.fetcher()).build();
    let old = cache.token().await.unwrap();
    sleep(secs(2)).await;
    cache.refresh().await.unwrap();
    // Late rejections of the token before, and of one that was never here.
    cache.invalidate(&old);
    cache.invalidate(&Token::bearer("foreign"));
    cache.refresh().await.unwrap();
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_in_a_cooldown_is_not_used_in_place_of_its_fallback() {
    let server = server(secs(3600), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(secs(2)).await;
    let newest = cache.refresh().await.unwrap();
    let fallback = cache.lease().await.unwrap().reject().await.unwrap().unwrap();
    assert_eq!(fallback.token().expose_secret(), "token-1");
    sleep(secs(2)).await;
    server.token_endpoint().always(ResponseTemplate::status(http::StatusCode::BAD_GATEWAY));
    cache.refresh().await.unwrap_err();
    cache.invalidate(&newest);
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-1");
}

/// As in a task that is busy with something else when its token comes.
#[tokio::test(start_paused = true)]
async fn whoever_is_polled_late_gets_no_token_that_has_run_out() {
    async fn late(asked: impl Future<Output = Result<Token, Error>>) {
        let mut asked = pin!(asked);
        tokio::select! {
            biased;
            _ = &mut asked => panic!("it takes 50 ms"),
            () = yield_now() => {}
        }
        sleep(secs(100)).await;
        assert!(asked.await.unwrap().age().unwrap() < secs(1));
    }
    let server = server(secs(60), ms(50));
    let new = || cache(server.fetcher()).build();
    late(async { new().token().await }).await;
    late(async { new().refresh().await }).await;
    late(async {
        let lease = new().lease().await?;
        assert!(lease.is_usable());
        Ok(lease.token())
    })
    .await;
}

/// There nothing can be fetched. What is revoked must not be used in place of its fallback.
#[tokio::test(start_paused = true)]
async fn outside_a_runtime_what_is_revoked_leaves_its_fallback() {
    let server = server(secs(3600), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    for rejected in [false, true] {
        sleep(secs(2)).await;
        let revoked = cache.refresh().await.unwrap();
        let newest = cache.try_authorization().unwrap();
        if rejected {
            let lease = cache.lease().await.unwrap();
            assert!(lease.reject().await.unwrap().is_some());
        }
        let there = cache.clone();
        let there = thread::spawn(move || {
            assert!(!there.invalidate(&revoked));
            there.try_authorization().unwrap()
        });
        let used_there = there.join().unwrap();
        assert_eq!(used_there, cache.try_authorization().unwrap());
        assert_ne!(used_there, newest, "the one before is used");
    }
}

/// A clock that is the same outside the runtime.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> Duration {
        secs(self.0.load(SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_begins_outside_a_runtime_lasts_five_seconds() {
    let server = server(secs(3600), ms(0));
    let hand = Hand::default();
    let cache = cache(server.fetcher()).clock(hand.clone()).build();
    let token = cache.token().await.unwrap();
    hand.0.store(3000, SeqCst);
    server.token_endpoint().always(ResponseTemplate::never());
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    let there = cache.clone();
    assert!(thread::spawn(move || there.invalidate(&token)).join().unwrap());
    let start = Instant::now();
    cache.token().await.unwrap();
    assert_eq!(start.elapsed(), secs(5));
}

/// A clock that goes on by two hours whenever somebody looks at it.
struct Racing(AtomicU64);

impl Clock for Racing {
    fn now(&self) -> Duration {
        secs(self.0.fetch_add(7200, SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_run_out_at_once_are_not_fetched_for_ever() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).clock(Racing(AtomicU64::new(0))).build();
    for result in [cache.token().await, cache.refresh().await] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Expired);
    }
    assert_eq!(server.token_requests(), 4);
}
