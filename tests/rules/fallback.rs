//! A new token that the resource does not accept yet, while the one before is still good.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, sleep_until};
use tower_oauth::{
    RefreshReason, TokenCache,
    cache::TokenState,
    testing::{AuthorizationServer, ResponseTemplate},
};

use crate::{
    load::{CHANCES, Chance, client, paced, rejected, slow_server},
    support::{cache, ms, reasons, secs, server},
};

/// Tokens of 15 minutes, each of which is accepted this long after it was given out.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_accepted_late_shows_no_caller_a_401() {
    for skew in [ms(500), secs(1), secs(2), secs(5), secs(10), secs(30)] {
        for chance in CHANCES {
            let server = slow_server(secs(900));
            server.accept_after(skew);
            let (client, cache) = client(&server, chance);
            cache.warm_up().await.unwrap();
            for _ in 0..2 {
                sleep(cache.status().refresh_in.unwrap()).await;
                let sent = paced(&client, ms(100), secs(120)).await;
                assert!(sent.iter().all(|sent| sent.is_ok()), "{skew:?}: {}", rejected(&sent));
                assert!(sent.iter().all(|sent| sent.took <= ms(100)), "{skew:?}: somebody waited");
            }
            // None but for age.
            let expected = [RefreshReason::Cold, RefreshReason::Stale, RefreshReason::Stale];
            assert_eq!(reasons(&server), expected, "{skew:?}");
        }
    }
}

/// A thousand requests a second, around the moments at which the token that is used changes: the
/// refresh, and the trials of the new token 10 and 30 s after it was rejected.
#[tokio::test(start_paused = true)]
async fn nor_does_it_under_load() {
    for skew in [ms(500), secs(1), secs(2), secs(5), secs(10), secs(30)] {
        let server = slow_server(secs(900));
        server.accept_after(skew);
        let (client, cache) = client(&server, Chance::Seed(2));
        cache.warm_up().await.unwrap();
        for _ in 0..2 {
            sleep(cache.status().refresh_in.unwrap()).await;
            let start = Instant::now();
            for trial in [secs(0), secs(10), secs(30)] {
                sleep_until(start + trial).await;
                let sent = paced(&client, ms(1), ms(500)).await;
                assert!(sent.iter().all(|sent| sent.is_ok()), "{skew:?}: {}", rejected(&sent));
            }
        }
        assert_eq!(server.token_requests(), 3, "{skew:?}");
    }
}

/// A cache whose token was just refreshed by age, and that holds the one before, which can be used
/// for `left`.
async fn refreshed(server: &AuthorizationServer, left: Duration) -> TokenCache {
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().usable_for.unwrap() - left).await;
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(used(&cache).await, "token-2");
    cache
}

async fn used(cache: &TokenCache) -> String {
    cache.token().await.unwrap().expose_secret().to_owned()
}

/// Rejects the token that is used. Gives the one that takes its place, if one does.
async fn reject(cache: &TokenCache) -> Option<String> {
    let another = cache.lease().await.unwrap().reject().await.unwrap();
    another.map(|lease| lease.token().expose_secret().to_owned())
}

