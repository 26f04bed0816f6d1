//! What tower expects of a middleware, poll by poll.

mod support;

use std::{
    future::ready,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use static_assertions::assert_impl_all;
use support::{Body, cache, call, get, ms, ours, resource, secs, server};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::BoxError;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_oauth::{
    ErrorKind, OAuthLayer, OAuthService, Token, TokenCache, TokenRequest, fetch_fn,
    replay::{ByClone, Never},
    testing::{AuthorizationServer, ResponseTemplate},
};
use tower_test::mock;

assert_impl_all!(OAuthLayer: Clone, Send, Sync, std::fmt::Debug);
assert_impl_all!(OAuthLayer<Token, Never>: Clone, Send, Sync, std::fmt::Debug);
assert_impl_all!(TokenCache: Clone, Send, Sync, std::fmt::Debug);
assert_impl_all!(OAuthService<mock::Mock<(), ()>, TokenCache>: Clone, Send, Sync);
assert_impl_all!(tower_oauth::Error: Clone, Send, Sync, std::error::Error);

const URI: &str = "https://api.example.com/";

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inner_services() {
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let mut service = task::spawn(OAuthLayer::with_source(Token::bearer("abc")).layer(inner));
    handle.allow(0);
    assert_pending!(service.enter(|cx, mut service| poll_ready(&mut *service, cx)));
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.enter(|cx, mut service| poll_ready(&mut *service, cx)));

    let mut answer = task::spawn(service.call(get(URI)));
    assert_pending!(answer.poll());
    let (request, respond) = handle.next_request().await.unwrap();
    assert_eq!(support::authorization(request.headers()).unwrap(), "Bearer abc");
    respond.send_response(Response::new(Body::new()));
    assert_ready_ok!(answer.poll());
}

/// A service that panics when it is called without having been made ready, on the same instance.
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without readiness");
        ready(Ok(Response::new(Body::new())))
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_was_made_ready_is_the_one_that_is_called() {
    let server = server(secs(3600), ms(50));
    let mut service = OAuthLayer::new(server.fetcher()).layer(Strict { ready: false });
    // Cold, hot, and from a clone of a ready one.
    for _ in 0..3 {
        service.ready().await.unwrap().call(get(URI)).await.unwrap();
    }
    service.ready().await.unwrap();
    let mut clone = service.clone();
    clone.ready().await.unwrap().call(get(URI)).await.unwrap();
    service.call(get(URI)).await.unwrap();
}

#[derive(Clone)]
struct StrictFetcher(Strict);

impl Service<TokenRequest> for StrictFetcher {
    type Response = Token;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Token, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: TokenRequest) -> Self::Future {
        assert!(std::mem::take(&mut self.0.ready), "called without readiness");
        ready(Ok(Token::bearer("abc")))
    }
}

#[tokio::test(start_paused = true)]
async fn the_fetcher_is_made_ready_before_each_call() {
    let cache = TokenCache::new(StrictFetcher(Strict { ready: false }));
    cache.token().await.unwrap();
}

/// The fetcher uses a clone of the very client that the requests use, and there is one place.
#[tokio::test(start_paused = true)]
async fn a_limited_client_shared_with_the_fetcher_does_not_deadlock() {
    let client = ServiceBuilder::new().concurrency_limit(1).service(resource());
    let fetching = client.clone();
    let fetcher = fetch_fn(move |_| {
        let client = fetching.clone();
        async move {
            client.oneshot(get("https://idp.example.com/token")).await?;
            Ok::<_, BoxError>(Token::bearer("abc").with_lifetime(secs(3600)))
        }
    });
    let mut service = OAuthLayer::new(fetcher).layer(client);
    let answer = call(&mut service, get(URI)).await;
    tokio::time::timeout(secs(1), answer).await.expect("a deadlock").unwrap();
    // And the place is free again.
    tokio::time::timeout(secs(1), service.oneshot(get(URI))).await.expect("a deadlock").unwrap();
}

