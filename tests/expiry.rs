//! The life of a token, on a clock that the test moves.

mod support;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use support::{cache, cache_with, call, get, ms, ours, reasons, secs, server};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::BoxError;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, RefreshReason, Token, TokenCache,
    cache::{RefreshPolicy, TokenCacheBuilder, TokenState},
    fetch_fn,
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};

const URI: &str = "https://api.example.com/";

/// When a token with these properties is due and until when it is used, in milliseconds after it
/// came, if chance takes nothing off.
async fn deadlines(token: Token, policy: RefreshPolicy) -> (u128, u128) {
    let fetcher = fetch_fn(move |_| ready(Ok::<_, Error>(token.clone())));
    let cache = cache(fetcher).refresh(policy).build();
    cache.warm_up().await.unwrap();
    let status = cache.status();
    (status.refresh_in.unwrap().as_millis(), status.usable_for.unwrap().as_millis())
}

#[tokio::test(start_paused = true)]
async fn deadlines_follow_the_lifetime() {
    let year = 365 * 24 * 3600;
    for (lifetime, refresh, usable) in [
        // The margin: 10 %, at least 1 s, at most 30 s, never more than half.
        (secs(3600), 2_856_000, 3_570_000),
        (secs(300), 216_000, 270_000),
        (secs(100), 72_000, 90_000),
        (secs(10), 7_200, 9_000),
        (secs(5), 3_200, 4_000),
        (ms(2_000), 800, 1_000),
        // Kept for a second whatever they say.
        (ms(1_500), 800, 1_000),
        (ms(1_000), 1_000, 1_000),
        (ms(300), 1_000, 1_000),
        (ms(0), 1_000, 1_000),
        // Capped at a year.
        (
            secs(10 * year),
            (u128::from(year) * 1_000 - 30_000) * 4 / 5,
            u128::from(year) * 1_000 - 30_000,
        ),
        (
            Duration::MAX,
            (u128::from(year) * 1_000 - 30_000) * 4 / 5,
            u128::from(year) * 1_000 - 30_000,
        ),
    ] {
        let token = Token::bearer("abc").with_lifetime(lifetime);
        assert_eq!(
            deadlines(token, RefreshPolicy::default()).await,
            (refresh, usable),
            "{lifetime:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn other_deadlines() {
    let hour = || Token::bearer("abc").with_lifetime(secs(3600));
    let policy = RefreshPolicy::default;
    for (what, token, policy, expected) in [
        ("no lifetime: five minutes", Token::bearer("abc"), policy(), (216_000, 270_000)),
        (
            "its default",
            Token::bearer("abc"),
            policy().default_lifetime(secs(100)),
            (72_000, 90_000),
        ),
        (
            "the token's own time",
            hour().with_refresh_after(secs(1200)),
            policy(),
            (1_200_000, 3_570_000),
        ),
        (
            "which may be late",
            hour().with_refresh_after(secs(3300)),
            policy(),
            (3_300_000, 3_570_000),
        ),
        (
            "but not too late",
            hour().with_refresh_after(secs(7200)),
            policy(),
            (3_391_500, 3_570_000),
        ),
        ("nor at once", hour().with_refresh_after(ms(0)), policy(), (1_000, 3_570_000)),
        ("the policy's age", hour(), policy().max_age(secs(600)), (600_000, 3_570_000)),
        (
            "the earlier of both",
            hour().with_refresh_after(secs(300)),
            policy().max_age(secs(600)),
            (300_000, 3_570_000),
        ),
        ("but a second", hour(), policy().max_age(ms(0)), (1_000, 3_570_000)),
        ("a token from a store", hour().with_age(secs(600)), policy(), (2_256_000, 2_970_000)),
        ("a dead one from a store", hour().with_age(secs(4000)), policy(), (1_000, 1_000)),
    ] {
        assert_eq!(deadlines(token, policy).await, expected, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_call_of_the_fetcher() {
    let server = server(secs(100), secs(5));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    assert_eq!(cache.status().usable_for, Some(secs(85)));
    assert_eq!(cache.status().expires_in, Some(secs(95)));
}

#[tokio::test(start_paused = true)]
async fn jitter_is_drawn_once_per_token_and_only_makes_it_earlier() {
    let draws = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&draws);
    let server = server(secs(100), ms(0));
    let chance = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        1.0
    };
    let cache = cache_with(server.fetcher(), chance).build();
    for _ in 0..10 {
        cache.token().await.unwrap();
    }
    assert_eq!(draws.load(Ordering::SeqCst), 1);
    // 72 s, minus a tenth.
    assert_eq!(cache.status().refresh_in, Some(ms(64_800)));
    assert_eq!(cache.status().usable_for, Some(secs(90)));

    for (jitter, chance, expected) in
        [(0.0, 1.0, 72_000), (0.5, 0.5, 54_000), (0.1, f64::NAN, 72_000), (0.1, 7.0, 64_800)]
    {
        let policy = RefreshPolicy::default().jitter(jitter).unwrap();
        let cache = cache_with(server.fetcher(), move || chance).refresh(policy).build();
        cache.warm_up().await.unwrap();
        assert_eq!(cache.status().refresh_in, Some(ms(expected)), "{jitter} of {chance}");
    }
}

/// Where rounding makes the jitter larger than what it is taken from.
#[tokio::test]
async fn full_jitter_does_not_panic() {
    for n in 0..40 {
        let token = Token::bearer("abc")
            .with_lifetime(secs(31_000_000))
            .with_refresh_after(Duration::new(20_000_000 + u64::from(n), 123_456_789 + n));
        let fetcher = fetch_fn(move |_| ready(Ok::<_, Error>(token.clone())));
        let policy = RefreshPolicy::default().jitter(1.0).unwrap();
        let cache = cache_with(fetcher, || 1.0).refresh(policy).build();
        // In real time, which goes on even if a panic starts one fetch after the other.
        timeout(secs(1), cache.token()).await.expect("a token").unwrap();
    }
}

#[test]
fn a_policy_refuses_nonsense() {
    let field = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Config);
        error.field().unwrap()
    };
    for jitter in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(field(RefreshPolicy::default().jitter(jitter).unwrap_err()), "jitter");
    }
    let error = RefreshPolicy::default().fetch_timeout(ms(0)).unwrap_err();
    assert_eq!(field(error), "fetch_timeout");
}

