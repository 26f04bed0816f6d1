//! What becomes of a token that the resource does not accept.

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use support::{Answer, Body, Endpoint, Guard, get, ms, secs, unauthorized};
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
};

const URI: &str = "https://api.example.com/";

/// A cache with `token-1` in it, whose endpoint gives `token-2` next.
async fn warm(endpoint: &Endpoint) -> TokenCache {
    let cache = endpoint.cache();
    cache.warm_up().await.unwrap();
    cache
}

fn hour() -> Endpoint {
    Endpoint::with_lifetime(secs(3600))
}

/// The status of the answer, and whether it is the resource's own 401, unchanged.
async fn send<S, E>(service: S, request: Request<Body>) -> StatusCode
where
    S: Service<Request<Body>, Response = support::Answered, Error = E>,
    E: Into<BoxError> + std::fmt::Debug,
{
    let response = service.oneshot(request).await.unwrap();
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        assert_eq!(response.headers(), unauthorized().headers());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "its own words");
    }
    status
}

/// That many requests at once: how many were answered with 200, how many with 401.
async fn herd<R>(size: usize, cache: &TokenCache, guard: &Guard, replay: R) -> (usize, usize)
where
    R: Replay<Body> + Clone + Send + Sync + 'static,
    R::Body: Send,
{
    let layer = OAuthLayer::with_source(cache.clone()).replay(replay);
    let service = layer.layer(guard.service::<R::Body>());
    let mut callers = JoinSet::new();
    for _ in 0..size {
        callers.spawn(send(service.clone(), get(URI)));
    }
    let answers = callers.join_all().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    (count(StatusCode::OK), count(StatusCode::UNAUTHORIZED))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_revoked_token_cost_one_refresh() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    guard.delay(ms(20));
    assert_eq!(herd(1_000, &cache, &guard, IfEmpty).await, (1_000, 0));
    assert_eq!(endpoint.count(), 2);
    let seen = guard.seen();
    assert_eq!(seen.len(), 2_000);
    assert!(seen[..1_000].iter().all(|token| token == "Bearer token-1"));
    assert!(seen[1_000..].iter().all(|token| token == "Bearer token-2"));

    // The fetcher learns why it is asked, and which token is to be replaced.
    assert_eq!(endpoint.reasons(), [RefreshReason::Cold, RefreshReason::Rejected]);
    assert_eq!(endpoint.last_request().previous.unwrap().expose_secret(), "token-1");
}

