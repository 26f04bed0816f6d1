//! From when on a token is refreshed, and until when it is used.

use std::{
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_oauth::{
    Error, FetchToken, Token, TokenCache,
    cache::{Clock, RefreshPolicy, TokenState},
    fetch_fn,
};

use crate::{
    load::{CHANCES, client, paced, slow_server},
    support::{cache, cache_with, ms, secs, server},
};

/// How many fetches there are in 20 s, if a token is asked for every 10 ms.
async fn fetches(
    policy: RefreshPolicy,
    token: impl Fn(u64) -> Token + Send + 'static + Clone,
) -> u64 {
    let fetches = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&fetches);
    let fetcher = fetch_fn(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        ready(Ok::<_, Error>(token(number)))
    });
    let cache = cache_with(fetcher, || 1.0).refresh(policy).build();
    for _ in 0..2_000 {
        cache.token().await.unwrap();
        sleep(ms(10)).await;
    }
    fetches.load(Ordering::SeqCst)
}

/// A store hands out a token that was due before it came; or chance takes all the time off.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_at_once_costs_one_fetch_a_second() {
    let aged = |age| {
        move |number| {
            Token::bearer(format!("token-{number}")).with_lifetime(secs(3600)).with_age(secs(age))
        }
    };
    let policy = RefreshPolicy::default;
    let full_jitter = policy().jitter(1.0).unwrap();
    for (what, most, fetches) in [
        ("due long ago", 1, fetches(policy(), aged(3000)).await),
        ("about to end", 20, fetches(policy(), aged(3595)).await),
        ("ended", 20, fetches(policy(), aged(4000)).await),
        ("full jitter", 20, fetches(full_jitter, aged(0)).await),
        ("an age of nothing", 20, fetches(policy().max_age(ms(0)), aged(0)).await),
    ] {
        assert!(fetches <= most, "{what}: {fetches}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_second_tokens_make_nobody_wait() {
    for chance in CHANCES {
        let server = slow_server(secs(2));
        let (client, cache) = client(&server, chance);
        cache.warm_up().await.unwrap();
        let sent = paced(&client, ms(10), secs(60)).await;
        assert!(sent.iter().all(|sent| sent.is_ok() && sent.took == ms(50)), "{chance:?}");
        assert!(server.token_requests() <= 120, "{chance:?}: {}", server.token_requests());
    }
}

/// Moved by hand, to the nanosecond.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn set(&self, now: Duration) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// That many seconds, less a nanosecond.
fn just_before(seconds: u64) -> Duration {
    secs(seconds) - Duration::from_nanos(1)
}

/// It is used up to its last moment, and not in the moment of its end.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_token_is_never_late() {
    let (clock, server) = (Hand::default(), server(secs(100), ms(0)));
    let cache = cache(server.fetcher()).clock(clock.clone()).build();
    let lease = cache.lease().await.unwrap();
    let used = async || cache.token().await.unwrap().expose_secret().to_owned();
    let is_usable_until = |end: u64| {
        clock.set(just_before(end));
        assert!(lease.is_usable());
        assert_ne!(cache.status().state, TokenState::Expired);
        clock.set(secs(end));
        assert!(!lease.is_usable());
        assert_eq!(cache.status().state, TokenState::Expired);
        assert_eq!(cache.status().usable_for, Some(ms(0)));
    };
    is_usable_until(90);
    // As it is after it has come again.
    clock.set(secs(80));
    server.reuse_tokens(true);
    assert_eq!(used().await, "token-1");
    sleep(ms(1)).await;
    is_usable_until(170);
    clock.set(just_before(170));
    server.reuse_tokens(false);
    assert_eq!(used().await, "token-1");
    sleep(ms(1)).await;
    // And as it is while it is used in place of another one.
    let newest = cache.lease().await.unwrap();
    assert_eq!(newest.token().expose_secret(), "token-2");
    let fallback = newest.reject().await.unwrap().expect("the one before");
    assert_eq!(fallback.token().expose_secret(), "token-1");
    assert!(fallback.is_usable());
    clock.set(secs(170));
    assert!(!fallback.is_usable());
    assert_eq!(used().await, "token-2");
}

/// A token that is handed on is as old as it is.
#[tokio::test(start_paused = true)]
async fn a_cache_behind_a_cache_knows_how_old_its_tokens_are() {
    async fn handed_on(fetcher: impl FetchToken, inner: &TokenCache) {
        let outer = cache(fetcher).build();
        outer.warm_up().await.unwrap();
        assert_eq!(outer.status().expires_in, inner.status().expires_in);
        assert_eq!(outer.status().usable_for, inner.status().usable_for);
    }
    let server = server(secs(100), secs(2));
    let inner = cache(server.fetcher()).build();
    inner.warm_up().await.unwrap();
    for age in [2, 60, 85] {
        sleep(secs(age) - inner.token().await.unwrap().age().unwrap()).await;
        assert_eq!(inner.token().await.unwrap().age(), Some(secs(age)));
        let asked = inner.clone();
        handed_on(fetch_fn(move |_| ready_token(asked.clone())), &inner).await;
        let asked = inner.clone();
        let leased = move |_| {
            let asked = asked.clone();
            async move { asked.lease().await.map(|lease| lease.token()) }
        };
        handed_on(fetch_fn(leased), &inner).await;
    }
}

async fn ready_token(cache: TokenCache) -> Result<Token, Error> {
    cache.token().await
}

/// A store keeps what it was given, and gives it back when it is long dead.
#[tokio::test(start_paused = true)]
async fn a_dead_token_from_a_store_is_not_taken_for_a_new_one() {
    let server = server(secs(100), ms(0));
    let inner = cache(server.fetcher()).build();
    let stored = inner.token().await.unwrap();
    let stored = stored.with_age(secs(500));
    let outer = cache(fetch_fn(move |_| ready(Ok::<_, Error>(stored.clone())))).build();
    outer.warm_up().await.unwrap();
    assert_eq!(outer.status().usable_for, Some(secs(1)), "what every token is kept for");
}

/// As on a machine that has just booted, whose store has a token of an hour ago.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_older_than_the_clock_keeps_its_age() {
    #[derive(Clone)]
    struct Booted(tokio::time::Instant);
    impl Clock for Booted {
        fn now(&self) -> Duration {
            self.0.elapsed()
        }
    }
    let clock = Booted(tokio::time::Instant::now());
    let stored = Token::bearer("abc").with_lifetime(secs(3600)).with_age(secs(3000));
    let inner = cache(fetch_fn(move |_| ready(Ok::<_, Error>(stored.clone()))));
    let inner = inner.clock(clock.clone()).build();
    inner.warm_up().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(inner.token().await.unwrap().age(), Some(secs(3060)));
    let asked = inner.clone();
    let outer = cache(fetch_fn(move |_| ready_token(asked.clone()))).clock(clock).build();
    outer.warm_up().await.unwrap();
    assert_eq!(outer.status().expires_in, Some(secs(540)));
    assert_eq!(outer.token().await.unwrap().age(), Some(secs(3060)));
}
