//! Whoever waits for a flight is answered, wherever it waits and whatever becomes of the runtime
//! that the flight is on: at the latest when the flight's time and a second are over.
//!
//! These flights hang for real, on runtimes that nobody drives, so this takes real time: about two
//! seconds.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time::sleep,
};
use tower::BoxError;
use tower_oauth::{Error, ErrorKind, Token, TokenCache, cache::RefreshPolicy, fetch_fn};

/// What a fetch may take in most of these tests.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The flight's time and a second, and what a busy machine adds.
const ANSWERED: Duration = Duration::from_millis(3000);

fn undriven() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn policy() -> RefreshPolicy {
    RefreshPolicy::default().fetch_timeout(TIMEOUT).unwrap()
}

/// A cache whose first fetch never ends; the others give `token-2`, `token-3` ...
fn first_hangs() -> TokenCache {
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = fetch_fn(move |_| {
        let number = fetches.fetch_add(1, SeqCst) + 1;
        async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(Token::bearer(format!("token-{number}")))
        }
    });
    TokenCache::builder(fetcher).refresh(policy()).build()
}

/// Begins a flight on a runtime, and leaves that alone.
fn leave_a_flight_on(runtime: &Runtime, cache: &TokenCache) {
    runtime.block_on(async {
        let mut waiting = pin!(cache.token());
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        // Once more, so that the fetch has begun.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Waits outside of any runtime.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match poll(future.as_mut(), &waker) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs this in a thread, and fails if it has not ended in time.
fn answered<T: Send + 'static>(within: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(within).expect("it waits for ever")
}

fn kind(result: Result<Token, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn outside_of_any_runtime() {
    let (runtime, cache) = (undriven(), first_hangs());
    leave_a_flight_on(&runtime, &cache);
    let kind = answered(ANSWERED, move || kind(wait(cache.token())));
    assert_eq!(kind, ErrorKind::NoRuntime);
}

#[test]
fn on_a_runtime_without_timers() {
    let (runtime, cache) = (undriven(), first_hangs());
    leave_a_flight_on(&runtime, &cache);
    let kind = answered(ANSWERED, move || {
        kind(Builder::new_current_thread().build().unwrap().block_on(cache.token()))
    });
    assert_eq!(kind, ErrorKind::NoRuntime);
}

/// It waits by the runtime's handle, which drives nothing.
#[test]
fn on_a_runtime_that_was_only_entered() {
    let runtime = undriven();
    let cache = first_hangs();
    let kind = answered(2 * ANSWERED, move || kind(runtime.handle().block_on(cache.token())));
    assert_eq!(kind, ErrorKind::Timeout);
}

#[test]
fn suspended_on_a_runtime_without_timers() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = fetch_fn(move |_| {
        let number = fetches.fetch_add(1, SeqCst);
        async move {
            if number > 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(Token::bearer("abc"))
        }
    });
    // The patience of five seconds is what ends it.
    let cache = TokenCache::builder(fetcher).build();
    let runtime = undriven();
    let lease = runtime.block_on(cache.lease()).unwrap();
    thread::sleep(Duration::from_millis(1100));
    runtime.block_on(async {
        assert!(poll(pin!(cache.refresh()), Waker::noop()).is_pending());
    });
    let another = answered(Duration::from_secs(10), move || {
        let without_timers = Builder::new_current_thread().build().unwrap();
        without_timers.block_on(async { tokio::spawn(lease.reject()).await }).unwrap()
    });
    assert!(another.unwrap().is_none());
    drop(runtime);
}

#[test]
fn moved_to_another_runtime_after_the_first_poll() {
    let (runtime, cache) = (undriven(), first_hangs());
    leave_a_flight_on(&runtime, &cache);
    let token = answered(ANSWERED, move || {
        let mut waiting = Box::pin(async move { cache.token().await });
        let first = runtime.block_on(async { poll(waiting.as_mut(), Waker::noop()) });
        assert!(first.is_pending());
        let token = undriven().block_on(waiting).unwrap();
        drop(runtime);
        token
    });
    assert_eq!(token.expose_secret(), "token-2");
}

#[test]
fn on_a_runtime_with_paused_time_which_does_not_jump() {
    let (runtime, cache) = (undriven(), first_hangs());
    leave_a_flight_on(&runtime, &cache);
    let (token, jumped) = answered(ANSWERED, move || {
        let paused = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        paused.block_on(async {
            let start = tokio::time::Instant::now();
            (cache.token().await.unwrap(), start.elapsed())
        })
    });
    assert_eq!((token.expose_secret(), jumped), ("token-2", Duration::ZERO));
}

#[test]
fn a_stale_token_is_refreshed_again_elsewhere() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let fetcher = fetch_fn(move |_| {
        let number = counted.fetch_add(1, SeqCst) + 1;
        async move {
            if number == 2 {
                std::future::pending::<()>().await;
            }
            let token = Token::bearer(format!("token-{number}"));
            Ok::<_, BoxError>(token.with_lifetime(Duration::from_secs(60)))
        }
    });
    let policy = policy().max_age(Duration::from_secs(1)).jitter(0.0).unwrap();
    let cache = TokenCache::builder(fetcher).refresh(policy).build();
    let runtime = undriven();
    runtime.block_on(cache.warm_up()).unwrap();
    thread::sleep(Duration::from_millis(1100));
    // Stale. Its refresh hangs with the runtime.
    runtime.block_on(async {
        assert!(cache.try_authorization().is_some());
        tokio::task::yield_now().await;
    });
    let elsewhere = undriven();
    let end = Instant::now() + 2 * ANSWERED;
    while fetches.load(SeqCst) < 3 {
        assert!(Instant::now() < end, "never refreshed");
        elsewhere.block_on(async {
            assert!(cache.try_authorization().is_some());
            sleep(Duration::from_millis(20)).await;
        });
    }
}

#[test]
fn a_fetcher_that_blocks_its_thread_keeps_nobody_waiting_longer_than_a_fetch_may_take() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let blocked_until = Arc::clone(&over);
    let fetcher = fetch_fn(move |_| {
        let over = Arc::clone(&blocked_until);
        async move {
            while !over.load(SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            Ok::<_, BoxError>(Token::bearer("too late"))
        }
    });
    let cache = TokenCache::builder(fetcher).refresh(policy()).build();
    let start = Instant::now();
    let waiters: Vec<_> = (0..10)
        .map(|_| cache.clone())
        .map(|cache| runtime.spawn(async move { cache.token().await }))
        .collect();
    for waiter in waiters {
        assert_eq!(kind(runtime.block_on(waiter).unwrap()), ErrorKind::Timeout);
    }
    assert!(start.elapsed() < ANSWERED, "{:?}", start.elapsed());
    // What comes later is not held: it was given up.
    over.store(true, SeqCst);
    runtime.block_on(async { sleep(Duration::from_millis(50)).await });
    assert!(cache.status().refresh_in.is_none());
}

#[test]
fn a_late_return_around_the_giving_up_leaves_nobody_asleep() {
    // The flight is given up a second after its time; its runtime is driven again around then.
    const TIMEOUT: Duration = Duration::from_millis(50);
    let rounds: Vec<_> = (0..12)
        .map(|round| {
            thread::spawn(move || {
                let fetches = Arc::new(AtomicUsize::new(0));
                let returns = Arc::new(AtomicBool::new(false));
                let first_returns = Arc::clone(&returns);
                let fetcher = fetch_fn(move |_| {
                    let (number, returns) =
                        (fetches.fetch_add(1, SeqCst) + 1, first_returns.clone());
                    async move {
                        while number == 1 && !returns.load(SeqCst) {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, BoxError>(Token::bearer(format!("token-{number}")))
                    }
                });
                let policy = RefreshPolicy::default().fetch_timeout(TIMEOUT).unwrap();
                let cache = TokenCache::builder(fetcher).refresh(policy).build();
                let runtime = undriven();
                let start = Instant::now();
                leave_a_flight_on(&runtime, &cache);
                let healthy =
                    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                let waiters: Vec<_> = (0..200)
                    .map(|_| cache.clone())
                    .map(|cache| healthy.spawn(async move { cache.token().await }))
                    .collect();
                let given_up = start + TIMEOUT + Duration::from_secs(1);
                let late = given_up - Duration::from_millis(6) + round * Duration::from_millis(1);
                thread::sleep(late.saturating_duration_since(Instant::now()));
                returns.store(true, SeqCst);
                runtime.block_on(async { tokio::task::yield_now().await });
                healthy.block_on(async {
                    let mut secrets = Vec::new();
                    for waiter in waiters {
                        let waiter = tokio::time::timeout(Duration::from_secs(10), waiter);
                        let token = waiter.await.expect("it sleeps for ever").unwrap();
                        secrets.push(token.map(|token| token.expose_secret().to_owned()));
                    }
                    secrets
                })
            })
        })
        .collect();
    for round in rounds {
        let secrets = round.join().unwrap();
        // One token for all; or a timeout, if the late one came within its supervisor's view.
        assert!(secrets.iter().all(|secret| match secret {
            Ok(secret) => secret.starts_with("token-"),
            Err(error) => error.kind() == ErrorKind::Timeout,
        }));
    }
}

#[test]
fn a_hundred_runtimes_that_are_lost_one_after_the_other() {
    let healthy = undriven();
    let here = healthy.handle().id();
    let cache = TokenCache::new(fetch_fn(move |_| async move {
        if tokio::runtime::Handle::current().id() != here {
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>(Token::bearer("at-last"))
    }));
    let mut waiting = pin!(cache.token());
    for _ in 0..100 {
        // It joins a flight that somebody else has begun, and that is lost then.
        let short_lived = undriven();
        leave_a_flight_on(&short_lived, &cache);
        let first = healthy.block_on(async { poll(waiting.as_mut(), Waker::noop()) });
        assert!(first.is_pending(), "{first:?}");
        drop(short_lived);
    }
    assert_eq!(healthy.block_on(waiting).unwrap().expose_secret(), "at-last");
}

#[test]
fn wakers_that_use_the_cache_or_panic_keep_nobody_asleep() {
    struct Meddler {
        cache: Mutex<Option<TokenCache>>,
        panics: bool,
    }
    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {
            if let Some(cache) = &*self.cache.lock().unwrap() {
                assert!(cache.try_authorization().is_some());
            }
            assert!(!self.panics, "a waker panics");
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            if let Some(cache) = &*self.cache.lock().unwrap() {
                drop(cache.status());
            }
        }
    }
    let runtime = undriven();
    let answers = Arc::new(AtomicBool::new(false));
    let fetcher_answers = Arc::clone(&answers);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let answers = Arc::clone(&fetcher_answers);
        async move {
            while !answers.load(SeqCst) {
                tokio::task::yield_now().await;
            }
            Ok::<_, BoxError>(Token::bearer("abc"))
        }
    }));
    leave_a_flight_on(&runtime, &cache);
    let token = answered(ANSWERED, move || {
        let meddler = |panics| {
            Waker::from(Arc::new(Meddler { cache: Mutex::new(Some(cache.clone())), panics }))
        };
        runtime.block_on(async {
            let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(cache.token())).collect();
            for (number, waiter) in waiting.iter_mut().enumerate() {
                assert!(poll(waiter.as_mut(), &meddler(number % 2 == 0)).is_pending());
            }
            // Some leave, some are polled with another waker.
            waiting.truncate(90);
            for waiter in &mut waiting[..10] {
                assert!(poll(waiter.as_mut(), &meddler(true)).is_pending());
            }
            answers.store(true, SeqCst);
            cache.token().await.unwrap()
        })
    });
    assert_eq!(token.expose_secret(), "abc");
}

