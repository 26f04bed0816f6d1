//! A request whose token is rejected again, and one that waits for its place with a token that is not
//! used any more.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{authorization, cache, get, ms, secs, server};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_oauth::{
    Error, OAuthLayer, TokenCache,
    replay::{Buffered, ByClone, IfEmpty, Never},
    source::{Lease, RequestHead, TokenSource},
    testing::{AuthorizationServer, ResponseTemplate},
};

const URI: &str = "https://api.example.com/";

fn hour() -> AuthorizationServer {
    server(secs(3600), ms(50))
}

async fn warm(server: &AuthorizationServer) -> TokenCache {
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    cache
}

/// A cache with a token that came a moment ago, and one that it can fall back on.
async fn with_fallback(server: &AuthorizationServer) -> TokenCache {
    let cache = warm(server).await;
    sleep(cache.status().refresh_in.unwrap()).await;
    cache.token().await.unwrap();
    sleep(secs(1)).await;
    assert_eq!(cache.token().await.unwrap().expose_secret(), "token-2");
    cache
}

// ---- The token and the one before it are both dead ---------------------------------------------

#[tokio::test(start_paused = true)]
async fn with_both_tokens_revoked_the_third_send_succeeds() {
    let words = || Request::post(URI).body(Full::<Bytes>::from("words")).unwrap();
    for policy in ["empty", "clone", "buffered"] {
        let server = hour();
        let layer = OAuthLayer::with_source(with_fallback(&server).await);
        server.revoke_all();
        let api = server.clone();
        let response = match policy {
            "empty" => layer.replay(IfEmpty).layer(api).oneshot(get(URI)).await,
            "clone" => layer.replay(ByClone).layer(api).oneshot(words()).await,
            _ => layer.replay(Buffered::new(5)).layer(api).oneshot(words()).await,
        };
        assert_eq!(response.unwrap().status(), StatusCode::OK, "{policy}");
        let seen = ["Bearer token-2", "Bearer token-1", "Bearer token-3"];
        assert_eq!(server.authorizations(), seen, "{policy}");
        assert_eq!(server.token_requests(), 3, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn never_sends_once() {
    let server = hour();
    let layer = OAuthLayer::with_source(with_fallback(&server).await).replay(Never);
    server.revoke_all();
    let response = layer.layer(server.clone()).oneshot(get(URI)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.authorizations(), ["Bearer token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_rejects_everything_is_asked_three_times() {
    let server = hour();
    let cache = with_fallback(&server).await;
    server.reject_every(1);
    let service = OAuthLayer::with_source(cache).layer(server.clone());
    let response = service.oneshot(get(URI)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.authorizations().len(), 3);
    assert_eq!(server.token_requests(), 3);
}

// ---- Whatever the source has --------------------------------------------------------------------

/// A source that has so many tokens, one after the other, and counts the rejections.
#[derive(Clone)]
struct Tokens {
    number: usize,
    last: usize,
    rejections: Arc<AtomicUsize>,
}

impl Tokens {
    fn new(last: usize) -> Self {
        Self { number: 1, last, rejections: Arc::default() }
    }
}

impl TokenSource for Tokens {
    type Lease = Self;
    type Acquire = Ready<Result<Self, Error>>;

    fn try_acquire(&self, _: &RequestHead<'_>) -> Option<Self> {
        Some(self.clone())
    }

    fn acquire(&self, _: &RequestHead<'_>) -> Self::Acquire {
        ready(Ok(self.clone()))
    }
}

impl Lease for Tokens {
    type Replacement = Ready<Result<Option<Self>, Error>>;

    fn header_value(&self) -> HeaderValue {
        HeaderValue::try_from(format!("Bearer token-{}", self.number)).unwrap()
    }

    fn is_usable(&self) -> bool {
        true
    }

    fn reject(mut self) -> Self::Replacement {
        self.rejections.fetch_add(1, Ordering::SeqCst);
        self.number += 1;
        ready(Ok((self.number <= self.last).then_some(self)))
    }

    fn reacquire(self) -> Self::Replacement {
        ready(Ok(Some(self)))
    }
}

/// Sends a request to a resource whose responses have these statuses, and their number as their body.
/// Gives the response, and what was sent.
async fn exchange(
    statuses: &'static [u16],
    layer: OAuthLayer<Tokens>,
) -> (StatusCode, Bytes, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let resource = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<support::Body>| {
            let mut seen = seen.lock().unwrap();
            seen.push(authorization(request.headers()).unwrap());
            let body = Full::<Bytes>::from(seen.len().to_string());
            let response = Response::builder().status(statuses[seen.len() - 1]).body(body);
            ready(Ok::<_, Infallible>(response.unwrap()))
        })
    };
    let response = layer.layer(resource).oneshot(get(URI)).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let seen = seen.lock().unwrap().clone();
    (status, body, seen)
}

#[tokio::test(start_paused = true)]
async fn the_last_rejection_is_told_and_its_response_given() {
    let tokens = Tokens::new(9);
    let layer = OAuthLayer::with_source(tokens.clone());
    let (status, body, seen) = exchange(&[401, 401, 401], layer).await;
    assert_eq!((status, &body[..]), (StatusCode::UNAUTHORIZED, &b"3"[..]));
    assert_eq!(seen, ["Bearer token-1", "Bearer token-2", "Bearer token-3"]);
    assert_eq!(tokens.rejections.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn without_another_token_a_replays_response_is_given() {
    let tokens = Tokens::new(2);
    let layer = OAuthLayer::with_source(tokens.clone());
    let (status, body, seen) = exchange(&[401, 401], layer).await;
    assert_eq!((status, &body[..]), (StatusCode::UNAUTHORIZED, &b"2"[..]));
    assert_eq!(seen, ["Bearer token-1", "Bearer token-2"]);
    assert_eq!(tokens.rejections.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_ones_own_judges_replays_too() {
    let rule = |layer: OAuthLayer<Tokens>| layer.rejected_when(|head| head.status == 419);
    let layer = rule(OAuthLayer::with_source(Tokens::new(9)));
    let (status, body, seen) = exchange(&[419, 419, 200], layer).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"3"[..]));
    assert_eq!(seen.len(), 3);
    // For this one a 401 means nothing.
    let layer = rule(OAuthLayer::with_source(Tokens::new(9)));
    let (status, body, _) = exchange(&[419, 401], layer).await;
    assert_eq!((status, &body[..]), (StatusCode::UNAUTHORIZED, &b"2"[..]));
}

// ---- A replay that waits for its place -----------------------------------------------------------

/// While a replay waits for its place, another request's rejection suspends the token for a refresh
/// that fails: then the token is used again, by the replay too.
#[tokio::test(start_paused = true)]
async fn a_replay_whose_token_is_suspended_meanwhile_is_sent_with_it() {
    let server = hour();
    let cache = warm(&server).await;
    server.revoke("token-1").token_endpoint().delay(ms(500));
    let places = Arc::new(Semaphore::new(1));
    let limited = ConcurrencyLimit::with_semaphore(server.clone(), Arc::clone(&places));
    let layer = OAuthLayer::with_source(cache);
    let replay = tokio::spawn(layer.layer(limited).oneshot(get(URI)));
    // Somebody takes its place while its token is refreshed.
    sleep(ms(100)).await;
    let taken = places.acquire().await.unwrap();
    sleep(secs(3)).await;

    // Another request is rejected, and the token endpoint is not available.
    server.reject_next(1);
    let unavailable = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    server.token_endpoint().next(unavailable);
    let other = tokio::spawn(layer.layer(server.clone()).oneshot(get(URI)));
    sleep(ms(100)).await;
    let start = Instant::now();
    drop(taken);
    let response = replay.await.unwrap().expect("the token is used again");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(start.elapsed(), ms(400), "it is sent as soon as the refresh has failed");
    assert_eq!(other.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.authorizations().last().unwrap(), "Bearer token-2");
    assert_eq!(server.token_requests(), 3);
}
