//! Each row of the table in `docs::failures`: what the caller sees, what is logged, and what is counted.

mod support;

use std::{error::Error as _, sync::OnceLock, time::Duration};

use http::{HeaderValue, StatusCode};
use support::{Body, cache, capture_log, get, ms, ours, secs, server, status};
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_oauth::{
    Error, ErrorKind, FetchToken, OAuthLayer, Token, TokenCache,
    cache::{Counts, TokenState},
    fetch_fn, grpc_status,
    replay::Never,
    testing::{AuthorizationServer, ResponseTemplate},
};

const HOUR: Duration = secs(3600);
const API: &str = "https://api.example.com/";

/// Whose token lives an hour, and is there.
async fn warm() -> (AuthorizationServer, TokenCache) {
    let server = server(HOUR, ms(0));
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    (server, cache)
}

async fn send(server: &AuthorizationServer, cache: &TokenCache) -> Result<StatusCode, Error> {
    let api = OAuthLayer::with_source(cache.clone()).layer(server.clone());
    let sent = api.oneshot(get(API)).await;
    sent.map(|response| response.status()).map_err(|error| ours(&error).clone())
}

async fn fails(fetcher: impl FetchToken) -> (Error, Counts, String) {
    let cache = cache(fetcher).build();
    let mut error = None;
    let log = capture_log(async { error = cache.token().await.err() }).await;
    (error.expect("it fails"), cache.status().counts, log)
}

