//! What keeps a cache and its flight alive, and that nothing else does.

mod support;

use std::{future::pending, sync::Arc};

use support::{cache, get, ms, secs, server};
use tokio::time::{sleep, timeout};
use tower::BoxError;
use tower_oauth::{
    Token, TokenCache,
    cache::Acquire,
    fetch_fn,
    source::{RequestHead, TokenSource},
};

/// A future that waits for the flight of a cache, which is dropped.
async fn waits_alone(cache: TokenCache) -> Acquire {
    let request = get("https://api.example.com/");
    let mut acquire = cache.acquire(&RequestHead::from(&request));
    assert!(timeout(ms(1), &mut acquire).await.is_err());
    drop(cache);
    sleep(ms(1)).await;
    acquire
}

#[tokio::test(start_paused = true)]
async fn an_acquire_alone_keeps_the_flight() {
    let server = server(secs(3600), ms(50));
    let lease = waits_alone(cache(server.fetcher()).build()).await.await.unwrap();
    assert_eq!(lease.token().expose_secret(), "token-1");
    assert!(lease.is_usable());
    // And the lease alone has the token refreshed.
    let lease = lease.reject().await.unwrap().unwrap();
    assert_eq!(lease.token().expose_secret(), "token-2");
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
    let lease = waits_alone(cache).await.await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 2, "the fetcher, for the lease");
    drop(lease);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_acquire_ends_the_flight() {
    let alive = Arc::new(());
    let held = Arc::downgrade(&alive);
    let cache = TokenCache::new(fetch_fn(move |_| {
        let held = held.upgrade();
        async move {
            let _held = held;
            pending::<Result<Token, BoxError>>().await
        }
    }));
    let acquire = waits_alone(cache).await;
    assert_eq!(Arc::strong_count(&alive), 2, "the fetch");
    drop(acquire);
    sleep(ms(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}
