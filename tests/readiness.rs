//! The recipe for a readiness probe, `tokens.token()` under a short timeout, over an hour.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_oauth::{
    Error, OAuthLayer, TokenCache,
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};

const PERIOD: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// The recipe.
async fn is_ready(tokens: &TokenCache) -> bool {
    let token = timeout(Duration::from_secs(1), tokens.token()).await;
    matches!(token, Ok(Ok(_))) && tokens.status().is_ready()
}

fn tokens(server: &AuthorizationServer) -> TokenCache {
    TokenCache::builder(server.fetcher()).clock(TokioClock::new()).build()
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_stays_ready() {
    let server = AuthorizationServer::new();
    server.lifetime(Duration::from_secs(300)).token_endpoint().delay(Duration::from_millis(200));
    let (tokens, start) = (tokens(&server), Instant::now());
    while start.elapsed() < HOUR {
        assert!(is_ready(&tokens).await, "after {:?}", start.elapsed());
        sleep(PERIOD).await;
    }
    // A token each 194 to 216 s: 80 % of 270 s, and up to a tenth earlier.
    assert!((16..=20).contains(&server.token_requests()), "{}", server.token_requests());
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_while_the_endpoint_is_down_becomes_ready() {
    let server = AuthorizationServer::new();
    server.down(true);
    let (tokens, start) = (tokens(&server), Instant::now());
    while start.elapsed() < HOUR / 2 {
        assert!(!is_ready(&tokens).await, "after {:?}", start.elapsed());
        sleep(PERIOD).await;
    }
    // A probe each 10 s, of which most find the pause after a failure, of up to 30 s.
    assert!(server.token_requests() < 130, "{}", server.token_requests());

    server.down(false);
    let up = Instant::now();
    while !is_ready(&tokens).await {
        sleep(PERIOD).await;
    }
    assert!(up.elapsed() <= Duration::from_secs(40), "{:?}", up.elapsed());
    while start.elapsed() < HOUR {
        assert!(is_ready(&tokens).await, "after {:?}", start.elapsed());
        sleep(PERIOD).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_is_not_waited_for() {
    let server = AuthorizationServer::new();
    server.token_endpoint().always(ResponseTemplate::never());
    let (tokens, start) = (tokens(&server), Instant::now());
    assert!(!is_ready(&tokens).await);
    assert!(start.elapsed() < Duration::from_millis(1100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_probes_or_uses_says_ready_by_its_status() -> Result<(), Error> {
    let server = AuthorizationServer::new();
    let tokens = tokens(&server);
    assert!(!tokens.status().is_ready());
    tokens.warm_up().await?;
    sleep(2 * HOUR).await;
    assert!(tokens.status().is_ready());
    assert_eq!(server.token_requests(), 1);
    Ok(())
}

/// The secret was changed, and what it got before revoked: there is a token, and no request gets through.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_and_cannot_be_replaced_makes_nobody_ready() {
    let server = AuthorizationServer::new();
    let tokens = tokens(&server);
    assert!(is_ready(&tokens).await);
    let refused = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().always(refused);
    server.revoke_all();
    let api = OAuthLayer::with_source(tokens.clone()).layer(server.clone());
    let send = || api.clone().oneshot(Request::new(Empty::<Bytes>::new()));
    for _ in 0..300 {
        assert_eq!(send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert!(!is_ready(&tokens).await);
        sleep(PERIOD).await;
    }

    // Without requests nobody can know.
    sleep(Duration::from_secs(61)).await;
    assert!(is_ready(&tokens).await);
    assert_eq!(send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(!is_ready(&tokens).await);

    server.token_endpoint().always(ResponseTemplate::usual());
    let mended = Instant::now();
    while send().await.unwrap().status() != StatusCode::OK {
        assert!(!is_ready(&tokens).await);
        sleep(PERIOD).await;
    }
    assert!(mended.elapsed() <= Duration::from_secs(310), "{:?}", mended.elapsed());
    assert!(is_ready(&tokens).await);
}

/// What a single replica in ten says is no reason to take the whole service away.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_and_replaced_keeps_everybody_ready() {
    let server = AuthorizationServer::new();
    let tokens = tokens(&server);
    let api = OAuthLayer::with_source(tokens.clone()).layer(server.clone());
    for _ in 0..360 {
        server.reject_next(1);
        let _ = api.clone().oneshot(Request::new(Empty::<Bytes>::new())).await;
        assert!(is_ready(&tokens).await);
        sleep(PERIOD).await;
    }
}
