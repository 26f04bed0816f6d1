//! A request with a `grpc-timeout` waits for a token only as long, and is sent with what is left of it.

mod support;

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Version};
use support::{Body, cache, get, ms, ours, secs, server};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tower::{BoxError, Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token,
    replay::{ByClone, Never},
    source::{RequestHead, TokenSource},
    testing::AuthorizationServer,
};

const URI: &str = "https://api.example.com/";

/// As gRPC clients send them: by POST over HTTP/2.
fn call(timeout: &str) -> Request<Body> {
    let mut request = get(URI);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

/// A source whose token always takes that long.
#[derive(Clone, Copy)]
struct Takes(Duration);

impl TokenSource for Takes {
    type Lease = Token;
    type Acquire = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

    fn try_acquire(&self, _: &RequestHead<'_>) -> Option<Token> {
        self.0.is_zero().then(|| Token::bearer("abc"))
    }

    fn acquire(&self, _: &RequestHead<'_>) -> Self::Acquire {
        let Self(delay) = *self;
        Box::pin(async move {
            sleep(delay).await;
            Ok(Token::bearer("abc"))
        })
    }
}

/// The `grpc-timeout` that a request arrives with, or the error, if its token takes that long.
async fn arrives(timeout: &str, delay: Duration) -> Result<String, BoxError> {
    let (seen, mut sent) = mpsc::unbounded_channel();
    let resource = service_fn(move |request: Request<Body>| {
        let value = &request.headers()["grpc-timeout"];
        seen.send(String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Body::new())))
    });
    let service = OAuthLayer::with_source(Takes(delay)).replay(Never).layer(resource);
    service.oneshot(call(timeout)).await?;
    Ok(sent.recv().await.unwrap())
}

fn is_exceeded(error: &BoxError) -> bool {
    ours(error).kind() == ErrorKind::DeadlineExceeded
}

#[tokio::test(start_paused = true)]
async fn every_unit_is_understood() {
    for (header, expected) in [
        ("1H", secs(3_600)),
        ("2M", secs(120)),
        ("3S", secs(3)),
        ("200m", ms(200)),
        ("5000u", ms(5)),
        ("7000000n", ms(7)),
        ("00000001S", secs(1)),
        ("99999999m", ms(99_999_999)),
        ("0m", ms(0)),
    ] {
        let start = Instant::now();
        let error = arrives(header, Duration::MAX).await.unwrap_err();
        assert!(is_exceeded(&error), "{header}: {error}");
        // Timers are a millisecond late at most.
        let late = start.elapsed() - expected;
        assert!(late <= ms(1), "{header}: {late:?}");
    }
    // One that is too far away for any clock is no panic.
    let far = timeout(secs(1_000_000), arrives("99999999H", secs(2_000_000))).await;
    assert!(far.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_is_no_deadline_and_stays() {
    for header in [
        "",
        "1",
        "m",
        "S",
        "1s",
        "1h",
        "-1S",
        "+1S",
        " 1S",
        "1 S",
        "1.5S",
        "1e3m",
        "0x1S",
        "S1",
        "100000000n",
        "999999999S",
        "1SS",
        "1é",
    ] {
        assert_eq!(arrives(header, secs(20)).await.unwrap(), header, "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_with_what_is_left() {
    for (header, delay, left) in [
        ("1S", ms(300), "700000u"),
        ("100m", ms(1), "99000000n"),
        ("50m", ms(10), "40000000n"),
        ("2M", secs(30), "90000000u"),
        ("1H", secs(30), "3570000m"),
        ("99999999S", secs(1), "99999998S"),
        ("99999999M", secs(30), "99999998M"),
        ("99999999H", secs(30), "99999998H"),
    ] {
        assert_eq!(arrives(header, delay).await.unwrap(), left, "{header}");
    }
    // With a token at hand nothing is looked at.
    assert_eq!(arrives("1S", ms(0)).await.unwrap(), "1S");
    assert_eq!(arrives("0m", ms(0)).await.unwrap(), "0m");
}

#[tokio::test(start_paused = true)]
async fn the_fetch_goes_on_for_the_others() {
    let server = server(secs(3600), secs(3));
    let service = OAuthLayer::with_source(cache(server.fetcher()).build()).layer(server.clone());
    let start = Instant::now();
    let error = service.clone().oneshot(call("200m")).await.unwrap_err();
    assert!(is_exceeded(&error), "{error}");
    assert_eq!((start.elapsed(), server.resource_requests()), (ms(200), 0));
    let response = service.oneshot(get(URI)).await.unwrap();
    assert_eq!((response.status(), start.elapsed()), (StatusCode::OK, secs(3)));
    assert_eq!(server.token_requests(), 1);
}

/// Waits for its token for 50 ms, and then for its place.
#[tokio::test(start_paused = true)]
async fn the_wait_for_a_place_counts() {
    let server = server(secs(3600), ms(50));
    let places = Arc::new(Semaphore::new(1));
    let limited = ConcurrencyLimit::with_semaphore(server.clone(), Arc::clone(&places));
    let service = OAuthLayer::with_source(cache(server.fetcher()).build()).layer(limited);
    let start = Instant::now();
    let answer = tokio::spawn(service.oneshot(call("200m")));
    sleep(ms(1)).await;
    let _taken = places.acquire().await.unwrap();
    let answer = timeout(secs(1), answer).await.expect("it waits for ever");
    let error = answer.unwrap().unwrap_err();
    assert!(is_exceeded(&error), "{error}");
    assert_eq!((start.elapsed(), server.resource_requests()), (ms(200), 0));
}

// ---- Replays ---------------------------------------------------------------------------------------

/// Sends a call whose token is rejected after 100 ms, and refreshed in that time. Gives what the
/// replay arrives with, or the error, and when.
async fn rejected(
    timeout: &str,
    refresh: Duration,
) -> (Result<Option<String>, BoxError>, Duration) {
    let server: AuthorizationServer = server(secs(3600), ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    server.revoke_all().token_endpoint().delay(refresh);
    let (seen, mut sent) = mpsc::unbounded_channel();
    let api = service_fn(move |request: Request<Body>| {
        let header = request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
        seen.send(header).unwrap();
        let server = server.clone();
        async move {
            sleep(ms(100)).await;
            server.oneshot(request).await
        }
    });
    let start = Instant::now();
    let service = OAuthLayer::with_source(cache).replay(ByClone).layer(api);
    let response = service.oneshot(call(timeout)).await;
    assert_eq!(sent.recv().await.unwrap(), timeout);
    (response.map(|_| sent.try_recv().ok()), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_sent_with_what_is_left() {
    let (replay, elapsed) = rejected("1S", ms(300)).await;
    assert_eq!((replay.unwrap().unwrap(), elapsed), ("600000u".into(), ms(500)));
    // The response is gone after a second, the deadline is not.
    let (replay, elapsed) = rejected("10S", secs(4)).await;
    assert_eq!((replay.unwrap().unwrap(), elapsed), ("5900000u".into(), ms(4_200)));
    let (replay, _) = rejected("1x", ms(300)).await;
    assert_eq!(replay.unwrap().unwrap(), "1x");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_call_waits_for_another_token_until_its_deadline() {
    for (timeout, expected) in [("500m", ms(500)), ("2S", secs(2))] {
        let (replay, elapsed) = rejected(timeout, secs(4)).await;
        assert!(is_exceeded(&replay.unwrap_err()), "{timeout}");
        assert_eq!(elapsed, expected);
    }
}