#[test]
fn of_two_wakers_the_newer_one_is_woken_and_one_that_left_is_let_go() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let [older, newer, left] = [(); 3].map(|()| Arc::new(Count::default()));
    let runtime = undriven();
    let cache = TokenCache::new(fetch_fn(|_| async {
        sleep(Duration::from_millis(10)).await;
        Ok::<_, BoxError>(Token::bearer("abc"))
    }));
    runtime.block_on(async {
        let (mut stays, mut leaves) = (Box::pin(cache.token()), Box::pin(cache.token()));
        assert!(poll(stays.as_mut(), &Waker::from(Arc::clone(&older))).is_pending());
        assert!(poll(stays.as_mut(), &Waker::from(Arc::clone(&newer))).is_pending());
        assert_eq!(Arc::strong_count(&older), 1);
        assert!(poll(leaves.as_mut(), &Waker::from(Arc::clone(&left))).is_pending());
        assert_eq!(Arc::strong_count(&left), 2);
        drop(leaves);
        assert_eq!(Arc::strong_count(&left), 1);
        cache.warm_up().await.unwrap();
        tokio::task::yield_now().await;
    });
    let counts = [&older, &newer, &left].map(|waker| waker.0.load(SeqCst));
    assert_eq!(counts, [0, 1, 0]);
}

