//! The recipe for a readiness probe, `tokens.token()` under a short timeout, over an hour.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, TokenCache,
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};

const PERIOD: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// The recipe.
async fn is_ready(tokens: &TokenCache) -> bool {
    matches!(timeout(Duration::from_secs(1), tokens.token()).await, Ok(Ok(_)))
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

/// The secret was changed, and what it got before revoked. It could also be one path that says 401, and
/// that is no reason to take the whole service away.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_and_cannot_be_replaced_is_told_by_the_status() {
    let server = AuthorizationServer::new();
    let tokens = tokens(&server);
    assert!(is_ready(&tokens).await);
    let refused = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().always(refused);
    server.revoke_all();
    let api = OAuthLayer::with_source(tokens.clone()).layer(server.clone());
    for _ in 0..300 {
        let response = api.clone().oneshot(Request::new(Empty::<Bytes>::new())).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let status = tokens.status();
        assert_eq!(status.last_error.unwrap().kind(), ErrorKind::Denied);
        assert!(status.rejected_ago.unwrap() <= Duration::from_secs(5));
        assert!(is_ready(&tokens).await);
        sleep(PERIOD).await;
    }
}
