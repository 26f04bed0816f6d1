//! Runtimes, clocks, errors and subscribers that do what nobody should do.
mod support;

use http::{Request, Response, StatusCode};
use std::{
    future::pending,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use support::{Answer, Body, Endpoint, Resource, get, ms, secs};
use tokio::time::{sleep, timeout};
use tower::BoxError;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache,
    cache::{Clock, RefreshPolicy},
    fetch_fn,
    source::{RequestHead, TokenSource},
};

const URI: &str = "https://api.example.com/";

fn in_time(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let t = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match is_done.recv_timeout(secs(5)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("hangs: {what}"),
        _ => t.join().unwrap(),
    }
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// As a blocking SDK has it, which enters its runtime for the time of each call.
#[test]
fn a_flight_on_a_runtime_that_nobody_drives_does_not_hang_the_others() {
    in_time("a waiter on another runtime", || {
        let fetches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&fetches);
        let cache = TokenCache::builder(fetch_fn(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(ms(100)).await;
                Ok::<_, BoxError>(Token::bearer("abc"))
            }
        }))
        .refresh(RefreshPolicy::default().fetch_timeout(ms(200)).unwrap())
        .build();
        let first = rt();
        first.block_on(async { timeout(ms(20), cache.token()).await.unwrap_err() });
        // `first` is alive and idle, as between two calls of a blocking SDK.
        let second = rt();
        let outcome = second.block_on(async { timeout(secs(3), cache.token()).await });
        assert!(outcome.is_ok(), "waits for ever, far beyond fetch_timeout");
    });
}

/// Tokio tells it by a panic, which the panic hook shows.
#[test]
fn no_timers_is_no_panic_per_request() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let endpoint = Endpoint::with_lifetime(secs(100)).delay(ms(0));
    #[derive(Clone)]
    struct C(Arc<Mutex<Duration>>);
    impl Clock for C {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }
    let clock = C(Arc::new(Mutex::new(secs(1))));
    let cache = TokenCache::builder(endpoint.fetcher()).clock(clock.clone()).build();
    rt().block_on(cache.warm_up()).unwrap();
    *clock.0.lock().unwrap() = secs(80); // stale
    let old = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        for _ in 0..10 {
            cache.token().await.unwrap();
        }
    });
    std::panic::set_hook(old);
    let panics = PANICS.load(Ordering::SeqCst);
    assert!(panics <= 1, "the panic hook ran {panics} times for 10 requests with a usable token");
}