#[tokio::test(start_paused = true)]
async fn readiness_is_given_back_while_a_token_is_awaited() {
    let server = server(secs(3600), secs(1));
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(1);
    let limited = ServiceBuilder::new().concurrency_limit(1).service(inner);
    let mut other = limited.clone();
    let mut service = OAuthLayer::new(server.fetcher()).layer(limited);
    let mut answer = task::spawn(service.ready().await.unwrap().call(get(URI)));
    assert_pending!(answer.poll());
    // The one place is free for others.
    tokio::time::timeout(ms(1), other.ready()).await.expect("the place is held").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_gives_readiness_back() {
    let client = ServiceBuilder::new().concurrency_limit(1).service(resource());
    let mut service = OAuthLayer::with_source(Token::bearer("abc")).layer(client.clone());
    let error = call(&mut service, get("http://api.example.com/")).await.await;
    assert_eq!(ours(&error.unwrap_err()).kind(), ErrorKind::InsecureOrigin);
    let other = client.oneshot(get(URI));
    tokio::time::timeout(secs(1), other).await.expect("the place is held").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_failure_never_leaves_through_poll_ready() {
    let server = AuthorizationServer::new();
    let denied = ResponseTemplate::oauth_error(StatusCode::BAD_REQUEST, "invalid_client");
    server.token_endpoint().always(denied);
    let mut service = task::spawn(OAuthLayer::new(server.fetcher()).layer(resource()));
    for _ in 0..10 {
        assert_ready_ok!(service.enter(|cx, mut service| poll_ready(&mut *service, cx)));
        let error = service.call(get(URI)).await.unwrap_err();
        assert_eq!(ours(&error).kind(), ErrorKind::Denied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_buffer_above_survives_a_token_failure() {
    let server = AuthorizationServer::new();
    server.down(true);
    let service = ServiceBuilder::new()
        .buffer(4)
        .layer(OAuthLayer::with_source(cache(server.fetcher()).build()))
        .service(resource());
    let error = service.clone().oneshot(get(URI)).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Unavailable);
    server.down(false);
    tokio::time::sleep(secs(1)).await;
    service.oneshot(get(URI)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_stays_what_it_is() {
    let inner = tower::service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(std::io::Error::other("gone"))
    });
    let service = OAuthLayer::with_source(Token::bearer("abc")).layer(inner);
    let error = service.oneshot(get(URI)).await.unwrap_err();
    assert!(error.is::<std::io::Error>());
}

#[tokio::test(start_paused = true)]
async fn a_request_with_an_authorization_of_its_own_is_left_alone() {
    let server = server(secs(3600), ms(50));
    let service = OAuthLayer::new(server.fetcher()).layer(server.clone());
    let mut request = get(URI);
    request.headers_mut().insert("authorization", "Basic abc".parse().unwrap());
    service.oneshot(request).await.unwrap();
    assert_eq!(server.authorizations(), ["Basic abc"]);
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_header_is_marked_sensitive() {
    let inner = tower::service_fn(|request: Request<Body>| async move {
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(!format!("{request:?}").contains("abc"));
        Ok::<_, BoxError>(support::status(StatusCode::OK))
    });
    let fetcher = fetch_fn(|_| ready(Ok::<_, BoxError>(Token::bearer("abc"))));
    let service = OAuthLayer::new(fetcher).layer(inner);
    service.oneshot(get(URI)).await.unwrap();
    let service = OAuthLayer::with_source(Token::bearer("abc")).layer(inner);
    service.oneshot(get(URI)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_with_too_many_headers_is_an_error_and_no_panic() {
    let service = OAuthLayer::with_source(Token::bearer("abc")).layer(resource());
    let mut request = get(URI);
    let mut number = 0;
    while request
        .headers_mut()
        .try_insert(
            http::HeaderName::try_from(format!("x-{number}")).unwrap(),
            http::HeaderValue::from_static(""),
        )
        .is_ok()
    {
        number += 1;
    }
    let error = service.oneshot(request).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::TooManyHeaders);
}

#[tokio::test(start_paused = true)]
async fn any_body_and_any_client_goes() {
    let source = || Token::bearer("abc");
    // A body without a default, a body that is no body, and bodies that are.
    let strings = tower::service_fn(|_: Request<&'static str>| async {
        Ok::<_, BoxError>(Response::new(String::new()))
    });
    let service = OAuthLayer::with_source(source()).replay(ByClone).layer(strings);
    service.oneshot(Request::get(URI).body("body").unwrap()).await.unwrap();

    let units = tower::service_fn(|_: Request<()>| async {
        Ok::<_, std::convert::Infallible>(Response::new(String::new()))
    });
    let service = OAuthLayer::with_source(source()).replay(Never).layer(units);
    service.oneshot(Request::get(URI).body(()).unwrap()).await.unwrap();

    let stack = ServiceBuilder::new()
        .layer(OAuthLayer::with_source(source()))
        .layer(tower_http::trace::TraceLayer::new_for_http())
        .service(resource());
    stack.oneshot(Request::get(URI).body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
}

/// Compiles, or does not.
#[allow(dead_code)]
fn every_client_of_the_field() {
    fn serves<B, S: Service<Request<B>, Future: Send> + Clone + Send>(_: S) {}

    let layer = OAuthLayer::with_source(Token::bearer("abc"));
    let executor = hyper_util::rt::TokioExecutor::new();
    let client =
        hyper_util::client::legacy::Client::builder(executor).build_http::<Full<bytes::Bytes>>();
    serves::<Full<bytes::Bytes>, _>(layer.layer(client));
    let executor = hyper_util::rt::TokioExecutor::new();
    let client =
        hyper_util::client::legacy::Client::builder(executor).build_http::<axum::body::Body>();
    serves::<axum::body::Body, _>(layer.layer(client));
    let channel = tonic::transport::Endpoint::from_static("https://[::1]:1").connect_lazy();
    serves::<tonic::body::Body, _>(layer.layer(channel));
    let client = reqwest::Client::new();
    let adapter = tower::service_fn(move |request: Request<reqwest::Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            Ok::<Response<reqwest::Body>, reqwest::Error>(response.into())
        }
    });
    serves::<reqwest::Body, _>(layer.layer(adapter));
}

fn poll_ready<S: Service<Request<Body>>>(
    service: &mut S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), S::Error>> {
    service.poll_ready(cx)
}
