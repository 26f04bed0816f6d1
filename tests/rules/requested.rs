//! Somebody knows better than the rules: `TokenCache::refresh` and `TokenCache::invalidate`.

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower_oauth::{
    ErrorKind, RefreshReason, Token, TokenCache,
    cache::TokenState,
    testing::{AuthorizationServer, ResponseTemplate},
};

use crate::{
    load::HOUR,
    support::{cache, ms, reasons, runtime, secs, server},
};

use RefreshReason::{Cold, Rejected, Requested, Stale};

async fn warm(server: &AuthorizationServer) -> TokenCache {
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    cache
}

async fn used(cache: &TokenCache) -> String {
    cache.token().await.unwrap().expose_secret().to_owned()
}

async fn refresh(cache: &TokenCache) -> String {
    cache.refresh().await.unwrap().expose_secret().to_owned()
}

fn unavailable() -> ResponseTemplate {
    ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE)
}

fn token_1_again() -> ResponseTemplate {
    ResponseTemplate::json(r#"{"access_token": "token-1", "expires_in": 3600}"#)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_brings_another_token_whatever_the_one_that_is_held_is_good_for() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    let start = Instant::now();
    assert_eq!(refresh(&cache).await, "token-2");
    assert_eq!(start.elapsed(), ms(50));
    assert_eq!(used(&cache).await, "token-2");
    assert_eq!(reasons(&server), [Cold, Requested]);
    let previous = server.fetches().pop().unwrap().previous.unwrap();
    assert_eq!(previous.expose_secret(), "token-1");
    // Nobody else waits for it.
    sleep(secs(10)).await;
    let (requested, (), meanwhile) = tokio::join!(refresh(&cache), sleep(ms(10)), used(&cache));
    assert_eq!((&*requested, &*meanwhile), ("token-3", "token-2"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_joins_the_fetch_that_is_under_way() {
    let server = server(HOUR, ms(50));
    let cache = cache(server.fetcher()).build();
    let (cold, requested) = tokio::join!(used(&cache), refresh(&cache));
    assert_eq!((&*cold, &*requested), ("token-1", "token-1"));
    sleep(cache.status().refresh_in.unwrap()).await;
    assert_eq!(used(&cache).await, "token-1");
    assert_eq!(refresh(&cache).await, "token-2");
    assert_eq!(reasons(&server), [Cold, Stale]);
}

/// If that fails, or brings the old token, one more is made.
#[tokio::test(start_paused = true)]
async fn a_refresh_is_not_content_with_the_outcome_of_a_fetch_that_began_before() {
    for outcome in [unavailable(), token_1_again()] {
        let server = server(HOUR, ms(50));
        let cache = warm(&server).await;
        sleep(cache.status().refresh_in.unwrap()).await;
        server.token_endpoint().next(outcome);
        assert_eq!(used(&cache).await, "token-1");
        let start = Instant::now();
        assert_eq!(refresh(&cache).await, "token-2");
        assert_eq!(start.elapsed(), ms(100));
        assert_eq!(reasons(&server), [Cold, Stale, Requested]);
    }
}

/// The outcome of its own is the last word.
#[tokio::test(start_paused = true)]
async fn a_refresh_makes_one_fetch() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    server.token_endpoint().next(token_1_again()).next(unavailable()).next(unavailable());
    assert_eq!(refresh(&cache).await, "token-1", "the server has no other");
    sleep(secs(10)).await;
    assert_eq!(cache.refresh().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(used(&cache).await, "token-1", "it stays in use");
    sleep(cache.status().refresh_in.unwrap()).await;
    assert_eq!(reasons(&server), [Cold, Requested, Requested]);
    // One that joins another one's fails with that.
    let (one, other) = tokio::join!(cache.refresh(), cache.refresh());
    assert!(one.is_err() && other.is_err());
    assert_eq!(server.token_requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_refreshes_in_ten_seconds_cost_one_fetch_a_second() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let cache = cache.clone();
        calls.spawn(async move { cache.refresh().await });
        sleep(ms(10)).await;
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let fetches = server.token_requests() - 1;
    assert!((9..=11).contains(&fetches), "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn within_a_second_of_a_success_its_token_is_the_refreshed_one() {
    let server = server(HOUR, ms(0));
    let cache = warm(&server).await;
    sleep(ms(999)).await;
    assert_eq!(refresh(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(refresh(&cache).await, "token-2");
}

/// A secret was wrong, and is mended.
#[tokio::test(start_paused = true)]
async fn a_refresh_ends_the_cooldown() {
    let server = server(HOUR, ms(0));
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().always(denied.retry_after(300));
    let cache = cache(server.fetcher()).build();
    for _ in 0..10 {
        assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(server.token_requests(), 1);
    server.token_endpoint().always(ResponseTemplate::usual());
    assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(refresh(&cache).await, "token-1");
    assert_eq!(used(&cache).await, "token-1");
    assert_eq!((cache.status().failures, server.token_requests()), (0, 2));
}

/// It neither counts as a refresh that a rejection brought, nor resets the count.
#[tokio::test(start_paused = true)]
async fn a_refresh_leaves_the_pauses_after_rejections_alone() {
    let server = server(HOUR, ms(0));
    let cache = warm(&server).await;
    let reject = async || {
        let lease = cache.lease().await.unwrap();
        lease.reject().await.unwrap().is_some()
    };
    let requested = async || {
        sleep(ms(1_001)).await;
        let token = cache.refresh().await.unwrap();
        // What it brought has the one before to fall back on, as after a refresh by age.
        sleep(secs(60)).await;
        token
    };
    requested().await;
    requested().await;
    assert!(reject().await, "no pause after those");
    requested().await;
    assert!(reject().await, "the first pause was one second");
    sleep(ms(3_999)).await;
    assert!(!reject().await, "the second one is four");
    sleep(ms(1)).await;
    assert!(reject().await);
}

/// The fetch that a refresh made brings the token that is rejected meanwhile: the next one is made
/// for the rejection, and its outcome holds.
#[tokio::test(start_paused = true)]
async fn a_refresh_and_a_rejection_do_not_ask_again_and_again() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    server.token_endpoint().always(token_1_again());
    let token = cache.token().await.unwrap();
    let invalidated = async {
        sleep(ms(10)).await;
        assert!(cache.invalidate(&token));
    };
    let (requested, ()) = tokio::join!(cache.refresh(), invalidated);
    assert_eq!(requested.unwrap_err().kind(), ErrorKind::InvalidResponse);
    assert_eq!(reasons(&server), [Cold, Requested, Rejected]);
}

/// The fetch that was up began before, and brings the same token.
#[tokio::test(start_paused = true)]
async fn the_replacement_of_an_invalidated_token_is_asked_for_once_more() {
    for traffic in [true, false] {
        let server = server(HOUR, secs(1));
        let cache = warm(&server).await;
        sleep(cache.status().refresh_in.unwrap()).await;
        server.token_endpoint().next(token_1_again().after(secs(6)));
        let token = cache.token().await.unwrap();
        sleep(ms(10)).await;
        assert!(cache.invalidate(&token));
        if traffic {
            assert_eq!(used(&cache).await, "token-1", "after five seconds it is used again");
        }
        sleep(secs(8)).await;
        assert_eq!(reasons(&server), [Cold, Stale, Rejected]);
        assert_eq!(cache.try_authorization().unwrap(), "Bearer token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_invalidated_is_not_used_while_it_is_replaced() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    let token = cache.token().await.unwrap();
    assert!(cache.invalidate(&token));
    assert_eq!(cache.status().state, TokenState::Suspended);
    assert_eq!(used(&cache).await, "token-2");
    assert_eq!(reasons(&server), [Cold, Rejected]);
    assert!(!cache.invalidate(&token), "it is not held any more");
    assert!(!cache.invalidate(&Token::bearer("token-2")), "nor is one of another response");
    assert_eq!(used(&cache).await, "token-2");
    assert_eq!(server.token_requests(), 2);
}

/// Nobody who waits has to be there.
#[tokio::test(start_paused = true)]
async fn the_replacement_of_an_invalidated_token_goes_on_by_itself() {
    let server = server(HOUR, ms(50));
    let cache = warm(&server).await;
    assert!(cache.invalidate(&cache.token().await.unwrap()));
    sleep(ms(51)).await;
    assert_eq!(cache.try_authorization().unwrap(), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_token_has_nothing_to_fall_back_on() {
    let server = server(HOUR, ms(0));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    let newest = cache.refresh().await.unwrap();
    assert!(cache.invalidate(&newest));
    assert_eq!(used(&cache).await, "token-3");
    // Nor if the one before is in its place.
    sleep(secs(10)).await;
    let newest = cache.refresh().await.unwrap();
    let lease = cache.lease().await.unwrap();
    assert_eq!(lease.reject().await.unwrap().unwrap().token().expose_secret(), "token-3");
    assert!(cache.invalidate(&newest));
    assert_eq!(used(&cache).await, "token-5");
}

#[tokio::test(start_paused = true)]
async fn where_rejections_are_ignored_an_invalidated_token_stays() {
    let server = server(HOUR, ms(0));
    let cache = warm(&server).await;
    assert!(cache.invalidate(&cache.token().await.unwrap()));
    let newest = cache.token().await.unwrap();
    assert!(!cache.invalidate(&newest), "in the pause");
    assert_eq!(used(&cache).await, "token-2");
    sleep(secs(1)).await;
    server.down(true);
    assert!(cache.invalidate(&newest));
    assert_eq!(used(&cache).await, "token-2");
    assert!(!cache.invalidate(&newest), "in the cooldown");
    assert_eq!(used(&cache).await, "token-2");
    assert_eq!(server.token_requests(), 3);
}

/// It is the one that is known to be revoked.
#[tokio::test(start_paused = true)]
async fn where_rejections_are_ignored_the_token_before_an_invalidated_one_is_used() {
    let server = server(HOUR, ms(0));
    let cache = warm(&server).await;
    sleep(secs(10)).await;
    let newest = cache.refresh().await.unwrap();
    // A second after a success, another fetch is made.
    sleep(secs(1)).await;
    server.down(true);
    cache.refresh().await.unwrap_err();
    assert!(!cache.invalidate(&newest), "in the cooldown");
    assert_eq!(used(&cache).await, "token-1");
}

/// It gives the newest token, although the one before is used in its place.
#[tokio::test(start_paused = true)]
async fn a_refresh_is_not_content_with_the_fallback() {
    let server = server(secs(6), ms(0));
    let cache = warm(&server).await;
    sleep(secs(2)).await;
    assert_eq!(refresh(&cache).await, "token-2");
    let lease = cache.lease().await.unwrap().reject().await.unwrap().unwrap();
    assert_eq!(lease.token().expose_secret(), "token-1");
    server.token_endpoint().always(
        ResponseTemplate::json(r#"{"access_token": "token-2", "expires_in": 3600}"#).after(ms(100)),
    );
    let joined = async {
        sleep(secs(2)).await;
        let lease = cache.lease().await.unwrap();
        assert_eq!(lease.token().expose_secret(), "token-1");
    };
    joined.await;
    assert_eq!(refresh(&cache).await, "token-2");
    assert_eq!(reasons(&server).last(), Some(&Requested));
}

/// Where nothing can be fetched, nothing is given up.
#[test]
fn outside_a_runtime_an_invalidated_token_stays() {
    let server = AuthorizationServer::new();
    let cache = cache(server.fetcher()).build();
    let token = runtime().block_on(cache.token()).unwrap();
    assert!(!cache.invalidate(&token));
    assert_eq!(cache.try_authorization().unwrap(), "Bearer token-1");
    assert_eq!(cache.status().state, TokenState::Fresh);
    assert!(runtime().block_on(async { cache.invalidate(&token) }));
}
