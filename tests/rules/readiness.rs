//! What `TokenCache::status` says about all this.

use http::StatusCode;
use tokio::time::sleep;
use tower_oauth::{ErrorKind, TokenCache, cache::TokenState, testing::ResponseTemplate};

use crate::{
    load::HOUR,
    support::{cache, ms, secs, server},
};

#[tokio::test(start_paused = true)]
async fn a_service_that_is_idle_stays_ready() {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    assert!(!cache.status().is_ready(), "nothing was fetched yet");
    cache.warm_up().await.unwrap();
    for _ in 0..48 {
        assert!(cache.status().is_ready());
        sleep(secs(1800)).await;
    }
    assert_eq!(cache.status().state, TokenState::Expired);
}

/// The last error stays until a fetch succeeds, however short its cooldown was.
#[tokio::test(start_paused = true)]
async fn an_outage_is_seen_by_whoever_looks() {
    let server = server(secs(100), ms(0));
    let cache = cache(server.fetcher()).build();
    server.down(true);
    cache.token().await.unwrap_err();
    for second in 0..86_400 / 3_600 {
        let status = cache.status();
        assert!(!status.is_ready());
        assert_eq!(status.last_error.unwrap().kind(), ErrorKind::Unavailable);
        assert_eq!((status.failed_ago, status.failures), (Some(second * HOUR), 1));
        sleep(HOUR).await;
    }
    cache.token().await.unwrap_err();
    let status = cache.status();
    assert_eq!((status.failed_ago, status.failures), (Some(ms(0)), 2));
    // Others are counted with it.
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().always(denied);
    sleep(HOUR).await;
    cache.token().await.unwrap_err();
    assert_eq!(cache.status().failures, 3);

    server.token_endpoint().always(ResponseTemplate::usual());
    sleep(HOUR).await;
    cache.token().await.unwrap();
    let status = cache.status();
    assert!(status.is_ready());
    assert!(status.last_error.is_none());
    assert_eq!((status.failed_ago, status.failures), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_ready_in_an_outage_for_as_long_as_its_token_lasts() {
    let server = server(secs(100), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.down(true);
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    let status = cache.status();
    assert!(status.is_ready() && status.last_error.is_some());
    sleep(status.usable_for.unwrap()).await;
    assert!(!cache.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_401_do_not_look_like_nothing() {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    assert_eq!(cache.status().rejected_ago, None);
    let reject = async |cache: &TokenCache| cache.lease().await.unwrap().reject().await.unwrap();
    for _ in 0..600 {
        let _ = reject(&cache).await;
        assert_eq!(cache.status().rejected_ago, Some(ms(0)));
        sleep(secs(1)).await;
        assert_eq!(cache.status().rejected_ago, Some(secs(1)));
    }
}

/// Its times are those of the newest token, whichever is used.
#[tokio::test(start_paused = true)]
async fn the_times_are_those_of_the_newest_token() {
    let server = server(secs(100), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(secs(10)).await;
    server.lifetime(secs(50));
    cache.refresh().await.unwrap();
    let another = cache.lease().await.unwrap().reject().await.unwrap().unwrap();
    assert_eq!(another.token().expose_secret(), "token-1");
    let status = cache.status();
    assert_eq!(status.state, TokenState::Fresh);
    assert_eq!((status.refresh_in, status.usable_for), (Some(secs(36)), Some(secs(45))));
}
