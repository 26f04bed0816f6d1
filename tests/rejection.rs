//! What becomes of a token that the resource does not accept.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use support::{Body, cache, cache_with, get, ms, reasons, secs, server, unauthorized};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::BoxError;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_oauth::{
    ErrorKind, OAuthLayer, RefreshReason, Token, TokenCache,
    cache::TokenState,
    replay::{IfEmpty, Never, Replay},
    source::{RequestHead, TokenSource},
    testing::{self, AuthorizationServer, ResponseTemplate},
};

const URI: &str = "https://api.example.com/";

/// A server whose tokens live an hour, and whose 401 can be told from any other.
fn hour() -> AuthorizationServer {
    lives(secs(3600))
}

fn lives(lifetime: Duration) -> AuthorizationServer {
    let mut rejection = ResponseTemplate::status(StatusCode::UNAUTHORIZED).body("its own words");
    for (name, value) in unauthorized().headers() {
        rejection = rejection.header(name.clone(), value.clone());
    }
    let server = server(lifetime, ms(50));
    server.reject_with(rejection);
    server
}

/// At this status of the token endpoint the fetcher panics.
const PANIC: StatusCode = StatusCode::IM_A_TEAPOT;

/// A cache with `token-1` in it, whose server gives `token-2` next.
async fn warm(server: &AuthorizationServer) -> TokenCache {
    let fetcher = server.fetcher().map_err(|error| match error.status() {
        Some(PANIC) => panic!("the fetcher panics"),
        _ => error,
    });
    let cache = cache(fetcher).build();
    cache.warm_up().await.unwrap();
    cache
}

/// The status of the response, and whether it is the resource's own 401, unchanged.
async fn send<S>(service: S, request: Request<Body>) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<testing::Body>, Error = BoxError>,
{
    let response = match service.oneshot(request).await {
        Ok(response) => response,
        // Unread responses are kept for a second. Its status is all that is left of it.
        Err(error) => {
            assert_eq!(support::ours(&error).kind(), ErrorKind::Rejected);
            return support::ours(&error).response_status().unwrap();
        }
    };
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        assert_eq!(response.headers(), unauthorized().headers());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "its own words");
    }
    status
}

/// That many requests at once: how many got a 200, and how many a 401.
async fn herd<R>(
    size: usize,
    cache: &TokenCache,
    server: &AuthorizationServer,
    replay: R,
) -> (usize, usize)
where
    R: Replay<Body, Body = Body> + Clone + Send + Sync + 'static,
{
    let service = OAuthLayer::with_source(cache.clone()).replay(replay).layer(server.clone());
    let mut callers = JoinSet::new();
    for _ in 0..size {
        callers.spawn(send(service.clone(), get(URI)));
    }
    let statuses = callers.join_all().await;
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    (count(StatusCode::OK), count(StatusCode::UNAUTHORIZED))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_revoked_token_cost_one_refresh() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1");
    server.resource().delay(ms(20));
    assert_eq!(herd(1_000, &cache, &server, IfEmpty).await, (1_000, 0));
    assert_eq!(server.token_requests(), 2);
    let seen = server.authorizations();
    assert_eq!(seen.len(), 2_000);
    assert!(seen[..1_000].iter().all(|token| token == "Bearer token-1"));
    assert!(seen[1_000..].iter().all(|token| token == "Bearer token-2"));

    // The fetcher learns why it is asked, and which token is to be replaced.
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Rejected]);
    assert_eq!(server.fetches()[1].previous.as_ref().unwrap().expose_secret(), "token-1");
}

