//! The order of layers: each row of `docs::layers`.

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use http::{HeaderValue, Request, Response, StatusCode, header::LOCATION};
use support::{Body, authorization, capture_log, get, ms, secs, server};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, retry::Policy, service_fn,
    timeout::error::Elapsed, util::BoxService,
};
use tower_http::{follow_redirect::FollowRedirectLayer, trace::TraceLayer};
use tower_oauth::{OAuthLayer, TokenCache, testing::AuthorizationServer};

const URI: &str = "https://api.example.com/";

fn layer(server: &AuthorizationServer) -> (OAuthLayer, TokenCache) {
    let tokens = support::cache(server.fetcher()).build();
    (OAuthLayer::with_source(tokens.clone()).origin(URI.trim_end_matches('/')).unwrap(), tokens)
}

/// Sends a request that failed again, once, after a minute.
#[derive(Clone)]
struct Retry;

impl Policy<Request<Body>, Response<Body>, BoxError> for Retry {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<Body>, BoxError>,
    ) -> Option<Self::Future> {
        result.is_err().then(|| sleep(secs(60)))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// An API whose first response is an error, and the authorizations that it saw.
fn fails_first() -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send,
    Arc<Mutex<Vec<Option<String>>>>,
) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let api = service_fn(move |request: Request<Body>| {
        let mut seen = log.lock().unwrap();
        seen.push(authorization(request.headers()));
        let is_first = seen.len() == 1;
        async move {
            if is_first { Err("connection reset".into()) } else { Ok(Response::new(Body::new())) }
        }
    });
    (api, seen)
}

