//! Fetchers that need a token of the very cache that they fetch for.

mod support;

use std::sync::{Arc, OnceLock};

use support::ms;
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder};
use tower_oauth::{ErrorKind, TokenCache, fetch_fn};

/// That the cache, which is put into the cell, gives the error at once.
async fn is_noticed(cache: TokenCache, cell: &OnceLock<TokenCache>) {
    cell.set(cache.clone()).unwrap();
    let start = Instant::now();
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recursive);
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn through_a_buffer() {
    let cell: Arc<OnceLock<TokenCache>> = Arc::default();
    let own = Arc::clone(&cell);
    let fetcher = ServiceBuilder::new().buffer(1).service(fetch_fn(move |_| {
        let own = own.get().unwrap().clone();
        async move { own.token().await.map_err(BoxError::from) }
    }));
    is_noticed(TokenCache::new(fetcher), &cell).await;
}

#[tokio::test(start_paused = true)]
async fn through_another_cache() {
    let cell: Arc<OnceLock<TokenCache>> = Arc::default();
    let own = Arc::clone(&cell);
    let other = TokenCache::new(fetch_fn(move |_| {
        let own = own.get().unwrap().clone();
        async move { own.token().await }
    }));
    let cache = TokenCache::new(fetch_fn(move |_| {
        let other = other.clone();
        async move { other.token().await }
    }));
    is_noticed(cache, &cell).await;
}
