//! A process that is frozen in the middle of a refresh: a laptop that sleeps, a function between two
//! calls.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use tokio::{task::JoinSet, time::sleep};
use tower_oauth::{
    Error, RefreshReason, TokenCache,
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};

use crate::{
    load::HOUR,
    support::{cache, ms, reasons, secs, server},
};

/// A cache whose clock has just gone on by two hours while its stale token was refreshed; the fetch
/// notices a second later, and fails.
async fn thawed(server: &AuthorizationServer) -> TokenCache {
    let clock = TokioClock::new();
    let cache = cache(server.fetcher()).clock(clock.clone()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    let broken = ResponseTemplate::connection_dropped().after(secs(1));
    server.token_endpoint().next(broken);
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    clock.suspend(secs(7200));
    cache
}

async fn ask(cache: &TokenCache, callers: usize) -> Vec<Result<(), Error>> {
    let mut asking = JoinSet::new();
    for _ in 0..callers {
        let cache = cache.clone();
        asking.spawn(async move { cache.warm_up().await });
    }
    asking.join_all().await
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_its_refresh_does_not_get_its_error() {
    let server = server(HOUR, ms(50));
    let cache = thawed(&server).await;
    let results = ask(&cache, 100).await;
    assert!(results.iter().all(Result::is_ok));
    let expected = [RefreshReason::Cold, RefreshReason::Stale, RefreshReason::Expired];
    assert_eq!(reasons(&server), expected);
}

/// One more fetch, whose error is the last word.
#[tokio::test(start_paused = true)]
async fn if_the_endpoint_is_down_there_is_one_fetch_more_and_a_cooldown() {
    let server = server(HOUR, ms(50));
    let cache = thawed(&server).await;
    server.down(true);
    let results = ask(&cache, 100).await;
    assert!(results.iter().all(Result::is_err));
    assert_eq!(server.token_requests(), 3);
    assert!(ask(&cache, 100).await.iter().all(Result::is_err));
    assert_eq!(server.token_requests(), 3);
    assert_eq!(cache.status().failures, 2);
}

/// Who did not wait for it is told of the failure by nobody, and by its cooldown.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_nobody_joined_fails_like_any_other() {
    let server = server(HOUR, ms(50));
    let cache = thawed(&server).await;
    sleep(secs(2)).await;
    assert!(cache.status().last_error.is_some());
    assert_eq!(ask(&cache, 10).await.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(server.token_requests(), 3);
}

/// A token that is used meanwhile needs no such fetch.
#[tokio::test(start_paused = true)]
async fn whoever_has_a_token_does_not_join() {
    let server = server(HOUR, ms(50));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.down(true);
    let results = ask(&cache, 100).await;
    assert!(results.iter().all(Result::is_ok));
    sleep(Duration::from_millis(51)).await;
    assert_eq!(server.token_requests(), 2);
    assert_eq!(cache.status().failures, 1);
    assert!(ask(&cache, 100).await.iter().all(Result::is_ok));
    assert_eq!(server.token_requests(), 2, "in the cooldown");
}

/// Nor who waits because the stale token was rejected meanwhile.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_replacement_of_a_rejected_token_does_not_get_its_error() {
    let server = server(HOUR, ms(50));
    let clock = TokioClock::new();
    let cache = cache(server.fetcher()).clock(clock.clone()).build();
    let token = cache.token().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.token_endpoint().next(ResponseTemplate::connection_dropped().after(secs(1)));
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    assert!(cache.invalidate(&token));
    let asked = ask(&cache, 100);
    let (results, ()) = tokio::join!(asked, async {
        sleep(ms(1)).await;
        clock.suspend(2 * HOUR);
    });
    assert!(results.iter().all(Result::is_ok));
    let expected = [RefreshReason::Cold, RefreshReason::Stale, RefreshReason::Expired];
    assert_eq!(reasons(&server), expected);
}

/// Its failure is one all the same, and the time that the endpoint asks for is kept.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_told_to_come_later_is_not_repeated() {
    let server = server(HOUR, ms(50));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    let status = cache.status();
    sleep(status.usable_for.unwrap() - ms(500)).await;
    let busy = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    server.token_endpoint().next(busy.header(RETRY_AFTER, HeaderValue::from(120)).after(secs(1)));
    cache.token().await.unwrap();
    sleep(ms(600)).await;
    assert!(ask(&cache, 10).await.iter().all(Result::is_err));
    let status = cache.status();
    assert_eq!((status.failures, status.is_ready()), (1, false));
    sleep(secs(119)).await;
    assert!(ask(&cache, 10).await.iter().all(Result::is_err));
    assert_eq!(server.token_requests(), 2);
    sleep(secs(1)).await;
    assert!(ask(&cache, 10).await.iter().all(Result::is_ok));
}
