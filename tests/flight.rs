//! One fetch for everybody: what they share, who may leave, and what ends it.

mod support;

use std::{
    error::Error as _,
    future::pending,
    ptr,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::StatusCode;
use support::{cache, get, ms, ours, resource, secs, server};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::BoxError;
use tower::{Layer, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache,
    cache::TokenState,
    fetch_fn,
    testing::{AuthorizationServer, ResponseTemplate},
};

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_callers_cost_one_fetch() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let cache = cache.clone();
        callers.spawn(async move { cache.token().await.unwrap().expose_secret().to_owned() });
    }
    assert!(callers.join_all().await.iter().all(|secret| secret == "token-1"));
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_share_one_error() {
    let server = server(secs(3600), ms(50));
    server.token_endpoint().always(ResponseTemplate::connection_dropped());
    let cache = cache(server.fetcher()).build();
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let cache = cache.clone();
        callers.spawn(async move { cache.token().await.unwrap_err() });
    }
    let mut errors = callers.join_all().await;
    assert_eq!(server.token_requests(), 1);

    // Whoever comes after the failure gets the same error at once.
    let start = tokio::time::Instant::now();
    errors.push(cache.token().await.unwrap_err());
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(server.token_requests(), 1);

    assert_eq!(errors.len(), 1_001);
    let first = errors[0].source().unwrap();
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(ptr::addr_eq(error.source().unwrap(), first));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.token().await }
    });
    sleep(ms(10)).await;
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { cache.token().await }
    });
    sleep(ms(10)).await;
    first.abort();
    assert_eq!(second.await.unwrap().unwrap().expose_secret(), "token-1");
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_may_leave_and_another_takes_its_place() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    let mut callers = JoinSet::new();
    for round in 0..100 {
        let cache = cache.clone();
        callers.spawn(async move {
            // Every second one gives up before the token is there.
            let patience = if round % 2 == 0 { ms(20) } else { ms(1_000) };
            timeout(patience, cache.token()).await.is_ok()
        });
    }
    sleep(ms(30)).await;
    for _ in 0..100 {
        let cache = cache.clone();
        callers.spawn(async move { cache.token().await.is_ok() });
    }
    let served = callers.join_all().await.into_iter().filter(|served| *served).count();
    assert_eq!(served, 150);
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_callers_may_leave_and_the_fetch_goes_on() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    for _ in 0..3 {
        let _ = timeout(ms(5), cache.token()).await;
    }
    sleep(ms(100)).await;
    assert_eq!(cache.status().state, TokenState::Fresh);
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-1");
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_less_patient_than_the_endpoint_succeed_on_the_second_try() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    assert!(timeout(ms(30), cache.token()).await.is_err());
    assert!(timeout(ms(30), cache.token()).await.is_ok());
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_fetcher_is_an_error_and_no_end() {
    let server = server(secs(3600), ms(50));
    server.down(true);
    let panics = |error: Error| -> Error { panic!("the fetcher panics: {error}") };
    let cache = cache(server.fetcher().map_err(panics)).build();
    let (one, two) = tokio::join!(cache.token(), cache.token());
    assert_eq!(one.unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(two.unwrap_err().kind(), ErrorKind::Panicked);
    server.down(false);
    sleep(secs(2)).await;
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_fetcher_that_panics_before_its_future_is_an_error() {
    #[derive(Clone)]
    struct Panics;
    impl tower::Service<tower_oauth::TokenRequest> for Panics {
        type Response = Token;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Token, BoxError>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            panic!("in poll_ready")
        }
        fn call(&mut self, _: tower_oauth::TokenRequest) -> Self::Future {
            panic!("in call")
        }
    }
    let error = TokenCache::new(Panics).token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
}

#[tokio::test(start_paused = true)]
async fn a_fetcher_that_never_answers_ends_at_the_deadline() {
    let server = server(secs(3600), ms(50));
    server.token_endpoint().always(ResponseTemplate::never());
    let cache = cache(server.fetcher()).build();
    let start = tokio::time::Instant::now();
    assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed(), secs(30));
}