/// The runtime of the fetch is left in the very turn in which the token came.
#[test]
fn after_the_token_came() {
    let runtime = undriven();
    let (go, came) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (gone, comes) = (Arc::clone(&go), Arc::clone(&came));
    let fetcher = fetch_fn(move |_| {
        let (go, came) = (Arc::clone(&gone), Arc::clone(&comes));
        async move {
            go.notified().await;
            came.notify_one();
            Ok::<_, BoxError>(Token::bearer("abc"))
        }
    });
    let cache = TokenCache::builder(fetcher).refresh(policy()).build();
    leave_a_flight_on(&runtime, &cache);
    let (waiting, (sender, receiver)) = (cache.clone(), mpsc::channel());
    thread::spawn(move || {
        let mut token = Box::pin(waiting.token());
        let _ = poll(token.as_mut(), Waker::noop());
        sender.send(None).unwrap();
        sender.send(Some(wait(token).map(drop))).unwrap();
    });
    assert!(receiver.recv().unwrap().is_none());
    thread::sleep(Duration::from_millis(20));
    runtime.block_on(async {
        // So many that not all have their turn before this task has its own.
        for _ in 0..200 {
            tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        go.notify_one();
        came.notified().await;
    });
    assert!(receiver.recv_timeout(ANSWERED).expect("it waits for ever").unwrap().is_ok());
}