#[tokio::test(start_paused = true)]
async fn a_retry_above_gets_the_token_of_the_moment() {
    let server = server(secs(30), ms(0));
    let (layer, _) = layer(&server);
    let (api, seen) = fails_first();
    let client = ServiceBuilder::new().retry(Retry).layer(layer).service(api);
    client.oneshot(get(URI)).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [Some("Bearer token-1".into()), Some("Bearer token-2".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_below_sends_the_old_token_again() {
    let server = server(secs(30), ms(0));
    let (layer, _) = layer(&server);
    let (api, seen) = fails_first();
    let client = ServiceBuilder::new().layer(layer).retry(Retry).service(api);
    client.oneshot(get(URI)).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [Some("Bearer token-1".into()), Some("Bearer token-1".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_includes_the_wait_for_a_token() {
    let server = server(secs(3600), secs(3));
    let (layer, tokens) = layer(&server);
    let client = ServiceBuilder::new().timeout(secs(1)).layer(layer).service(server.clone());
    assert!(client.oneshot(get(URI)).await.unwrap_err().is::<Elapsed>());
    // The fetch goes on.
    sleep(secs(3)).await;
    assert!(tokens.try_authorization().is_some());
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_does_not() {
    let server = server(secs(3600), secs(3));
    let (layer, _) = layer(&server);
    let client = ServiceBuilder::new().layer(layer).timeout(secs(1)).service(server.clone());
    let start = Instant::now();
    assert_eq!(client.oneshot(get(URI)).await.unwrap().status(), StatusCode::OK);
    assert_eq!(start.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn with_a_timeout_below_a_call_takes_up_to_three_fetches_and_three_times_the_timeout() {
    let (fetch, just_in_time) = (secs(3), secs(99));
    let server = server(secs(3600), fetch);
    let (layer, _) = layer(&server);
    // Slow enough that each rejection is a reason to fetch another token.
    let slow = service_fn(move |_: Request<Body>| async move {
        sleep(just_in_time).await;
        Ok::<_, Infallible>(support::status(StatusCode::UNAUTHORIZED))
    });
    let client = ServiceBuilder::new().layer(layer).timeout(secs(100)).service(slow);
    let start = Instant::now();
    assert_eq!(client.oneshot(get(URI)).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(start.elapsed(), 3 * (fetch + just_in_time));
}

/// How many of three requests have got past a limit of one while they wait for a token.
async fn past_the_limit(is_below: bool) -> usize {
    let server = server(secs(3600), secs(3));
    let (layer, _) = layer(&server);
    let (begun, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let count_calls = move |request: Request<Body>| {
        counted.fetch_add(1, SeqCst);
        request
    };
    let mut sending = JoinSet::new();
    let limit = ServiceBuilder::new().concurrency_limit(1);
    if is_below {
        let client = ServiceBuilder::new().map_request(count_calls).layer(layer);
        let client = client.service(limit.service(server.clone()));
        (0..3).for_each(|_| drop(sending.spawn(client.clone().oneshot(get(URI)))));
    } else {
        let client = limit.map_request(count_calls).layer(layer).service(server.clone());
        (0..3).for_each(|_| drop(sending.spawn(client.clone().oneshot(get(URI)))));
    }
    sleep(secs(1)).await;
    begun.store(count.load(SeqCst), SeqCst);
    assert!(sending.join_all().await.iter().all(Result::is_ok));
    begun.load(SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_has_its_places_free_while_requests_wait_for_a_token() {
    assert_eq!(past_the_limit(true).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_limit_above_also_counts_those_that_wait_for_a_token() {
    assert_eq!(past_the_limit(false).await, 1);
}

/// A buffer that has seen an error of `poll_ready` is dead for good.
#[tokio::test(start_paused = true)]
async fn a_buffer_above_outlives_every_error_of_the_layer() {
    let server = server(secs(3600), ms(0));
    server.down(true);
    let (layer, _) = layer(&server);
    let client = ServiceBuilder::new().buffer(8).layer(layer).service(server.clone());
    client.clone().oneshot(get(URI)).await.unwrap_err();
    server.down(false);
    sleep(secs(2)).await;
    assert_eq!(client.oneshot(get(URI)).await.unwrap().status(), StatusCode::OK);
}

/// As kube's default stack is: a box that cannot be cloned.
#[tokio::test(start_paused = true)]
async fn a_buffer_below_makes_a_service_that_is_not_clone_fit() {
    let server = server(secs(3600), ms(0));
    let (layer, _) = layer(&server);
    let boxed = BoxService::new(server.clone());
    let mut client = ServiceBuilder::new().layer(layer).buffer(8).service(boxed);
    // In a task of its own, so that the futures between must be `Send`.
    let sent = tokio::spawn(async move { client.ready().await?.call(get(URI)).await });
    assert_eq!(sent.await.unwrap().unwrap().status(), StatusCode::OK);
}

/// What each host saw of a redirect from one to the other.
async fn redirected(is_above: bool) -> Vec<(String, Option<String>)> {
    let server = server(secs(3600), ms(0));
    let (layer, _) = layer(&server);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let api = service_fn(move |request: Request<Body>| {
        let host = request.uri().host().unwrap().to_owned();
        let mut response = Response::new(Body::new());
        if host == "api.example.com" {
            *response.status_mut() = StatusCode::FOUND;
            response
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_static("https://cdn.example.net/file"));
        }
        log.lock().unwrap().push((host, authorization(request.headers())));
        async { Ok::<_, Infallible>(response) }
    });
    let follow = FollowRedirectLayer::new();
    if is_above {
        let client = ServiceBuilder::new().layer(follow).layer(layer).service(api);
        client.oneshot(get(URI)).await.unwrap();
    } else {
        let client = ServiceBuilder::new().layer(layer).layer(follow).service(api);
        client.oneshot(get(URI)).await.unwrap();
    }
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_redirect_above_asks_for_each_origin() {
    let token = Some("Bearer token-1".to_owned());
    let expected = [("api.example.com".into(), token), ("cdn.example.net".into(), None)];
    assert_eq!(redirected(true).await, expected);
}

/// This one removes `Authorization` on the way to another origin. Not every client does.
#[tokio::test(start_paused = true)]
async fn a_redirect_below_is_the_business_of_whoever_follows_it() {
    let token = Some("Bearer token-1".to_owned());
    let expected = [("api.example.com".into(), token), ("cdn.example.net".into(), None)];
    assert_eq!(redirected(false).await, expected);
}

/// What a trace that shows all headers logs of a request.
async fn traced(is_above: bool) -> String {
    let server = server(secs(3600), ms(0));
    let (layer, _) = layer(&server);
    let trace = TraceLayer::new_for_http()
        .make_span_with(tower_http::trace::DefaultMakeSpan::new().include_headers(true))
        .on_request(tower_http::trace::DefaultOnRequest::new().level(tracing::Level::INFO));
    let log = capture_log(async {
        if is_above {
            let client = ServiceBuilder::new().layer(trace).layer(layer).service(server.clone());
            client.oneshot(get(URI)).await.unwrap();
        } else {
            let client = ServiceBuilder::new().layer(layer).layer(trace).service(server.clone());
            client.oneshot(get(URI)).await.unwrap();
        }
    });
    let log = log.await;
    assert!(log.contains("headers={") && !log.contains("token-1"), "{log}");
    log
}

#[tokio::test(start_paused = true)]
async fn a_trace_above_does_not_see_the_token() {
    let log = traced(true).await;
    assert!(!log.contains("authorization"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_trace_below_sees_a_header_that_is_marked_sensitive() {
    let log = traced(false).await;
    assert!(log.contains("\"authorization\": Sensitive"), "{log}");
}