fn lines(log: &str, level: &str) -> usize {
    log.lines().filter(|line| line.contains(&format!(" {level} "))).count()
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_down_and_the_token_can_be_used() {
    let (server, cache) = warm().await;
    sleep(cache.status().refresh_in.unwrap()).await;
    server.down(true);
    let log = capture_log(async {
        let start = Instant::now();
        while start.elapsed() < secs(300) {
            assert_eq!(send(&server, &cache).await.unwrap(), 200);
            sleep(ms(100)).await;
        }
    });
    let log = log.await;
    let failures = cache.status().counts.failures.unavailable;
    // After 1, 2, 4, 8, 16, 30, 30 .. seconds, and half of that at the least.
    assert!((13..=25).contains(&failures), "{failures}");
    assert_eq!(lines(&log, "WARN"), failures as usize, "{log}");
    assert!(log.contains("503 Service Unavailable"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_down_and_there_is_no_token() {
    let server = server(HOUR, ms(0));
    server.down(true);
    let cache = cache(server.fetcher()).build();
    let log = capture_log(async {
        let error = send(&server, &cache).await.unwrap_err();
        let first = error.retry_after().unwrap();
        sleep(ms(100)).await;
        let again = send(&server, &cache).await.unwrap_err();
        assert_eq!((error.kind(), again.kind()), (ErrorKind::Unavailable, ErrorKind::Unavailable));
        assert_eq!(again.retry_after().unwrap(), first - ms(100));
    });
    assert_eq!(lines(&log.await, "WARN"), 1);
    assert_eq!((server.token_requests(), cache.status().counts.failures.unavailable), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_hangs() {
    let server = server(HOUR, ms(0));
    server.token_endpoint().always(ResponseTemplate::never());
    let cache = cache(server.fetcher()).build();
    let log = capture_log(async {
        let start = Instant::now();
        let (one, other) = tokio::join!(send(&server, &cache), send(&server, &cache));
        let kinds = [one, other].map(|sent| sent.unwrap_err().kind());
        assert_eq!(kinds, [ErrorKind::Timeout; 2]);
        assert_eq!(start.elapsed(), secs(30));
        sleep(secs(1)).await;
    });
    assert_eq!(lines(&log.await, "WARN"), 1);
    assert_eq!((server.token_requests(), cache.status().counts.failures.timeout), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_client_is_refused() {
    let server = server(HOUR, ms(0));
    let denied = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().always(denied);
    let cache = cache(server.fetcher()).build();
    let log = capture_log(async {
        let error = send(&server, &cache).await.unwrap_err();
        assert_eq!((error.kind(), error.oauth_code()), (ErrorKind::Denied, Some("invalid_client")));
        assert!(error.retry_after().unwrap() <= secs(1));
        // Somebody mends it, and need not wait.
        server.token_endpoint().always(ResponseTemplate::usual());
        send(&server, &cache).await.unwrap_err();
        cache.refresh().await.unwrap();
        assert_eq!(send(&server, &cache).await.unwrap(), 200);
    });
    assert_eq!(lines(&log.await, "WARN"), 1);
    assert_eq!((server.token_requests(), cache.status().counts.failures.denied), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_response_is_no_token() {
    let server = server(HOUR, ms(0));
    server.token_endpoint().always(ResponseTemplate::json(r#"{"access_token": ""}"#));
    let (error, counts, log) = fails(server.fetcher()).await;
    assert_eq!((error.kind(), counts.failures.invalid_response), (ErrorKind::InvalidResponse, 1));
    assert_eq!(lines(&log, "WARN"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_fetcher_fails_by_itself_or_panics() {
    let fails_itself = fetch_fn(|_| async { Err::<Token, BoxError>("its own error".into()) });
    let (error, counts, log) = fails(fails_itself).await;
    assert_eq!((error.kind(), counts.failures.other), (ErrorKind::Fetcher, 1));
    assert!(lines(&log, "WARN") == 1 && log.contains("its own error"), "{log}");

    let panics = fetch_fn(|_| async {
        assert!(Instant::now().elapsed() > HOUR, "the fetcher's own panic");
        Ok::<_, BoxError>(Token::bearer("a"))
    });
    let (error, counts, log) = fails(panics).await;
    assert_eq!((error.kind(), counts.failures.other), (ErrorKind::Panicked, 1));
    assert_eq!(lines(&log, "WARN"), 1, "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_rejected_and_another_one_comes() {
    let (server, cache) = warm().await;
    let log = capture_log(async {
        server.reject_next(1);
        assert_eq!(send(&server, &cache).await.unwrap(), 200);
        sleep(HOUR / 2).await;
        server.reject_next(1);
        let never = OAuthLayer::with_source(cache.clone()).replay(Never).layer(server.clone());
        assert_eq!(never.oneshot(get(API)).await.unwrap().status(), 401);
    });
    let log = log.await;
    let counts = cache.status().counts;
    assert_eq!((counts.rejections, counts.replays), (2, 1));
    assert_eq!((lines(&log, "DEBUG"), lines(&log, "WARN")), (3, 0), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_rejected_and_the_fetch_of_another_fails() {
    for (after, kind) in [(ms(500), None), (ms(1500), Some(ErrorKind::Rejected))] {
        let (server, cache) = warm().await;
        let unavailable = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
        server.revoke_all().token_endpoint().always(unavailable.after(after));
        let log = capture_log(async {
            let sent = send(&server, &cache).await;
            assert_eq!(sent.as_ref().err().map(Error::kind), kind);
            match sent {
                Ok(status) => assert_eq!(status, 401),
                Err(error) => {
                    assert_eq!(error.response_status(), Some(StatusCode::UNAUTHORIZED));
                    let cause = error.source().unwrap().downcast_ref::<Error>().unwrap();
                    assert_eq!(cause.kind(), ErrorKind::Unavailable);
                }
            }
        });
        let (log, status) = (log.await, cache.status());
        assert!(status.rejected_ago.unwrap() <= secs(2));
        let why = status.last_error.unwrap();
        assert_eq!((why.kind(), why.retry_after().is_some()), (ErrorKind::Unavailable, true));
        assert_eq!((status.counts.rejections, status.counts.failures.unavailable), (1, 1));
        assert_eq!((lines(&log, "DEBUG"), lines(&log, "WARN")), (1, 1), "{log}");
    }
}

/// The rest of that row: what follows.
#[tokio::test(start_paused = true)]
async fn a_rejected_token_stays_until_the_next_attempt_though_the_endpoint_is_back() {
    let (server, cache) = warm().await;
    server.revoke_all().down(true);
    let start = Instant::now();
    while start.elapsed() < secs(120) {
        assert_eq!(send(&server, &cache).await.unwrap(), 401);
        sleep(ms(100)).await;
    }
    // The endpoint is back as soon as an attempt has failed.
    let attempts = server.token_requests();
    while server.token_requests() == attempts {
        sleep(ms(1)).await;
        assert_eq!(send(&server, &cache).await.unwrap(), 401);
    }
    server.down(false);
    let (back, before) = (Instant::now(), cache.status());
    let retry = before.last_error.unwrap().retry_after().unwrap();
    while send(&server, &cache).await.unwrap() == 401 {
        sleep(ms(100)).await;
    }
    let status = cache.status();
    assert!(back.elapsed() > retry - ms(100) && back.elapsed() <= secs(30) + ms(100));
    assert!(back.elapsed() >= secs(15), "{:?}", back.elapsed());
    // All that were sent meanwhile, and no token request for any of them.
    let ignored = status.counts.rejections_ignored - before.counts.rejections_ignored;
    assert!(ignored >= 150, "{ignored}");
    assert_eq!(server.token_requests(), attempts + 2);
}

#[tokio::test(start_paused = true)]
async fn every_token_is_rejected() {
    let (server, cache) = warm().await;
    server.reject_every(1);
    let log = capture_log(async {
        let start = Instant::now();
        while start.elapsed() < secs(600) {
            assert_eq!(send(&server, &cache).await.unwrap(), 401);
            sleep(secs(1)).await;
        }
    });
    let (log, counts) = (log.await, cache.status().counts);
    assert!((10..=15).contains(&server.token_requests()), "{}", server.token_requests());
    assert!(counts.rejections > 500 && counts.rejections_ignored > 500, "{counts:?}");
    assert_eq!(lines(&log, "WARN"), 1, "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_not_accepted_yet() {
    let (server, cache) = warm().await;
    server.accept_after(secs(5));
    sleep(cache.status().refresh_in.unwrap()).await;
    let log = capture_log(async {
        for _ in 0..10 {
            assert_eq!(send(&server, &cache).await.unwrap(), 200);
            sleep(secs(1)).await;
        }
    });
    let (log, counts) = (log.await, cache.status().counts);
    assert_eq!((counts.rejections, counts.replays, server.token_requests()), (1, 1, 2));
    assert_eq!((lines(&log, "DEBUG"), lines(&log, "WARN")), (2, 0), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_deadline_passes_while_a_call_waits() {
    let server = server(HOUR, secs(5));
    let api = OAuthLayer::new(server.fetcher()).layer(server.clone());
    let mut request = get(API);
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("2S"));
    let error = api.oneshot(request).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(grpc_status::<Body>(Err(error)).unwrap().headers()["grpc-status"], "4");
    assert_eq!(server.resource_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_gives_up() {
    let server = server(HOUR, secs(5));
    let cache = cache(server.fetcher()).build();
    let (gives_up, waits) =
        tokio::join!(timeout(secs(1), send(&server, &cache)), send(&server, &cache));
    assert!(gives_up.is_err());
    assert_eq!((waits.unwrap(), server.token_requests()), (StatusCode::OK, 1));
}

#[test]
fn the_runtime_of_a_fetch_goes_away() {
    let server = AuthorizationServer::new();
    server.token_endpoint().next(ResponseTemplate::never());
    let cache = TokenCache::new(server.fetcher());
    let first = support::runtime();
    first.block_on(async { timeout(ms(10), cache.token()).await.unwrap_err() });
    drop(first);
    support::runtime().block_on(cache.token()).unwrap();
    assert_eq!(cache.status().counts.flights_lost, 1);
}

#[test]
fn there_is_no_runtime() {
    let server = AuthorizationServer::new();
    let cache = TokenCache::new(server.fetcher());
    let mut waits = tokio_test::task::spawn(cache.token());
    let kind = |polled: std::task::Poll<Result<Token, Error>>| match polled {
        std::task::Poll::Ready(done) => done.map_err(|error| error.kind()).err(),
        std::task::Poll::Pending => None,
    };
    assert_eq!(kind(waits.poll()), Some(ErrorKind::NoRuntime));
    support::runtime().block_on(cache.warm_up()).unwrap();
    // None is needed for a token that is there.
    assert!(cache.try_authorization().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_fetcher_asks_for_its_own_token() {
    static ITSELF: OnceLock<TokenCache> = OnceLock::new();
    let fetcher = fetch_fn(|_| async { ITSELF.get().unwrap().token().await });
    let cache = ITSELF.get_or_init(|| cache(fetcher).build());
    let start = Instant::now();
    let log = capture_log(async {
        assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::Recursive);
    });
    assert_eq!(lines(&log.await, "WARN"), 1);
    let status = cache.status();
    assert_eq!((start.elapsed(), status.state), (secs(0), TokenState::Empty));
    assert_eq!(status.counts.failures.other, 1);
}

#[tokio::test(start_paused = true)]
async fn plain_http_to_another_machine() {
    let (server, cache) = warm().await;
    let api = OAuthLayer::with_source(cache).layer(server.clone());
    let error = api.oneshot(get("http://api.example.com/")).await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::InsecureOrigin);
    assert_eq!(server.resource_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_not_named() {
    let (_, cache) = warm().await;
    let client = service_fn(async |request: http::Request<Body>| {
        assert!(!request.headers().contains_key("authorization"));
        Ok::<_, BoxError>(status(StatusCode::NO_CONTENT))
    });
    let layer = OAuthLayer::with_source(cache).origin("https://named.example.com").unwrap();
    let log = capture_log(async {
        for _ in 0..3 {
            let response = layer.layer(client).oneshot(get(API)).await.unwrap();
            assert_eq!(response.status(), StatusCode::NO_CONTENT);
        }
    });
    assert_eq!(lines(&log.await, "WARN"), 1);
}