/// Where rounding makes the jitter larger than what it is taken from.
#[tokio::test]
async fn full_jitter_does_not_panic() {
    let mut bad = vec![];
    for n in 0..40u32 {
        let token = Token::bearer("abc")
            .with_lifetime(secs(31_000_000))
            .with_refresh_after(Duration::new(20_000_000 + u64::from(n), 123_456_789 + n));
        let endpoint = Endpoint::new(Answer::Token(token)).delay(ms(0));
        let policy = RefreshPolicy::default().jitter(1.0).unwrap();
        let cache = endpoint.cache_with(1.0).refresh(policy).build();
        // Real time: the storm below never lets paused time go on.
        match timeout(ms(50), cache.token()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => bad.push((n, format!("{:?}", error.kind()), endpoint.count())),
            Err(_) => bad.push((n, "no answer".into(), endpoint.count())),
        }
    }
    assert!(bad.is_empty(), "{} of 40: {:?}", bad.len(), &bad[..3.min(bad.len())]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_outage_waits_a_second() {
    let endpoint = Endpoint::new(Answer::Fail(ErrorKind::Unavailable)).delay(ms(0));
    let cache = endpoint.cache_with(1.0).build();
    for _ in 0..6 {
        let left = cache.token().await.unwrap_err().retry_after().unwrap();
        sleep(left).await;
    }
    endpoint.set(Answer::Fail(ErrorKind::Denied));
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.retry_after(), Some(secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_the_same_secret_waits_a_second() {
    let endpoint =
        Endpoint::new(Answer::Token(Token::bearer("abc").with_lifetime(secs(3600)))).delay(ms(0));
    let cache = endpoint.cache_with(1.0).build();
    cache.token().await.unwrap();
    sleep(secs(3000)).await;
    for _ in 0..8 {
        cache.token().await.unwrap();
        sleep(secs(31)).await;
    }
    endpoint.set(Answer::Fail(ErrorKind::Denied));
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    let error = cache.status().last_error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.retry_after().unwrap() <= secs(1), "{error}");
}

#[test]
fn the_clock_is_not_asked_under_the_lock() {
    in_time("status() asks the clock while it holds the lock", || {
        #[derive(Clone, Default)]
        struct Nosy(Arc<OnceLock<TokenCache>>, Arc<AtomicUsize>);
        impl Clock for Nosy {
            fn now(&self) -> Duration {
                // What a clock of a test harness may do: look at what it drives, once.
                if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                    if let Some(cache) = self.0.get() {
                        let _ = cache.status();
                    }
                }
                secs(1)
            }
        }
        let clock = Nosy::default();
        let cache = TokenCache::builder(Endpoint::with_lifetime(secs(9)).fetcher())
            .clock(clock.clone())
            .build();
        clock.0.set(cache.clone()).ok().unwrap();
        let _ = cache.status();
    });
}

#[test]
fn a_users_error_is_not_dropped_under_the_lock() {
    in_time("an error that owns a handle", || {
        #[derive(Debug)]
        struct Failed(#[allow(dead_code)] TokenCache);
        impl Drop for Failed {
            fn drop(&mut self) {
                let _ = self.0.status();
            }
        }
        impl std::fmt::Display for Failed {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("failed")
            }
        }
        impl std::error::Error for Failed {}
        let cell: Arc<OnceLock<TokenCache>> = Arc::default();
        let own = Arc::clone(&cell);
        let n = Arc::new(AtomicUsize::new(0));
        let cache = TokenCache::builder(fetch_fn(move |_| {
            let cache = own.get().unwrap().clone();
            let first = n.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first { Err(BoxError::from(Failed(cache))) } else { Ok(Token::bearer("abc")) }
            }
        }))
        .jitter_source(|| 0.0)
        .build();
        cell.set(cache.clone()).ok().unwrap();
        rt().block_on(async {
            drop(cache.token().await.unwrap_err());
            sleep(ms(600)).await;
            cache.token().await.unwrap();
        });
    });
}

#[test]
fn the_subscriber_is_not_called_under_a_lock() {
    in_time("a subscriber that sends through the same service", || {
        use tracing_subscriber::fmt::MakeWriter;
        type Send = Arc<dyn Fn() + std::marker::Send + Sync>;
        #[derive(Clone)]
        struct W(Arc<OnceLock<Send>>);
        impl std::io::Write for W {
            fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
                if let Some(s) = self.0.get() {
                    s()
                }
                Ok(b.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        impl<'a> MakeWriter<'a> for W {
            type Writer = Self;
            fn make_writer(&'a self) -> Self {
                self.clone()
            }
        }
        let cell = Arc::new(OnceLock::new());
        let sub = tracing_subscriber::fmt().with_writer(W(Arc::clone(&cell))).finish();
        let service = OAuthLayer::with_source(Token::bearer("abc"))
            .origin(URI)
            .unwrap()
            .layer(Resource::default().service());
        let send: Send = {
            let s = service.clone();
            Arc::new(move || {
                drop(s.clone().call(get("https://logs.example.com/")));
            })
        };
        cell.set(send).ok().unwrap();
        tracing::subscriber::with_default(sub, || {
            drop(service.clone().call(get("https://cdn.example.com/")));
        });
    });
}

fn status(s: StatusCode) -> Response<Body> {
    support::status(s)
}

/// The rejected attempt is over: its place is the one that the replay needs.
#[tokio::test(start_paused = true)]
async fn the_first_attempt_gives_its_place_back_before_the_replay() {
    let endpoint = Endpoint::with_lifetime(secs(3600));
    let cache = endpoint.cache();
    cache.warm_up().await.unwrap();
    let inner = tower::service_fn(|request: Request<Body>| async move {
        sleep(secs(1)).await;
        let old = support::authorization(request.headers()).unwrap() == "Bearer token-1";
        Ok::<_, BoxError>(status(if old { StatusCode::UNAUTHORIZED } else { StatusCode::OK }))
    });
    let mut service = ServiceBuilder::new()
        .layer(OAuthLayer::with_source(cache.clone()))
        .load_shed()
        .concurrency_limit(1)
        .service(inner);
    let first = tokio::spawn(service.ready().await.unwrap().call(get(URI)));
    sleep(ms(10)).await;
    // Somebody else had the token refreshed meanwhile.
    let other = cache.clone();
    let request = get(URI);
    let lease = other.try_acquire(&RequestHead::from(&request)).unwrap();
    lease.reject().await.unwrap().unwrap();
    let answer = first.await.unwrap();
    assert!(answer.is_ok(), "{}", answer.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_drop_of_the_fetch_is_an_error() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let n = Arc::clone(&fetches);
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in drop")
            }
        }
    }
    struct Fut(#[allow(dead_code)] Bad);
    impl Future for Fut {
        type Output = Result<Token, BoxError>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Self::Output> {
            Poll::Ready(Ok(Token::bearer("a")))
        }
    }
    let cache = TokenCache::new(fetch_fn(move |_| {
        n.fetch_add(1, Ordering::SeqCst);
        Fut(Bad)
    }));
    let e = cache.token().await.unwrap_err();
    let _ = cache.token().await;
    assert_eq!((e.kind(), fetches.load(Ordering::SeqCst)), (ErrorKind::Panicked, 1));
}

#[test]
fn changing_a_clone_of_an_error_changes_it() {
    let template = Error::new(ErrorKind::Denied);
    assert_eq!(template.clone().with_description("because").description(), Some("because"));
}

#[tokio::test(start_paused = true)]
async fn an_acquire_alone_keeps_the_flight() {
    let endpoint = Endpoint::with_lifetime(secs(3600));
    let cache = endpoint.cache();
    let request = get(URI);
    let mut acquire = cache.acquire(&RequestHead::from(&request));
    assert!(timeout(ms(1), &mut acquire).await.is_err());
    drop(cache);
    sleep(ms(1)).await;
    let lease = acquire.await.unwrap();
    assert_eq!(lease.token().expose_secret(), "token-1");
    assert!(lease.is_usable());
    // and the lease alone has it refreshed
    assert_eq!(lease.reject().await.unwrap().unwrap().token().expose_secret(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_outlives_the_cache_leaks_nothing() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let _held = Arc::clone(&held);
        async {
            sleep(ms(50)).await;
            Ok::<_, BoxError>(Token::bearer("abc"))
        }
    }));
    let request = get(URI);
    let mut acquire = cache.acquire(&RequestHead::from(&request));
    assert!(timeout(ms(1), &mut acquire).await.is_err());
    drop(cache);
    let lease = acquire.await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(lease);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_acquire_ends_the_flight() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            pending::<Result<Token, BoxError>>().await
        }
    }));
    let request = get(URI);
    let mut acquire = cache.acquire(&RequestHead::from(&request));
    assert!(timeout(ms(1), &mut acquire).await.is_err());
    drop(cache);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 4);
    drop(acquire);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn recursion_through_a_buffer() {
    let cell: Arc<Mutex<Option<TokenCache>>> = Arc::default();
    let own = Arc::clone(&cell);
    let fetcher = ServiceBuilder::new().buffer(1).service(fetch_fn(move |_| {
        let own = own.lock().unwrap().clone().unwrap();
        async move { own.token().await.map_err(BoxError::from) }
    }));
    let cache = TokenCache::new(fetcher);
    *cell.lock().unwrap() = Some(cache.clone());
    let start = tokio::time::Instant::now();
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recursive);
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn recursion_through_another_cache() {
    let cell: Arc<Mutex<Option<TokenCache>>> = Arc::default();
    let own = Arc::clone(&cell);
    let b = TokenCache::new(fetch_fn(move |_| {
        let own = own.lock().unwrap().clone().unwrap();
        async move { own.token().await }
    }));
    let a = TokenCache::new(fetch_fn(move |_| {
        let b = b.clone();
        async move { b.token().await }
    }));
    *cell.lock().unwrap() = Some(a.clone());
    let start = tokio::time::Instant::now();
    let error = a.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recursive);
    assert_eq!(start.elapsed(), ms(0));
}

#[test]
fn a_rejection_without_a_runtime_leaves_the_token() {
    let endpoint = Endpoint::with_lifetime(secs(100)).delay(ms(0));
    let cache = TokenCache::new(endpoint.fetcher());
    rt().block_on(cache.warm_up()).unwrap();
    let request = get(URI);
    let lease = cache.try_acquire(&RequestHead::from(&request)).unwrap();
    let polled = tokio_test::task::spawn(lease.reject()).poll();
    assert!(matches!(polled, Poll::Ready(Ok(None))));
    assert!(cache.try_acquire(&RequestHead::from(&request)).is_some());
}