/// The same on threads that really run at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_on_four_threads_cost_one_refresh() {
    for _ in 0..5 {
        let server = hour();
        server.token_endpoint().delay(ms(5));
        let cache = warm(&server).await;
        server.revoke("token-1");
        assert_eq!(herd(1_000, &cache, &server, IfEmpty).await, (1_000, 0));
        assert_eq!((server.token_requests(), server.most_token_requests_at_once()), (2, 1));
        let is = |token: &str| server.authorizations().iter().filter(|seen| *seen == token).count();
        assert_eq!(is("Bearer token-2"), 1_000);
        assert_eq!(server.authorizations().len(), 1_000 + is("Bearer token-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_late_rejections_cost_nothing_more() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1");
    // Their responses take 10 s ...
    server.resource().delay(secs(10));
    let late = tokio::spawn({
        let (cache, server) = (cache.clone(), server.clone());
        async move { herd(50, &cache, &server, IfEmpty).await }
    });
    sleep(secs(1)).await;
    // ... and long before that the token is refreshed.
    server.resource().delay(ms(0));
    assert_eq!(herd(1, &cache, &server, IfEmpty).await, (1, 0));
    assert_eq!(server.token_requests(), 2);
    server.resource().delay(ms(20));
    assert_eq!(late.await.unwrap(), (50, 0));
    assert_eq!(server.token_requests(), 2, "a late rejection cost a token request");
    assert_eq!(server.resource_requests(), 102);
}

/// 100 requests a second for 10 minutes. How many got a 200, and how many a 401.
async fn ten_minutes<R>(server: &AuthorizationServer, chance: f64, replay: R) -> (usize, usize)
where
    R: Replay<Body, Body = Body> + Clone + Send + Sync + 'static,
{
    let cache = cache_with(server.fetcher(), move || chance).build();
    let service = OAuthLayer::with_source(cache).replay(replay).layer(server.clone());
    let mut callers = JoinSet::new();
    let (mut accepted, mut rejected) = (0, 0);
    let mut count = |status| match status {
        StatusCode::OK => accepted += 1,
        StatusCode::UNAUTHORIZED => rejected += 1,
        other => panic!("{other}"),
    };
    for _ in 0..10 * 60 * 100 {
        callers.spawn(send(service.clone(), get(URI)));
        sleep(ms(10)).await;
        while let Some(status) = callers.try_join_next() {
            count(status.unwrap());
        }
    }
    callers.join_all().await.into_iter().for_each(&mut count);
    (accepted, rejected)
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_always_says_401_costs_at_most_fifteen_token_requests() {
    for chance in [0.0, 1.0] {
        let server = hour();
        server.reject_every(1);
        assert_eq!(ten_minutes(&server, chance, IfEmpty).await, (0, 60_000));
        println!(
            "always 401, replays, chance {chance}: {} token requests",
            server.token_requests()
        );
        assert!((2..=15).contains(&server.token_requests()), "{}", server.token_requests());

        let server = hour();
        server.reject_every(1);
        assert_eq!(ten_minutes(&server, chance, Never).await, (0, 60_000));
        println!(
            "always 401, no replays, chance {chance}: {} token requests",
            server.token_requests()
        );
        assert!((2..=15).contains(&server.token_requests()), "{}", server.token_requests());
        assert_eq!(server.resource_requests(), 60_000);
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_replica_of_ten_costs_at_most_fifteen_token_requests() {
    let server = hour();
    server.reject_every(10);
    assert_eq!(ten_minutes(&server, 0.0, Never).await, (54_000, 6_000));
    println!("one replica of ten, no replays: {} token requests", server.token_requests());
    assert!((2..=15).contains(&server.token_requests()), "{}", server.token_requests());

    // With replays a handful more are served.
    let server = hour();
    server.reject_every(10);
    let (accepted, rejected) = ten_minutes(&server, 0.0, IfEmpty).await;
    assert_eq!(accepted + rejected, 60_000);
    assert!((5_900..6_100).contains(&rejected), "{rejected}");
    println!("one replica of ten, replays: {} token requests", server.token_requests());
    assert!((2..=15).contains(&server.token_requests()), "{}", server.token_requests());
}

/// When the token was refreshed, in milliseconds, if every request is rejected.
async fn refreshes(chance: f64, how_long: Duration) -> Vec<u128> {
    let server = hour();
    server.reject_every(1).token_endpoint().delay(ms(0));
    let cache = cache_with(server.fetcher(), move || chance).build();
    cache.warm_up().await.unwrap();
    let (start, mut refreshes, mut before) = (Instant::now(), Vec::new(), 1);
    while start.elapsed() < how_long {
        assert_eq!(herd(1, &cache, &server, IfEmpty).await, (0, 1));
        if server.token_requests() > before {
            before = server.token_requests();
            refreshes.push(start.elapsed().as_millis());
        }
        sleep(ms(250)).await;
    }
    refreshes
}

#[tokio::test(start_paused = true)]
async fn refreshes_get_rarer_from_time_to_time() {
    assert_eq!(
        refreshes(0.0, secs(300)).await,
        [0, 1_000, 5_000, 21_000, 81_000, 141_000, 201_000, 261_000]
    );
    assert_eq!(refreshes(1.0, secs(300)).await, [0, 2_000, 10_000, 42_000, 162_000, 282_000]);
}

#[tokio::test(start_paused = true)]
async fn only_five_minutes_without_a_refresh_make_them_as_frequent_as_before() {
    let server = hour();
    server.token_endpoint().delay(ms(0));
    let cache = warm(&server).await;
    let rejected = async || {
        server.reject_every(1);
        assert_eq!(herd(1, &cache, &server, IfEmpty).await, (0, 1));
        server.reject_every(0);
        server.token_requests()
    };
    assert_eq!(rejected().await, 2);
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 3);
    sleep(secs(4)).await;
    assert_eq!(rejected().await, 4);
    // Neither a success in between nor a rejection that is ignored changes anything.
    assert_eq!(herd(100, &cache, &server, IfEmpty).await, (100, 0));
    sleep(secs(15)).await;
    assert_eq!(rejected().await, 4);
    sleep(ms(284_999)).await;
    assert_eq!(rejected().await, 5);
    sleep(ms(59_999)).await;
    assert_eq!(rejected().await, 5, "the pause is 60 s now");
    sleep(ms(1)).await;
    assert_eq!(rejected().await, 6);
    sleep(secs(300)).await;
    assert_eq!(rejected().await, 7);
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 8, "the pause is 1 s again");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_while_the_token_is_being_refreshed_joins_that_fetch() {
    let server = hour();
    let cache = warm(&server).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    server.revoke("token-1");
    server.resource().delay(ms(20));
    // The first of them sets the refresh off, and all of them are sent with the stale token.
    assert_eq!(herd(100, &cache, &server, IfEmpty).await, (100, 0));
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Stale]);
    assert_eq!(server.resource_requests(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_used_while_it_is_being_replaced() {
    let server = hour();
    server.token_endpoint().delay(secs(2));
    let cache = warm(&server).await;
    server.revoke("token-1");
    assert_eq!(herd(1, &cache, &server, Never).await, (0, 1));
    assert_eq!(cache.status().state, TokenState::Suspended);
    assert!(cache.status().fetching);
    // They wait for the same fetch.
    let start = Instant::now();
    assert_eq!(herd(100, &cache, &server, Never).await, (100, 0));
    assert_eq!(start.elapsed(), secs(2));
    assert_eq!((server.resource_requests(), server.token_requests()), (101, 2));
}

#[tokio::test(start_paused = true)]
async fn if_the_token_ends_while_its_refresh_fails_the_others_get_the_error() {
    let server = lives(secs(10));
    server.token_endpoint().delay(ms(0));
    let cache = warm(&server).await;
    // Usable for 9 s, and refreshed at 7.2 s.
    sleep(secs(7)).await;
    server.down(true).token_endpoint().delay(secs(3));
    server.reject_every(1);
    let rejected = tokio::spawn({
        let (cache, server) = (cache.clone(), server.clone());
        async move { herd(1, &cache, &server, IfEmpty).await }
    });
    sleep(ms(10)).await;
    assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(rejected.await.unwrap(), (0, 1), "it has the resource's response");
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_its_own_authorization_is_never_touched() {
    let server = hour();
    server.reject_every(1);
    let service = OAuthLayer::new(server.fetcher()).layer(server.clone());
    let mut request = get(URI);
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
    assert_eq!(send(service, request).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.authorizations(), ["Basic abc"]);
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_never_changes_is_not_sent_again() {
    let server = hour();
    server.reject_every(1);
    let service = OAuthLayer::with_source(Token::bearer("abc")).layer(server.clone());
    assert_eq!(send(service, get(URI)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.authorizations(), ["Bearer abc"]);
}

#[tokio::test(start_paused = true)]
async fn never_gives_the_response_at_once_and_refreshes_for_the_next_request() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1");
    let start = Instant::now();
    assert_eq!(herd(1, &cache, &server, Never).await, (0, 1));
    assert_eq!(start.elapsed(), ms(0), "its caller waited for the refresh");
    sleep(secs(1)).await;
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Rejected]);
    assert_eq!(herd(1, &cache, &server, Never).await, (1, 0));
    assert_eq!(server.authorizations(), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_replay_is_not_replayed() {
    let server = hour();
    server.reject_every(1);
    let cache = warm(&server).await;
    assert_eq!(herd(1, &cache, &server, IfEmpty).await, (0, 1));
    assert_eq!(server.authorizations(), ["Bearer token-1", "Bearer token-2"]);
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_noticed_the_rejection_may_leave() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1");
    assert!(timeout(ms(10), herd(10, &cache, &server, IfEmpty)).await.is_err());
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (10, 0));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_service_may_be_gone_when_the_response_comes() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1");
    let service = OAuthLayer::with_source(cache).layer(server.clone());
    // `oneshot` drops the service, which is the last handle of the cache, once it is called.
    assert_eq!(send(service, get(URI)).await, StatusCode::OK);
    assert_eq!(server.authorizations(), ["Bearer token-1", "Bearer token-2"]);
}

/// Everyday life of test suites: one static cache, one runtime per test.
#[test]
fn a_refresh_whose_runtime_ended_is_made_again_by_the_next_request() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = hour();
    server.token_endpoint().delay(ms(0));
    let cache = TokenCache::new(server.fetcher());
    let first = runtime();
    first.block_on(async {
        cache.warm_up().await.unwrap();
        server.revoke("token-1");
        server.token_endpoint().always(ResponseTemplate::never());
        assert_eq!(herd(1, &cache, &server, Never).await, (0, 1));
    });
    drop(first);
    assert_eq!(cache.status().state, TokenState::Suspended);
    server.token_endpoint().always(ResponseTemplate::usual());
    assert_eq!(runtime().block_on(herd(5, &cache, &server, Never)), (5, 0));
    assert!(server.authorizations()[1..].iter().all(|token| token != "Bearer token-1"));
}

/// Where nothing can be fetched, a rejected token is not given up.
#[test]
fn without_a_runtime_the_response_comes_as_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = hour();
    server.token_endpoint().delay(ms(0));
    let cache = TokenCache::new(server.fetcher());
    runtime.block_on(cache.warm_up()).unwrap();
    drop(runtime);
    server.reject_every(1);
    let layer = OAuthLayer::with_source(cache.clone());
    for round in 0..3 {
        let mut with = tokio_test::task::spawn(send(layer.layer(server.clone()), get(URI)));
        assert_eq!(with.poll(), std::task::Poll::Ready(StatusCode::UNAUTHORIZED), "{round}");
        let never = layer.clone().replay(Never).layer(server.clone());
        let mut without = tokio_test::task::spawn(send(never, get(URI)));
        assert_eq!(without.poll(), std::task::Poll::Ready(StatusCode::UNAUTHORIZED), "{round}");
    }
    assert_eq!(cache.status().state, TokenState::Fresh);
    assert_eq!(server.token_requests(), 1);
}

/// Places in the client are given back while the token is refreshed, and a replay queues like every
/// request.
#[tokio::test(start_paused = true)]
async fn a_limited_client_is_no_deadlock() {
    let server = hour();
    server.resource().delay(ms(10));
    let api = ServiceBuilder::new().concurrency_limit(1).service(server.clone());
    // The fetcher goes through the same client, and the first token is revoked at birth.
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = {
        let (api, fetches) = (api.clone(), Arc::clone(&fetches));
        service_fn(move |_| {
            let (api, server) = (api.clone(), server.clone());
            fetches.fetch_add(1, Ordering::SeqCst);
            async move {
                api.oneshot(get(URI)).await?;
                let token = server.issue();
                server.revoke("token-1");
                Ok::<_, BoxError>(token)
            }
        })
    };
    let service = OAuthLayer::new(fetcher).layer(api);
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        callers.spawn(send(service.clone(), get(URI)));
    }
    let statuses = timeout(secs(60), callers.join_all()).await.expect("a deadlock");
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn only_a_401_is_a_rejection() {
    for status in 200..600 {
        let status = StatusCode::from_u16(status).unwrap();
        let server = hour();
        let service = OAuthLayer::with_source(warm(&server).await).layer(server.clone());
        server.resource().next(ResponseTemplate::status(status));
        service.oneshot(get(URI)).await.unwrap();
        let expected = if status == StatusCode::UNAUTHORIZED { 2 } else { 1 };
        assert_eq!(server.resource_requests(), expected, "{status}");
        assert_eq!(server.token_requests(), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_when_takes_the_place_of_the_standard() {
    for (status, code, expected) in
        [(400, "", 1), (400, "expired", 2), (403, "expired", 2), (419, "expired", 2), (401, "", 1)]
    {
        let server = hour();
        let layer = OAuthLayer::with_source(warm(&server).await)
            .rejected_when(|head| head.headers.get("x-code").is_some_and(|code| code == "expired"));
        let first = ResponseTemplate::status(StatusCode::from_u16(status).unwrap())
            .header(HeaderName::from_static("x-code"), HeaderValue::from_static(code));
        server.resource().next(first);
        layer.layer(server.clone()).oneshot(get(URI)).await.unwrap();
        assert_eq!(server.resource_requests(), expected, "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trailers_only_response_of_grpc_is_one() {
    for (status, grpc, expected) in [
        (200, "16", 2),
        (200, "0", 1),
        (200, "7", 1),
        (200, "160", 1),
        (200, "", 1),
        (503, "16", 1),
    ] {
        let server = hour();
        let service = OAuthLayer::with_source(warm(&server).await).layer(server.clone());
        let first = ResponseTemplate::status(StatusCode::from_u16(status).unwrap())
            .header(HeaderName::from_static("grpc-status"), HeaderValue::from_static(grpc));
        server.resource().next(first);
        service.oneshot(get(URI)).await.unwrap();
        assert_eq!(server.resource_requests(), expected, "{status} {grpc}");
    }
}

/// What stands in the headers of a response that has a body is no trailer.
#[tokio::test(start_paused = true)]
async fn a_response_with_a_body_is_not_trailers_only() {
    let server = hour();
    let cache = warm(&server).await;
    server.resource().always(ResponseTemplate::grpc_status(16).never_ends());
    let service = OAuthLayer::with_source(cache).layer(server.clone());
    let response = service.oneshot(get(URI)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "16");
    assert_eq!(server.token_requests(), 1);
}

fn same_token() -> ResponseTemplate {
    ResponseTemplate::json(r#"{"access_token": "token-1", "expires_in": 3600}"#)
}

/// Everything that a fetch can end with but another token.
fn failures() -> [(ResponseTemplate, ErrorKind); 6] {
    let refusal = ResponseTemplate::oauth_error(StatusCode::BAD_REQUEST, "invalid_client");
    let unsendable = ResponseTemplate::json(r#"{"access_token": "not\na header"}"#);
    [
        (ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE), ErrorKind::Unavailable),
        (refusal, ErrorKind::Denied),
        (ResponseTemplate::status(PANIC), ErrorKind::Panicked),
        (ResponseTemplate::never(), ErrorKind::Timeout),
        (same_token(), ErrorKind::InvalidResponse),
        (unsendable, ErrorKind::InvalidResponse),
    ]
}

#[tokio::test(start_paused = true)]
async fn if_the_refresh_fails_callers_get_the_resources_own_response() {
    for (failure, kind) in failures() {
        let server = hour();
        let cache = warm(&server).await;
        server.token_endpoint().always(failure);
        server.reject_every(1);
        // Its words and headers are compared in `send`.
        assert_eq!(herd(100, &cache, &server, IfEmpty).await, (0, 100));
        assert_eq!((server.resource_requests(), server.token_requests()), (100, 2));

        // The token stays in use, and in the cooldown rejections are ignored.
        assert_eq!(cache.status().state, TokenState::Fresh);
        if kind == ErrorKind::Timeout {
            // They wait for five seconds of the thirty that it takes.
            assert!(cache.status().fetching);
            sleep(ms(25_001)).await;
        }
        assert_eq!(cache.status().last_error.unwrap().kind(), kind);
        assert_eq!(herd(100, &cache, &server, IfEmpty).await, (0, 100));
        server.reject_every(0);
        assert_eq!(herd(100, &cache, &server, IfEmpty).await, (100, 0));
        assert_eq!(server.token_requests(), 2);
        assert!(server.authorizations().iter().all(|token| token == "Bearer token-1"));

        // When that is over the next rejection has it tried again.
        sleep(secs(2)).await;
        server.token_endpoint().always(ResponseTemplate::usual());
        server.revoke("token-1");
        let first = herd(1, &cache, &server, IfEmpty).await;
        // Nobody waits any more where the five seconds are used up.
        assert_eq!(first, if kind == ErrorKind::Timeout { (0, 1) } else { (1, 0) });
        sleep(ms(51)).await;
        assert_eq!(herd(1, &cache, &server, IfEmpty).await, (1, 0));
        assert_eq!(server.token_requests(), 3);
    }
}

/// Those who came while the token was suspended are not those whose token was rejected.
#[tokio::test(start_paused = true)]
async fn if_the_refresh_fails_others_go_on_with_the_token() {
    for (failure, _) in failures() {
        let server = hour();
        let cache = warm(&server).await;
        server.token_endpoint().always(failure);
        server.reject_every(1);
        let rejected = tokio::spawn({
            let (cache, server) = (cache.clone(), server.clone());
            async move { herd(1, &cache, &server, IfEmpty).await }
        });
        sleep(ms(10)).await;
        assert_eq!(cache.status().state, TokenState::Suspended);
        server.reject_every(0);
        assert_eq!(herd(100, &cache, &server, IfEmpty).await, (100, 0));
        assert_eq!(rejected.await.unwrap(), (0, 1));
        assert!(server.authorizations().iter().all(|token| token == "Bearer token-1"));
        assert_eq!(server.token_requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn if_a_refresh_fails_whose_token_was_rejected_the_token_goes_on() {
    let server = hour();
    let cache = warm(&server).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    server.down(true);
    server.reject_every(1);
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (0, 10));
    server.reject_every(0);
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (10, 0));
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Stale]);
}

/// A refresh died with its runtime, and whoever comes next can send nobody either.
#[test]
fn without_a_runtime_a_suspended_token_is_used_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = hour();
    server.token_endpoint().delay(ms(0));
    let cache = TokenCache::new(server.fetcher());
    runtime.block_on(async {
        cache.warm_up().await.unwrap();
        server.token_endpoint().always(ResponseTemplate::never());
        server.reject_every(1);
        assert_eq!(herd(1, &cache, &server, Never).await, (0, 1));
    });
    drop(runtime);
    server.reject_every(0);
    let service = OAuthLayer::with_source(cache).layer(server.clone());
    let mut response = tokio_test::task::spawn(send(service, get(URI)));
    assert_eq!(response.poll(), std::task::Poll::Ready(StatusCode::OK));
}

/// The rejected attempt is over: its place is the one that the replay needs.
#[tokio::test(start_paused = true)]
async fn the_first_attempt_gives_its_place_back_before_the_replay() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1").resource().delay(secs(1));
    let service = ServiceBuilder::new()
        .layer(OAuthLayer::with_source(cache.clone()))
        .load_shed()
        .concurrency_limit(1)
        .service(server.clone());
    let first = tokio::spawn(send(service, get(URI)));
    sleep(ms(10)).await;
    // Somebody else has the token refreshed meanwhile.
    let request = get(URI);
    let lease = cache.try_acquire(&RequestHead::from(&request)).unwrap();
    lease.reject().await.unwrap().unwrap();
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(server.authorizations(), ["Bearer token-1", "Bearer token-2"]);
}

/// The same when the token of a replay ran out while it waited for its place: the place that it got
/// then is the one that the fetch needs.
#[tokio::test(start_paused = true)]
async fn a_replay_gives_its_place_back_for_another_token() {
    let server = lives(secs(3));
    let places = Arc::new(Semaphore::new(1));
    let api = ConcurrencyLimit::with_semaphore(server.clone(), Arc::clone(&places));
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = {
        let (api, server, fetches) = (api.clone(), server.clone(), Arc::clone(&fetches));
        service_fn(move |_| {
            let (api, server) = (api.clone(), server.clone());
            fetches.fetch_add(1, Ordering::SeqCst);
            async move {
                api.oneshot(get(URI)).await?;
                sleep(ms(500)).await;
                Ok::<_, BoxError>(server.issue())
            }
        })
    };
    let cache = cache(fetcher).build();
    cache.warm_up().await.unwrap();
    server.revoke("token-1");
    let start = Instant::now();
    let status = tokio::spawn(send(OAuthLayer::with_source(cache).layer(api), get(URI)));
    // While the refresh is under way somebody takes the only place, for longer than a token lives.
    sleep(ms(100)).await;
    let taken = places.acquire().await.unwrap();
    sleep(secs(5)).await;
    drop(taken);
    assert_eq!(status.await.unwrap(), StatusCode::OK);
    assert_eq!(start.elapsed(), ms(5_600));
    assert_eq!(server.authorizations().last().unwrap(), "Bearer token-3");
    assert_eq!(fetches.load(Ordering::SeqCst), 3);
}

/// A replay that has to wait for its place is sent with the token of its moment.
#[tokio::test(start_paused = true)]
async fn a_replay_that_waits_for_its_place_gets_the_token_of_its_moment() {
    // 40 replays, one second each, with tokens that are refreshed after about 14 s.
    let server = lives(secs(20));
    let cache = warm(&server).await;
    server.revoke("token-1").resource().delay(secs(1));
    // All of them are sent at once, and once they are rejected there is only one place.
    let places = Arc::new(Semaphore::new(40));
    let limited = ConcurrencyLimit::with_semaphore(server.clone(), Arc::clone(&places));
    let service = OAuthLayer::with_source(cache).layer(limited);
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        callers.spawn(send(service.clone(), get(URI)));
    }
    sleep(ms(500)).await;
    let _taken = places.acquire_many_owned(39).await;
    let statuses = callers.join_all().await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    let seen = server.authorizations();
    assert_eq!(seen.len(), 80);
    // None of them was sent with a token for which there was another one.
    assert!(seen.is_sorted_by_key(|token| token["Bearer token-".len()..].parse::<u32>().unwrap()));
    assert_eq!(seen[79], "Bearer token-4");
}

/// Caches and gateways hand out one token until it ends, and may know better when it is rejected.
#[tokio::test(start_paused = true)]
async fn a_rejection_right_after_a_refresh_that_brought_the_same_token_asks_once() {
    let server = hour();
    let cache = warm(&server).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    server.token_endpoint().always(same_token());
    assert_eq!(herd(1, &cache, &server, IfEmpty).await, (1, 0));
    sleep(ms(100)).await;
    assert_eq!(reasons(&server), [RefreshReason::Cold, RefreshReason::Stale]);
    server.revoke("token-1");
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (0, 10));
    assert_eq!(reasons(&server)[2..], [RefreshReason::Rejected]);
    // This one does not know better: it has failed, and in its cooldown rejections are ignored.
    assert_eq!(cache.status().last_error.unwrap().kind(), ErrorKind::InvalidResponse);
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (0, 10));
    assert_eq!(server.token_requests(), 3);
    server.token_endpoint().always(ResponseTemplate::usual());
    sleep(secs(1)).await;
    assert_eq!(herd(10, &cache, &server, IfEmpty).await, (10, 0));
    assert_eq!(reasons(&server)[3..], [RefreshReason::Rejected]);
}