#[tokio::test(start_paused = true)]
async fn fresh_stale_and_expired() {
    let server = server(secs(100), ms(50));
    let cache = cache(server.fetcher()).build();
    let token = async || cache.token().await.unwrap().expose_secret().to_owned();
    assert_eq!(cache.status().state, TokenState::Empty);
    assert_eq!(token().await, "token-1");

    // Fresh to the last moment: no fetch.
    sleep(ms(71_949)).await;
    assert_eq!(cache.status().state, TokenState::Fresh);
    assert_eq!(token().await, "token-1");
    assert_eq!(server.token_requests(), 1);

    // Stale: the old one at once, and one fetch behind it.
    sleep(ms(1)).await;
    assert_eq!(cache.status().state, TokenState::Stale);
    let start = Instant::now();
    assert_eq!(token().await, "token-1");
    assert_eq!(token().await, "token-1");
    assert_eq!(start.elapsed(), ms(0));
    assert!(cache.status().fetching);
    sleep(ms(51)).await;
    assert_eq!(token().await, "token-2");
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Stale]);
    let previous = server.fetches().pop().unwrap().previous;
    assert_eq!(previous.unwrap().expose_secret(), "token-1");

    // Expired: it waits.
    sleep(secs(95)).await;
    assert_eq!(cache.status().state, TokenState::Expired);
    let start = Instant::now();
    assert_eq!(token().await, "token-3");
    assert_eq!(start.elapsed(), ms(50));
    assert_eq!(reasons(&server)[2], RefreshReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn two_second_tokens_under_load_make_nobody_wait() {
    let server = server(secs(2), ms(50));
    let cache = cache_with(server.fetcher(), || 0.5).build();
    cache.warm_up().await.unwrap();
    for _ in 0..6_000 {
        let start = Instant::now();
        cache.token().await.unwrap();
        assert_eq!(start.elapsed(), ms(0));
        sleep(ms(10)).await;
    }
    // One a second at most, and a bit.
    assert!((60..90).contains(&server.token_requests()), "{}", server.token_requests());
    assert_eq!(server.most_token_requests_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_costs_one_fetch_a_second() {
    let server = server(ms(0), ms(0));
    let cache = cache(server.fetcher()).build();
    for _ in 0..10_000 {
        cache.token().await.unwrap();
        sleep(ms(1)).await;
    }
    assert!((9..=10).contains(&server.token_requests()), "{}", server.token_requests());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_died_while_the_machine_slept_is_not_sent() {
    let (server, clock) = (server(secs(3600), ms(50)), TokioClock::new());
    let cache = cache(server.fetcher()).clock(clock.clone()).build();
    let service = OAuthLayer::with_source(cache).layer(server.clone());
    service.clone().oneshot(get(URI)).await.unwrap();
    clock.suspend(secs(7200));
    service.oneshot(get(URI)).await.unwrap();
    assert_eq!(server.authorizations(), ["Bearer token-1", "Bearer token-2"]);
}

/// A limited client that takes a second per request, and tokens that can be used for a second.
#[tokio::test(start_paused = true)]
async fn no_expired_token_leaves_through_a_slow_limited_client() {
    let server = server(secs(2), ms(50));
    server.resource().delay(secs(1));
    // The resource takes a token for the second in which it can be used, and no longer.
    let issuer = server.clone();
    let fetcher = server.fetcher().map_response(move |token: Token| {
        issuer.revoke_after(token.expose_secret(), secs(1));
        token
    });
    let service = ServiceBuilder::new()
        .layer(OAuthLayer::with_source(cache(fetcher).build()))
        .concurrency_limit(1)
        .service(server.clone());
    let mut requests = JoinSet::new();
    for _ in 0..10 {
        requests.spawn(service.clone().oneshot(get(URI)));
    }
    let mut sent = 0;
    for outcome in requests.join_all().await {
        match outcome {
            Ok(_) => sent += 1,
            Err(error) => assert_eq!(ours(&error).kind(), ErrorKind::Expired),
        }
    }
    assert!(sent >= 3, "{sent}");
    assert_eq!(server.rejected_requests(), 0);
}

/// The same with one place for the requests and for the fetch: it must be free while a token is
/// awaited, however often that happens to a request.
#[tokio::test(start_paused = true)]
async fn waiting_for_another_token_holds_no_place() {
    let server = server(secs(4), ms(0));
    server.resource().delay(secs(1));
    let client = ServiceBuilder::new().concurrency_limit(1).service(server.clone());
    let fetching = client.clone();
    let fetcher = fetch_fn(move |_| {
        let (client, server) = (fetching.clone(), server.clone());
        async move {
            client.oneshot(get(URI)).await?;
            Ok::<_, BoxError>(server.issue())
        }
    });
    let service = OAuthLayer::with_source(cache(fetcher).build()).layer(client);
    let mut requests = JoinSet::new();
    for _ in 0..10 {
        requests.spawn(service.clone().oneshot(get(URI)));
    }
    let start = Instant::now();
    let outcomes = requests.join_all().await;
    assert!(start.elapsed() < secs(30), "{:?}", start.elapsed());
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() >= 3);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(ours(&error).kind(), ErrorKind::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_secret_with_falling_lifetimes_is_one_token() {
    // A gateway that hands out one token until it has run out, with what is left of its life.
    let server = server(secs(100), ms(0));
    server.reuse_tokens(true);
    let cache = cache(server.fetcher()).build();
    for second in 0..1_000 {
        let token = cache.token().await.unwrap_or_else(|error| panic!("at {second} s: {error}"));
        assert!(token.expose_secret() == format!("token-{}", second / 100 + 1), "at {second} s");
        sleep(secs(1)).await;
    }
    // From 72 s on it asks with growing pauses, and from 90 s on as what is left tells it.
    let per_token = server.token_requests() / 10;
    assert!((5..=12).contains(&per_token), "{per_token}");
}

#[tokio::test(start_paused = true)]
async fn the_same_secret_again_has_the_later_deadlines() {
    let server = AuthorizationServer::new();
    let same = ResponseTemplate::json(r#"{"access_token": "abc", "expires_in": 100}"#);
    server.token_endpoint().always(same);
    let cache = cache_with(server.fetcher(), || 1.0).build();
    cache.warm_up().await.unwrap();
    // Due at 64.8 s; the response says a hundred seconds again.
    sleep(secs(70)).await;
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(server.token_requests(), 2);
    assert_eq!(cache.status().usable_for, Some(ms(89_999)));
    // The next attempt waits for four fifths of that, and nobody is told of a failure.
    assert!(cache.status().last_error.is_none());
    sleep(ms(71_998)).await;
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(server.token_requests(), 2);
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(server.token_requests(), 3);
    // Once it has run out, what the server says then is believed.
    sleep(secs(90)).await;
    assert_eq!(cache.status().state, TokenState::Expired);
    cache.token().await.unwrap();
    assert_eq!(cache.status().usable_for, Some(secs(90)));
}

#[tokio::test(start_paused = true)]
async fn a_usable_token_outlives_any_failure() {
    let server = server(secs(100), ms(0));
    let cache = cache_with(server.fetcher(), || 1.0).build();
    cache.warm_up().await.unwrap();
    server.down(true);
    let mut failed_at = None;
    for tenth in 0..1_200 {
        match cache.token().await {
            Ok(token) => assert_eq!(token.expose_secret(), "token-1"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                failed_at = failed_at.or(Some(tenth));
            }
        }
        sleep(ms(100)).await;
    }
    assert_eq!(failed_at, Some(900));
    // At 64.8 s, and after pauses of 1, 2, 4, 8, 16 and 30 s.
    assert_eq!(server.token_requests(), 1 + 6);
    assert!(cache.status().last_error.is_some());

    server.down(false);
    sleep(secs(30)).await;
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-2");
    assert!(cache.status().last_error.is_none());
}

/// The pauses after failures in a row, in seconds.
async fn pauses(error: Error, chance: f64, fails: usize) -> Vec<f64> {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&fetches);
    let fetcher = fetch_fn(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        ready(Err::<Token, _>(error.clone()))
    });
    let cache = cache_with(fetcher, move || chance).build();
    let mut pauses = Vec::new();
    for _ in 0..fails {
        let error = cache.token().await.unwrap_err();
        let left = error.retry_after().unwrap();
        pauses.push(left.as_secs_f64());
        // Until then it fails at once with the same error, which counts down.
        sleep(left - ms(1)).await;
        assert_eq!(error.retry_after(), Some(ms(1)));
        let again = cache.token().await.unwrap_err();
        assert!(std::ptr::addr_eq(
            std::error::Error::source(&again).unwrap(),
            std::error::Error::source(&error).unwrap()
        ));
        assert!(again.to_string().contains("next attempt in 0.0 s"), "{again}");
        sleep(ms(1)).await;
    }
    assert_eq!(fetches.load(Ordering::SeqCst), fails);
    pauses
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_failure_grows() {
    let transient = Error::new(ErrorKind::Unavailable).with_source("down");
    let refused = Error::new(ErrorKind::Denied).with_source("down");
    assert_eq!(pauses(transient.clone(), 1.0, 7).await, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
    assert_eq!(pauses(transient, 0.0, 7).await, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]);
    assert_eq!(pauses(refused.clone(), 1.0, 7).await, [1.0, 4.0, 16.0, 64.0, 256.0, 300.0, 300.0]);
    assert_eq!(pauses(refused, 0.0, 2).await, [0.5, 2.0]);
    // A server may ask for more, up to five minutes, but not for less.
    let asks = |time| Error::new(ErrorKind::Unavailable).with_source("busy").with_retry_after(time);
    assert_eq!(pauses(asks(secs(20)), 1.0, 2).await, [20.0, 20.0]);
    assert_eq!(pauses(asks(secs(86_400)), 1.0, 2).await, [300.0, 300.0]);
    assert_eq!(pauses(asks(ms(0)), 1.0, 2).await, [1.0, 2.0]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_outage_waits_a_second() {
    let server = server(secs(3600), ms(0));
    server.down(true);
    let cache = cache_with(server.fetcher(), || 1.0).build();
    for _ in 0..6 {
        let left = cache.token().await.unwrap_err().retry_after().unwrap();
        sleep(left).await;
    }
    server.token_endpoint().always(refusal());
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.retry_after(), Some(secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_the_same_secret_waits_a_second() {
    let server = AuthorizationServer::new();
    let same = ResponseTemplate::json(r#"{"access_token": "abc", "expires_in": 3600}"#);
    server.token_endpoint().always(same);
    let cache = cache_with(server.fetcher(), || 1.0).build();
    cache.token().await.unwrap();
    for _ in 0..8 {
        sleep(cache.status().refresh_in.unwrap()).await;
        cache.token().await.unwrap();
        sleep(ms(1)).await;
    }
    assert_eq!(server.token_requests(), 9);
    sleep(cache.status().refresh_in.unwrap()).await;
    server.token_endpoint().always(refusal());
    cache.token().await.unwrap();
    sleep(ms(1)).await;
    let error = cache.status().last_error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.retry_after().unwrap() <= secs(1), "{error}");
}

fn refusal() -> ResponseTemplate {
    ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client")
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_pauses() {
    let server = server(ms(0), ms(0));
    server.down(true);
    let cache = cache_with(server.fetcher(), || 1.0).build();
    for pause in [1, 2, 4] {
        cache.token().await.unwrap_err();
        sleep(secs(pause)).await;
    }
    server.down(false);
    cache.token().await.unwrap();
    server.down(true);
    sleep(secs(1)).await;
    assert_eq!(cache.token().await.unwrap_err().retry_after(), Some(secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_is_transient_and_ours_is_found_in_any_chain() {
    #[derive(Debug)]
    struct Wrapped(BoxError);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("wrapped")
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }
    let fetch = |error: fn() -> BoxError| {
        let cache = TokenCache::new(fetch_fn(move |_| async move { Err::<Token, _>(error()) }));
        async move { cache.token().await.unwrap_err() }
    };
    let foreign = fetch(|| "no route".into()).await;
    assert_eq!((foreign.kind(), foreign.is_transient()), (ErrorKind::Fetcher, true));
    let refused = fetch(|| Wrapped(Error::new(ErrorKind::Denied).into()).into()).await;
    assert_eq!((refused.kind(), refused.is_transient()), (ErrorKind::Denied, false));
}

#[test]
fn changing_a_clone_of_an_error_changes_it() {
    let error = Error::new(ErrorKind::Denied);
    assert_eq!(error.clone().with_description("because").description(), Some("because"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_header_can_carry_is_an_error_when_it_arrives() {
    for secret in ["", "two words", "line\nbreak", "nul\0", "snow\u{2603}"] {
        let fetcher = fetch_fn(move |_| ready(Ok::<_, Error>(Token::bearer(secret))));
        let error = cache(fetcher).build().token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{secret:?}");
    }
    // And it is not kept.
    let server = AuthorizationServer::new();
    server.token_endpoint().next(ResponseTemplate::json(r#"{"access_token": "two words"}"#));
    let cache = cache(server.fetcher()).build();
    cache.token().await.unwrap_err();
    sleep(secs(1)).await;
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_alone_is_a_source_that_never_changes() {
    let server = AuthorizationServer::new();
    let token = Token::bearer("abc").with_lifetime(ms(1));
    let service = OAuthLayer::with_source(token).layer(server.clone());
    sleep(secs(10)).await;
    service.clone().oneshot(get(URI)).await.unwrap();
    assert_eq!(server.authorizations(), ["Bearer abc"]);
    let broken = OAuthLayer::with_source(Token::bearer("a b")).layer(server);
    let error = broken.oneshot(get(URI)).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::InvalidResponse);
}

#[tokio::test(start_paused = true)]
async fn any_layer_goes_on_a_fetcher() {
    let server = server(secs(3600), ms(50));
    let fetcher = ServiceBuilder::new()
        .buffer(8)
        .load_shed()
        .concurrency_limit(1)
        .rate_limit(1, secs(1))
        .timeout(secs(1))
        .service(server.fetcher());
    let cache: TokenCacheBuilder = TokenCache::builder(fetcher);
    assert_eq!(cache.build().token().await.unwrap().expose_secret(), "token-1");

    server.token_endpoint().always(ResponseTemplate::never());
    let slow = ServiceBuilder::new().timeout(secs(1)).service(server.fetcher());
    let start = Instant::now();
    let error = TokenCache::new(slow).token().await.unwrap_err();
    assert_eq!(start.elapsed(), secs(1));
    assert!(std::error::Error::source(&error).unwrap().is::<tower::timeout::error::Elapsed>());
}

#[tokio::test]
async fn on_the_machines_clock_a_token_is_used_until_it_is_due_and_then_refreshed() {
    for kept in [true, false] {
        let server = server(secs(2), ms(0));
        let mut service = OAuthLayer::new(server.fetcher()).layer(server.clone());
        service.clone().oneshot(get(URI)).await.unwrap();
        let start = std::time::Instant::now();
        while server.token_requests() == 1 && start.elapsed() < secs(10) {
            let mut fresh = service.clone();
            let service = if kept { &mut service } else { &mut fresh };
            call(service, get(URI)).await.await.unwrap();
            tokio::task::yield_now().await;
        }
        let lasted = start.elapsed();
        assert!(ms(650) < lasted && lasted < secs(2), "kept {kept}: {lasted:?}");
    }
}

#[tokio::test]
async fn on_the_machines_clock_no_token_is_sent_after_its_end() {
    // It is due and ends at the same moment, after the second that every token is kept.
    let server = server(ms(0), ms(0));
    server.resource().always(ResponseTemplate::status(StatusCode::OK));
    let cache = TokenCache::new(server.fetcher());
    let mut service = OAuthLayer::with_source(cache.clone()).layer(server.clone());
    call(&mut service, get(URI)).await.await.unwrap();
    let start = std::time::Instant::now();
    while cache.status().state != TokenState::Expired && start.elapsed() < secs(10) {
        call(&mut service, get(URI)).await.await.unwrap();
    }
    call(&mut service, get(URI)).await.await.unwrap();
    let sent = server.authorizations();
    let [.., before, last] = &sent[..] else { panic!("{sent:?}") };
    assert_ne!(before, last);
}