/// The same on threads that really run at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_on_four_threads_cost_one_refresh() {
    for _ in 0..5 {
        let (endpoint, guard) = (hour().delay(ms(5)), Guard::default());
        let cache = warm(&endpoint).await;
        guard.revoke("token-1");
        assert_eq!(herd(1_000, &cache, &guard, IfEmpty).await, (1_000, 0));
        assert_eq!((endpoint.count(), endpoint.most_running()), (2, 1));
        let is = |token: &str| guard.seen().iter().filter(|seen| *seen == token).count();
        assert_eq!(is("Bearer token-2"), 1_000);
        assert_eq!(guard.requests(), 1_000 + is("Bearer token-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_late_rejections_cost_nothing_more() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    // Their answers take 10 s ...
    guard.delay(secs(10));
    let late = tokio::spawn({
        let (cache, guard) = (cache.clone(), guard.clone());
        async move { herd(50, &cache, &guard, IfEmpty).await }
    });
    sleep(secs(1)).await;
    // ... and long before that the token is refreshed.
    guard.delay(ms(0));
    assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (1, 0));
    assert_eq!(endpoint.count(), 2);
    guard.delay(ms(20));
    assert_eq!(late.await.unwrap(), (50, 0));
    assert_eq!(endpoint.count(), 2, "a late rejection cost a token request");
    assert_eq!(guard.requests(), 102);
}

/// 100 requests a second for 10 minutes. How many were answered with 200, and with 401.
async fn ten_minutes<R>(
    endpoint: &Endpoint,
    guard: &Guard,
    chance: f64,
    replay: R,
) -> (usize, usize)
where
    R: Replay<Body, Body = Body> + Clone + Send + Sync + 'static,
{
    let cache = endpoint.cache_with(chance).build();
    let service = OAuthLayer::with_source(cache).replay(replay).layer(guard.service::<Body>());
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
        while let Some(answered) = callers.try_join_next() {
            count(answered.unwrap());
        }
    }
    callers.join_all().await.into_iter().for_each(&mut count);
    (accepted, rejected)
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_always_says_401_costs_at_most_eight_token_requests() {
    for chance in [0.0, 1.0] {
        let (endpoint, guard) = (hour(), Guard::default());
        guard.reject_every(1);
        assert_eq!(ten_minutes(&endpoint, &guard, chance, IfEmpty).await, (0, 60_000));
        println!("always 401, replays, chance {chance}: {} token requests", endpoint.count());
        assert!((2..=8).contains(&endpoint.count()), "{}", endpoint.count());

        let (endpoint, guard) = (hour(), Guard::default());
        guard.reject_every(1);
        assert_eq!(ten_minutes(&endpoint, &guard, chance, Never).await, (0, 60_000));
        println!("always 401, no replays, chance {chance}: {} token requests", endpoint.count());
        assert!((2..=8).contains(&endpoint.count()), "{}", endpoint.count());
        assert_eq!(guard.requests(), 60_000);
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_replica_of_ten_costs_at_most_eight_token_requests() {
    let (endpoint, guard) = (hour(), Guard::default());
    guard.reject_every(10);
    assert_eq!(ten_minutes(&endpoint, &guard, 0.0, Never).await, (54_000, 6_000));
    println!("one replica of ten, no replays: {} token requests", endpoint.count());
    assert!((2..=8).contains(&endpoint.count()), "{}", endpoint.count());

    // With replays a handful more are served.
    let (endpoint, guard) = (hour(), Guard::default());
    guard.reject_every(10);
    let (accepted, rejected) = ten_minutes(&endpoint, &guard, 0.0, IfEmpty).await;
    assert_eq!(accepted + rejected, 60_000);
    assert!((5_900..6_100).contains(&rejected), "{rejected}");
    println!("one replica of ten, replays: {} token requests", endpoint.count());
    assert!((2..=8).contains(&endpoint.count()), "{}", endpoint.count());
}

/// When the token was refreshed, in milliseconds, if every request is rejected.
async fn refreshes(chance: f64, how_long: std::time::Duration) -> Vec<u128> {
    let (endpoint, guard) = (hour().delay(ms(0)), Guard::default());
    guard.reject_every(1);
    let cache = endpoint.cache_with(chance).build();
    cache.warm_up().await.unwrap();
    let (start, mut refreshes, mut before) = (Instant::now(), Vec::new(), 1);
    while start.elapsed() < how_long {
        assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (0, 1));
        if endpoint.count() > before {
            before = endpoint.count();
            refreshes.push(start.elapsed().as_millis());
        }
        sleep(ms(250)).await;
    }
    refreshes
}

#[tokio::test(start_paused = true)]
async fn refreshes_get_rarer_from_time_to_time() {
    assert_eq!(
        refreshes(0.0, secs(700)).await,
        [0, 1_000, 5_000, 21_000, 85_000, 385_000, 685_000]
    );
    assert_eq!(refreshes(1.0, secs(700)).await, [0, 1_250, 6_250, 26_250, 106_250, 481_250]);
}

#[tokio::test(start_paused = true)]
async fn only_five_minutes_without_a_rejection_make_them_as_frequent_as_before() {
    let (endpoint, guard) = (hour().delay(ms(0)), Guard::default());
    let cache = warm(&endpoint).await;
    let rejected = async || {
        guard.reject_every(1);
        assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (0, 1));
        guard.reject_every(0);
        endpoint.count()
    };
    assert_eq!(rejected().await, 2);
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 3);
    sleep(secs(4)).await;
    assert_eq!(rejected().await, 4);
    // A success in between changes nothing.
    assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (100, 0));
    sleep(secs(15)).await;
    assert_eq!(rejected().await, 4);
    // An ignored rejection counts: the 5 minutes begin with it.
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 5);
    sleep(secs(299)).await;
    assert_eq!(rejected().await, 6);
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 6, "the pause is 300 s now");
    sleep(secs(300)).await;
    assert_eq!(rejected().await, 7);
    sleep(secs(1)).await;
    assert_eq!(rejected().await, 8, "the pause is 1 s again");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_while_the_token_is_being_refreshed_joins_that_fetch() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    guard.revoke("token-1");
    guard.delay(ms(20));
    // The first of them sets the refresh off, and all of them are sent with the stale token.
    assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (100, 0));
    assert_eq!(endpoint.reasons(), [RefreshReason::Cold, RefreshReason::Stale]);
    assert_eq!(guard.requests(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_used_while_it_is_being_replaced() {
    let (endpoint, guard) = (hour().delay(secs(2)), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    assert_eq!(herd(1, &cache, &guard, Never).await, (0, 1));
    assert_eq!(cache.status().phase, TokenState::Rejected);
    assert!(cache.status().fetching);
    // They wait for the same fetch.
    let start = Instant::now();
    assert_eq!(herd(100, &cache, &guard, Never).await, (100, 0));
    assert_eq!(start.elapsed(), secs(2));
    assert_eq!((guard.requests(), endpoint.count()), (101, 2));
}

#[tokio::test(start_paused = true)]
async fn if_the_token_ends_while_its_refresh_fails_the_others_get_the_error() {
    let endpoint = Endpoint::with_lifetime(secs(10)).delay(ms(0));
    let guard = Guard::default();
    let cache = endpoint.cache_with(0.0).build();
    cache.warm_up().await.unwrap();
    // Usable for 9 s, and refreshed at 7.2 s.
    sleep(secs(7)).await;
    let endpoint = endpoint.delay(secs(3));
    endpoint.set(Answer::Fail(ErrorKind::Unavailable));
    guard.reject_every(1);
    let rejected = tokio::spawn({
        let (cache, guard) = (cache.clone(), guard.clone());
        async move { herd(1, &cache, &guard, IfEmpty).await }
    });
    sleep(ms(10)).await;
    assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(rejected.await.unwrap(), (0, 1), "it has the resource's answer");
    assert_eq!(endpoint.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_its_own_authorization_is_never_touched() {
    let (endpoint, guard) = (hour(), Guard::default());
    guard.reject_every(1);
    let service = OAuthLayer::new(endpoint.fetcher()).layer(guard.service::<Body>());
    let mut request = get(URI);
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
    assert_eq!(send(service, request).await, StatusCode::UNAUTHORIZED);
    assert_eq!(guard.seen(), ["Basic abc"]);
    assert_eq!(endpoint.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_never_changes_is_not_sent_again() {
    let guard = Guard::default();
    guard.reject_every(1);
    let service = OAuthLayer::with_source(Token::bearer("abc")).layer(guard.service::<Body>());
    assert_eq!(send(service, get(URI)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(guard.seen(), ["Bearer abc"]);
}

#[tokio::test(start_paused = true)]
async fn never_gives_the_answer_at_once_and_refreshes_for_the_next_request() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    let start = Instant::now();
    assert_eq!(herd(1, &cache, &guard, Never).await, (0, 1));
    assert_eq!(start.elapsed(), ms(0), "its caller waited for the refresh");
    sleep(secs(1)).await;
    assert_eq!(endpoint.reasons(), [RefreshReason::Cold, RefreshReason::Rejected]);
    assert_eq!(herd(1, &cache, &guard, Never).await, (1, 0));
    assert_eq!(guard.seen(), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_replay_is_not_replayed() {
    let (endpoint, guard) = (hour(), Guard::default());
    guard.reject_every(1);
    let cache = warm(&endpoint).await;
    assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (0, 1));
    assert_eq!(guard.seen(), ["Bearer token-1", "Bearer token-2"]);
    assert_eq!(endpoint.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_noticed_the_rejection_may_leave() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    assert!(timeout(ms(10), herd(10, &cache, &guard, IfEmpty)).await.is_err());
    assert_eq!(herd(10, &cache, &guard, IfEmpty).await, (10, 0));
    assert_eq!(endpoint.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_service_may_be_gone_when_the_answer_comes() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    let service = OAuthLayer::with_source(cache).layer(guard.service::<Body>());
    // `oneshot` drops the service, which is the last handle of the cache, once it is called.
    assert_eq!(send(service, get(URI)).await, StatusCode::OK);
    assert_eq!(guard.seen(), ["Bearer token-1", "Bearer token-2"]);
}

/// Everyday life of test suites: one static cache, one runtime per test.
#[test]
fn a_refresh_whose_runtime_ended_is_made_again_by_the_next_request() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (endpoint, guard) = (hour().delay(ms(0)), Guard::default());
    let cache = TokenCache::new(endpoint.fetcher());
    guard.revoke("token-1");
    let first = runtime();
    first.block_on(async {
        cache.warm_up().await.unwrap();
        endpoint.set(Answer::Never);
        assert_eq!(herd(1, &cache, &guard, Never).await, (0, 1));
    });
    drop(first);
    assert_eq!(cache.status().phase, TokenState::Rejected);
    endpoint.set(Answer::New(secs(3600)));
    assert_eq!(runtime().block_on(herd(5, &cache, &guard, Never)), (5, 0));
    assert!(guard.seen()[1..].iter().all(|token| token != "Bearer token-1"));
}

/// Where nothing can be fetched, a rejected token is not given up.
#[test]
fn without_a_runtime_the_answer_comes_as_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (endpoint, guard) = (hour().delay(ms(0)), Guard::default());
    let cache = TokenCache::new(endpoint.fetcher());
    runtime.block_on(cache.warm_up()).unwrap();
    drop(runtime);
    guard.reject_every(1);
    let layer = OAuthLayer::with_source(cache.clone());
    for round in 0..3 {
        let mut with = tokio_test::task::spawn(send(layer.layer(guard.service()), get(URI)));
        assert_eq!(with.poll(), std::task::Poll::Ready(StatusCode::UNAUTHORIZED), "{round}");
        let never = layer.clone().replay(Never).layer(guard.service());
        let mut without = tokio_test::task::spawn(send(never, get(URI)));
        assert_eq!(without.poll(), std::task::Poll::Ready(StatusCode::UNAUTHORIZED), "{round}");
    }
    assert_eq!(cache.status().phase, TokenState::Fresh);
    assert_eq!(endpoint.count(), 1);
}

/// Places in the client are given back while the token is refreshed, and a replay queues like every
/// request.
#[tokio::test(start_paused = true)]
async fn a_limited_client_is_no_deadlock() {
    let guard = Guard::default();
    guard.delay(ms(10));
    let api = ServiceBuilder::new().concurrency_limit(1).service(guard.service::<Body>());
    // The fetcher goes through the same client.
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = {
        let (api, fetches) = (api.clone(), Arc::clone(&fetches));
        service_fn(move |_| {
            let (api, number) = (api.clone(), fetches.fetch_add(1, Ordering::SeqCst) + 1);
            async move {
                api.oneshot(get(URI)).await?;
                Ok::<_, BoxError>(Token::bearer(format!("token-{number}")))
            }
        })
    };
    guard.revoke("token-1");
    let service = OAuthLayer::new(fetcher).layer(api);
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        callers.spawn(send(service.clone(), get(URI)));
    }
    let answers = timeout(secs(60), callers.join_all()).await.expect("a deadlock");
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
}

/// Answers `first` to the first request and 200 to every other.
async fn requests_after<R>(layer: OAuthLayer<TokenCache, R>, first: Response<Full<Bytes>>) -> usize
where
    R: Replay<Body, Body = Body> + Clone + Send + 'static,
{
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let resource = service_fn(move |_: Request<Body>| {
        let rejects = counter.fetch_add(1, Ordering::SeqCst) == 0;
        let response = if rejects { first.clone() } else { Response::new(Full::default()) };
        async { Ok::<_, Infallible>(response) }
    });
    layer.layer(resource).oneshot(get(URI)).await.unwrap();
    requests.load(Ordering::SeqCst)
}

fn with_status(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_a_401_is_a_rejection() {
    for status in 200..600 {
        let endpoint = hour();
        let layer = OAuthLayer::with_source(warm(&endpoint).await);
        let expected = if status == 401 { 2 } else { 1 };
        assert_eq!(requests_after(layer, with_status(status)).await, expected, "{status}");
        assert_eq!(endpoint.count(), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_when_takes_the_place_of_the_standard() {
    for (status, code, expected) in
        [(400, "", 1), (400, "expired", 2), (403, "expired", 2), (419, "expired", 2), (401, "", 1)]
    {
        let endpoint = hour();
        let layer = OAuthLayer::with_source(warm(&endpoint).await)
            .rejected_when(|head| head.headers.get("x-code").is_some_and(|code| code == "expired"));
        let mut first = with_status(status);
        first.headers_mut().insert("x-code", HeaderValue::from_static(code));
        assert_eq!(requests_after(layer, first).await, expected, "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trailers_only_answer_of_grpc_is_one() {
    for (status, grpc, expected) in [
        (200, "16", 2),
        (200, "0", 1),
        (200, "7", 1),
        (200, "160", 1),
        (200, "", 1),
        (503, "16", 1),
    ] {
        let endpoint = hour();
        let layer = OAuthLayer::with_source(warm(&endpoint).await);
        let mut first = with_status(status);
        first.headers_mut().insert("grpc-status", HeaderValue::from_static(grpc));
        assert_eq!(requests_after(layer, first).await, expected, "{status} {grpc}");
    }
}

/// What stands in the headers of an answer that has a body is no trailer.
#[tokio::test(start_paused = true)]
async fn an_answer_with_a_body_is_not_trailers_only() {
    let endpoint = hour();
    let cache = warm(&endpoint).await;
    let resource = service_fn(|_: Request<Empty<Bytes>>| async {
        let body = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>());
        Ok::<_, Infallible>(Response::builder().header("grpc-status", "16").body(body).unwrap())
    });
    let response = OAuthLayer::with_source(cache).layer(resource).oneshot(get(URI)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "16");
    assert_eq!(endpoint.count(), 1);
}

/// Everything that a fetch can end with but another token.
fn failures() -> Vec<Answer> {
    vec![
        Answer::Fail(ErrorKind::Unavailable),
        Answer::Fail(ErrorKind::Denied),
        Answer::Panic,
        Answer::Never,
        Answer::Token(Token::bearer("token-1").with_lifetime(secs(3600))),
        Answer::Token(Token::bearer("not\na header")),
    ]
}

#[tokio::test(start_paused = true)]
async fn if_the_refresh_fails_callers_get_the_resources_own_answer() {
    for failure in failures() {
        let (endpoint, guard) = (hour(), Guard::default());
        let cache = warm(&endpoint).await;
        endpoint.set(failure);
        guard.reject_every(1);
        // Its words and headers are compared in `send`.
        assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (0, 100));
        assert_eq!((guard.requests(), endpoint.count()), (100, 2));

        // The token stays in use, and in the failure window rejections are ignored.
        assert_eq!(cache.status().phase, TokenState::Fresh);
        assert!(cache.status().last_error.is_some());
        assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (0, 100));
        guard.reject_every(0);
        assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (100, 0));
        assert_eq!(endpoint.count(), 2);
        assert!(guard.seen().iter().all(|token| token == "Bearer token-1"));

        // When the window is over the next rejection has it tried again.
        sleep(secs(2)).await;
        endpoint.set(Answer::New(secs(3600)));
        guard.revoke("token-1");
        assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (1, 0));
        assert_eq!(endpoint.count(), 3);
    }
}

/// Those who came while the token was held back are not those whose token was rejected.
#[tokio::test(start_paused = true)]
async fn if_the_refresh_fails_others_go_on_with_the_token() {
    for failure in failures() {
        let (endpoint, guard) = (hour(), Guard::default());
        let cache = warm(&endpoint).await;
        endpoint.set(failure);
        guard.reject_every(1);
        let rejected = tokio::spawn({
            let (cache, guard) = (cache.clone(), guard.clone());
            async move { herd(1, &cache, &guard, IfEmpty).await }
        });
        sleep(ms(10)).await;
        assert_eq!(cache.status().phase, TokenState::Rejected);
        guard.reject_every(0);
        assert_eq!(herd(100, &cache, &guard, IfEmpty).await, (100, 0));
        assert_eq!(rejected.await.unwrap(), (0, 1));
        assert!(guard.seen().iter().all(|token| token == "Bearer token-1"));
        assert_eq!(endpoint.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn if_a_refresh_fails_whose_token_was_rejected_the_token_goes_on() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    endpoint.set(Answer::Fail(ErrorKind::Unavailable));
    guard.reject_every(1);
    assert_eq!(herd(10, &cache, &guard, IfEmpty).await, (0, 10));
    guard.reject_every(0);
    assert_eq!(herd(10, &cache, &guard, IfEmpty).await, (10, 0));
    assert_eq!(endpoint.reasons(), [RefreshReason::Cold, RefreshReason::Stale]);
}

/// A refresh died with its runtime, and whoever comes next can send nobody either.
#[test]
fn without_a_runtime_a_token_that_was_held_back_is_used_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (endpoint, guard) = (hour().delay(ms(0)), Guard::default());
    let cache = TokenCache::new(endpoint.fetcher());
    runtime.block_on(async {
        cache.warm_up().await.unwrap();
        endpoint.set(Answer::Never);
        guard.reject_every(1);
        assert_eq!(herd(1, &cache, &guard, Never).await, (0, 1));
    });
    drop(runtime);
    guard.reject_every(0);
    let service = OAuthLayer::with_source(cache).layer(guard.service());
    let mut answer = tokio_test::task::spawn(send(service, get(URI)));
    assert_eq!(answer.poll(), std::task::Poll::Ready(StatusCode::OK));
}

/// The same when the token of a replay ran out while it waited for its place: the place that it got
/// then is the one that the fetch needs.
#[tokio::test(start_paused = true)]
async fn a_replay_gives_its_place_back_for_another_token() {
    let guard = Guard::default();
    let places = Arc::new(Semaphore::new(1));
    let api = ConcurrencyLimit::with_semaphore(guard.service::<Body>(), Arc::clone(&places));
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = {
        let (api, fetches) = (api.clone(), Arc::clone(&fetches));
        service_fn(move |_| {
            let (api, number) = (api.clone(), fetches.fetch_add(1, Ordering::SeqCst) + 1);
            async move {
                api.oneshot(get(URI)).await?;
                sleep(ms(500)).await;
                Ok::<_, BoxError>(Token::bearer(format!("token-{number}")).with_lifetime(secs(3)))
            }
        })
    };
    guard.revoke("token-1");
    let cache = TokenCache::builder(fetcher).clock(support::TestClock::new()).build();
    cache.warm_up().await.unwrap();
    let start = Instant::now();
    let answer = tokio::spawn(send(OAuthLayer::with_source(cache).layer(api), get(URI)));
    // While the refresh is under way somebody takes the only place, for longer than a token lives.
    sleep(ms(100)).await;
    let taken = places.acquire().await.unwrap();
    sleep(secs(5)).await;
    drop(taken);
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
    assert_eq!(start.elapsed(), ms(5_600));
    assert_eq!(guard.seen().last().unwrap(), "Bearer token-3");
    assert_eq!(fetches.load(Ordering::SeqCst), 3);
}

/// A replay that has to wait for its place is sent with the token of its moment.
#[tokio::test(start_paused = true)]
async fn a_replay_that_waits_for_its_place_gets_the_token_of_its_moment() {
    // 40 replays, one second each, with tokens that are refreshed after about 14 s.
    let (endpoint, guard) = (Endpoint::with_lifetime(secs(20)), Guard::default());
    let cache = warm(&endpoint).await;
    guard.revoke("token-1");
    guard.delay(secs(1));
    // All of them are sent at once, and once they are rejected there is only one place.
    let places = Arc::new(Semaphore::new(40));
    let limited = ConcurrencyLimit::with_semaphore(guard.service::<Body>(), Arc::clone(&places));
    let service = OAuthLayer::with_source(cache).layer(limited);
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        callers.spawn(send(service.clone(), get(URI)));
    }
    sleep(ms(500)).await;
    let _taken = places.acquire_many_owned(39).await;
    let answers = callers.join_all().await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    let seen = guard.seen();
    assert_eq!(seen.len(), 80);
    // None of them was sent with a token for which there was another one.
    assert!(seen.is_sorted_by_key(|token| token["Bearer token-".len()..].parse::<u32>().unwrap()));
    assert_eq!(seen[79], "Bearer token-4");
}

/// Caches and gateways hand out one token until it ends: asking again at once would bring it again.
#[tokio::test(start_paused = true)]
async fn a_rejection_right_after_a_refresh_that_brought_the_same_token_is_ignored() {
    let (endpoint, guard) = (hour(), Guard::default());
    let cache = warm(&endpoint).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    endpoint.set(Answer::Token(Token::bearer("token-1").with_lifetime(secs(3600))));
    assert_eq!(herd(1, &cache, &guard, IfEmpty).await, (1, 0));
    sleep(ms(100)).await;
    assert_eq!(endpoint.reasons(), [RefreshReason::Cold, RefreshReason::Stale]);
    guard.revoke("token-1");
    assert_eq!(herd(10, &cache, &guard, IfEmpty).await, (0, 10));
    assert_eq!(endpoint.count(), 2);
    endpoint.set(Answer::New(secs(3600)));
    sleep(secs(1)).await;
    assert_eq!(herd(10, &cache, &guard, IfEmpty).await, (10, 0));
    assert_eq!(endpoint.reasons()[2..], [RefreshReason::Stale]);
}