fn token(number: u64) -> Option<String> {
    Some(format!("token-{number}"))
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_after_10_20_and_40_s_while_the_one_before_is_good() {
    let server = server(secs(900), ms(0));
    let cache = refreshed(&server, secs(160)).await;
    let start = Instant::now();
    for turn in [10, 20, 40, 80] {
        assert_eq!(reject(&cache).await, token(1), "after {:?}", start.elapsed());
        sleep(secs(turn) - ms(1)).await;
        assert_eq!(used(&cache).await, "token-1", "after {:?}", start.elapsed());
        sleep(ms(1)).await;
        assert_eq!(used(&cache).await, "token-2", "after {:?}", start.elapsed());
    }
    // The one before can be used for nine seconds more, and not for the 160 that it would get.
    assert_eq!(reject(&cache).await, token(1));
    sleep(ms(9_998)).await;
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(used(&cache).await, "token-2", "as if it had never been rejected");
    assert_eq!(server.token_requests(), 2);
    assert_eq!(reject(&cache).await, token(3), "there is nothing to fall back on any more");
}

#[tokio::test(start_paused = true)]
async fn the_one_before_is_kept_for_a_minute_after_the_refresh() {
    for (after, expected) in [(ms(59_998), token(1)), (ms(60_000), token(3))] {
        let server = server(secs(900), ms(0));
        let cache = refreshed(&server, secs(160)).await;
        sleep(after).await;
        assert_eq!(reject(&cache).await, expected, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn and_for_a_minute_after_each_trial() {
    for (after, expected) in [(ms(59_999), token(1)), (ms(60_000), token(3))] {
        let server = server(secs(900), ms(0));
        let cache = refreshed(&server, secs(160)).await;
        sleep(secs(30)).await;
        assert_eq!(reject(&cache).await, token(1));
        sleep(secs(10)).await;
        assert_eq!(used(&cache).await, "token-2");
        sleep(after).await;
        assert_eq!(reject(&cache).await, expected, "{after:?}");
    }
}

/// What was rejected once, whether anything came of it or not, is no fallback.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_rejected_is_nothing_to_fall_back_on() {
    // In the cooldown of a failure.
    let server = server(secs(900), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.token_endpoint().next(ResponseTemplate::status(StatusCode::BAD_GATEWAY));
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(reject(&cache).await, None);
    sleep(secs(1)).await;
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(used(&cache).await, "token-2");
    assert_eq!(reject(&cache).await, token(3));

    // In the pause after a refresh that a rejection brought: a second, if chance adds none.
    assert_eq!(reject(&cache).await, None);
    cache.refresh().await.unwrap();
    sleep(secs(1)).await;
    let newest = cache.refresh().await.unwrap();
    assert_eq!(newest.expose_secret(), "token-4");
    assert_eq!(reject(&cache).await, token(5));
}

/// It joined the fetch that was under way, and so did what was to be the fallback.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_rejected_while_it_was_refreshed_is_nothing_to_fall_back_on() {
    let server = server(secs(900), ms(50));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    assert_eq!(used(&cache).await, "token-1");
    assert_eq!(reject(&cache).await, token(2));
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Stale]);
    assert_eq!(reject(&cache).await, token(3));
}

#[tokio::test(start_paused = true)]
async fn what_a_rejection_brought_has_nothing_to_fall_back_on() {
    let server = server(secs(900), ms(0));
    let cache = refreshed(&server, secs(160)).await;
    sleep(secs(60)).await;
    assert_eq!(reject(&cache).await, token(3));
    sleep(secs(2)).await;
    assert_eq!(reject(&cache).await, token(4), "and not one of those before");
}

/// A request that was sent before the refresh says so late.
#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_rejected_before_it_is_used_is_gone() {
    let server = server(secs(900), ms(0));
    let cache = cache(server.fetcher()).build();
    let late = cache.lease().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    let newest = late.reject().await.unwrap().unwrap();
    assert_eq!(newest.token().expose_secret(), "token-2");
    assert_eq!(reject(&cache).await, token(3));
}

#[tokio::test(start_paused = true)]
async fn if_the_fallback_is_rejected_too_another_token_is_fetched() {
    let server = server(secs(900), ms(2_000));
    let cache = refreshed_in(&server, secs(2)).await;
    let start = Instant::now();
    assert_eq!(reject(&cache).await, token(1));
    assert_eq!(reject(&cache).await, token(3));
    assert_eq!(start.elapsed(), secs(2));
    assert_eq!(reasons(&server)[2..], [RefreshReason::Rejected]);
}

/// As [`refreshed`], where a fetch takes so long.
async fn refreshed_in(server: &AuthorizationServer, fetch: Duration) -> TokenCache {
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    assert_eq!(used(&cache).await, "token-1");
    sleep(fetch + ms(1)).await;
    assert_eq!(used(&cache).await, "token-2");
    cache
}

/// The new token lives shorter than the one before.
#[tokio::test(start_paused = true)]
async fn the_new_token_is_refreshed_while_the_one_before_is_used() {
    let server = server(secs(900), ms(0));
    server.token_endpoint().next(ResponseTemplate::usual());
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.lifetime(secs(10));
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    // Due at 7.2 s, and ends at 9 s.
    assert_eq!(reject(&cache).await, token(1));
    assert_eq!(cache.status().refresh_in, Some(ms(7_199)));
    sleep(ms(7_199)).await;
    server.lifetime(secs(900));
    assert_eq!(used(&cache).await, "token-1");
    sleep(ms(1)).await;
    assert_eq!(used(&cache).await, "token-3");
    assert_eq!(reasons(&server)[1..], [RefreshReason::Stale; 2]);
    // The one that was rejected is not the fallback of the third. The first one still is.
    assert_eq!(reject(&cache).await, token(1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_not_replaced_by_the_one_before() {
    let server = server(secs(900), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().refresh_in.unwrap()).await;
    server.lifetime(secs(10));
    assert_eq!(used(&cache).await, "token-1");
    sleep(secs(9)).await;
    assert_eq!(cache.status().state, TokenState::Expired);
    assert_eq!(used(&cache).await, "token-3");
}

/// A store that flips between two tokens.
#[tokio::test(start_paused = true)]
async fn a_fallback_that_comes_again_is_the_token_that_it_was() {
    let server = server(secs(900), ms(0));
    let cache = refreshed(&server, secs(160)).await;
    let again = r#"{"access_token": "token-1", "expires_in": 900}"#;
    server.token_endpoint().next(ResponseTemplate::json(again));
    assert_eq!(reject(&cache).await, token(1));
    let before = cache.token().await.unwrap();
    sleep(secs(1)).await;
    let newest = cache.refresh().await.unwrap();
    assert_eq!(newest.id(), before.id());
    assert!(cache.status().usable_for.unwrap() > secs(800));
    // The other one was rejected: there is nothing to fall back on.
    assert_eq!(reject(&cache).await, token(3));
}