#[tokio::test(start_paused = true)]
async fn the_service_may_be_dropped_while_its_future_waits() {
    let server = server(secs(3600), ms(50));
    let service = OAuthLayer::new(server.fetcher()).layer(server.clone());
    service.oneshot(get("https://api.example.com/")).await.unwrap();
    assert_eq!(server.authorizations(), ["Bearer token-1"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_flight() {
    struct Ended(Arc<AtomicUsize>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let ended = Ended(Arc::clone(&counter));
        async move {
            let _ended = ended;
            pending::<Result<Token, BoxError>>().await
        }
    }));
    let other = cache.clone();
    assert!(timeout(ms(10), cache.token()).await.is_err());
    drop(cache);
    sleep(ms(10)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    drop(other);
    sleep(ms(10)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_frees_everything() {
    struct Held(#[allow(dead_code)] Arc<()>);
    let alive = Arc::new(());
    let held = Arc::new(Held(Arc::clone(&alive)));
    let cache = TokenCache::new(fetch_fn(move |_| {
        let _held = Arc::clone(&held);
        async { Ok::<_, BoxError>(Token::bearer("abc")) }
    }));
    cache.token().await.unwrap();
    cache.clone().token().await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(cache);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1, "the cache keeps itself alive");
}

/// Everyday life of test suites: one static cache, one runtime per test.
#[test]
fn a_flight_whose_runtime_ended_is_started_again_by_who_waits() {
    static FETCHES: AtomicUsize = AtomicUsize::new(0);
    static CACHE: LazyLock<TokenCache> = LazyLock::new(|| {
        TokenCache::new(fetch_fn(|_| async {
            // The first runtime is shut down while this one sleeps.
            if FETCHES.fetch_add(1, Ordering::SeqCst) == 0 {
                pending::<()>().await;
            }
            Ok::<_, BoxError>(Token::bearer("abc"))
        }))
    });
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let first = runtime();
    first.block_on(async { timeout(ms(20), CACHE.token()).await.unwrap_err() });
    // Somebody on another runtime waits for that flight when its runtime goes away.
    let waiter = std::thread::spawn(move || runtime().block_on(CACHE.token()));
    std::thread::sleep(ms(50));
    drop(first);
    assert_eq!(waiter.join().unwrap().unwrap().expose_secret(), "abc");
    assert_eq!(FETCHES.load(Ordering::SeqCst), 2);

    // No failure was remembered, and a third runtime just uses it.
    let third = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(third.block_on(CACHE.token()).unwrap().expose_secret(), "abc");
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let cache = cache(server(secs(3600), ms(0)).fetcher()).build();
    let error = tokio_test::task::spawn(cache.token()).poll();
    let std::task::Poll::Ready(Err(error)) = error else { panic!("it waits: {error:?}") };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[test]
fn without_timers_there_is_an_error() {
    let cache = cache(server(secs(3600), ms(0)).fetcher()).build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(cache.token()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[test]
fn a_runtime_that_is_gone_is_an_error_and_no_endless_loop() {
    let cache = cache(server(secs(3600), ms(50)).fetcher()).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    let polled = tokio_test::task::spawn(cache.token()).poll();
    let std::task::Poll::Ready(Err(error)) = polled else { panic!("it waits: {polled:?}") };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[tokio::test(start_paused = true)]
async fn a_fetcher_that_asks_its_own_cache_gets_an_error_at_once() {
    let cell: Arc<Mutex<Option<TokenCache>>> = Arc::default();
    let own = Arc::clone(&cell);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let own = own.lock().unwrap().clone().unwrap();
        async move { own.token().await }
    }));
    *cell.lock().unwrap() = Some(cache.clone());
    let start = tokio::time::Instant::now();
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recursive);
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_until_somebody_waits_nor_when_idle() {
    let server = server(secs(10), ms(50));
    let cache = cache(server.fetcher()).build();
    let service = OAuthLayer::with_source(cache.clone()).layer(resource());
    let future = support::call(&mut service.clone(), get("https://api.example.com/")).await;
    sleep(secs(1)).await;
    assert_eq!(server.token_requests(), 0, "fetched for a future that nobody polled");
    drop(future);
    cache.warm_up().await.unwrap();
    sleep(secs(3600)).await;
    assert_eq!(server.token_requests(), 1, "fetched while idle");
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_out_of_the_response_and_says_what_is_ours() {
    let server = AuthorizationServer::new();
    let denied = ResponseTemplate::oauth_error(StatusCode::BAD_REQUEST, "invalid_client");
    server.token_endpoint().always(denied);
    let service = OAuthLayer::new(server.fetcher()).layer(resource());
    let error = service.oneshot(get("https://api.example.com/")).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Denied);
    assert!(!ours(&error).is_transient());
}

/// Waking a herd lets other tasks have their turn.
#[tokio::test(start_paused = true)]
async fn a_herd_is_woken_in_parts() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    let served = Arc::new(AtomicUsize::new(0));
    // The first of them, which is woken first, and then looks what happens in its turns.
    let watcher = tokio::spawn({
        let (cache, served) = (cache.clone(), Arc::clone(&served));
        async move {
            cache.token().await.unwrap();
            let (mut before, mut longest) = (0, 0);
            while before < 10_000 {
                let now = served.load(Ordering::SeqCst);
                longest = longest.max(now - before);
                before = now;
                tokio::task::yield_now().await;
            }
            longest
        }
    });
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let (cache, served) = (cache.clone(), Arc::clone(&served));
        callers.spawn(async move {
            cache.token().await.unwrap();
            served.fetch_add(1, Ordering::SeqCst);
        });
    }
    callers.join_all().await;
    let longest = watcher.await.unwrap();
    assert!(longest < 500, "{longest} callers went ahead of another task");
}
