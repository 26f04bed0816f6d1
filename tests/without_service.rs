//! A cache in hands that have no `OAuthService`: fixed tokens, interceptors, leases, own sources.

mod support;

use std::sync::Arc;

use http::{Request, StatusCode};
use support::{Body, cache, get, ms, ours, secs, server};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache,
    cache::{Acquire, TokenLease, TokenState},
    fetch_fn,
    source::{RequestHead, TokenSource},
    testing::AuthorizationServer,
};

const URI: &str = "https://api.example.com/";

#[test]
fn a_fixed_token_needs_no_runtime_and_has_no_times() {
    let cache = TokenCache::fixed(Token::bearer("given").with_lifetime(ms(1)));
    assert_eq!(cache.try_authorization().unwrap(), "Bearer given");
    assert!(cache.try_authorization().unwrap().is_sensitive());
    let status = cache.status();
    assert_eq!(
        (status.state, status.refresh_in, status.expires_in),
        (TokenState::Fresh, None, None)
    );
    assert!(status.is_ready());
    assert!(!cache.invalidate(&Token::bearer("given")));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_token_is_sent_whatever_its_lifetime_and_whoever_rejects_it() {
    let server = AuthorizationServer::new();
    let token = Token::bearer("given").with_lifetime(ms(1));
    let cache = TokenCache::fixed(token.clone());
    let api = OAuthLayer::with_source(cache.clone()).layer(server.clone());
    for _ in 0..3 {
        // The server knows no such token.
        let response = api.clone().oneshot(get(URI)).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!cache.invalidate(&token));
        assert_eq!(cache.refresh().await.unwrap().expose_secret(), "given");
        sleep(secs(400)).await;
    }
    assert_eq!(server.authorizations(), ["Bearer given"; 3]);
    assert_eq!(cache.token().await.unwrap().lifetime(), Some(ms(1)));
}

#[tokio::test]
async fn a_fixed_token_that_no_header_can_carry_is_an_error() {
    let cache = TokenCache::fixed(Token::bearer("line\nbreak"));
    assert_eq!(cache.try_authorization(), None);
    assert_eq!(cache.token().await.unwrap_err().kind(), ErrorKind::InvalidResponse);
}

#[test]
fn a_token_shows_its_scheme_and_the_value_of_its_header() {
    let token = Token::new("DPoP", "abc");
    assert_eq!((token.scheme(), token.expose_secret()), ("DPoP", "abc"));
    assert_eq!(token.header_value().unwrap(), "DPoP abc");
    assert!(token.header_value().unwrap().is_sensitive());
    let token = Token::bearer("");
    assert_eq!((token.scheme(), token.expose_secret()), ("Bearer", ""));
    assert_eq!(token.header_value().unwrap_err().kind(), ErrorKind::InvalidResponse);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_has_the_token_fetched_for_the_next_call() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    assert_eq!(cache.try_authorization(), None);
    sleep(ms(60)).await;
    assert_eq!(cache.try_authorization().unwrap(), "Bearer token-1");
    assert_eq!(server.token_requests(), 1);
}

#[test]
fn who_cannot_wait_and_has_no_runtime_gets_nothing() {
    let server = server(secs(3600), ms(0));
    assert_eq!(cache(server.fetcher()).build().try_authorization(), None);
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_says_whether_it_is_usable_and_gets_another_token() {
    let server = server(secs(3600), ms(50));
    let cache = cache(server.fetcher()).build();
    let lease = cache.lease().await.unwrap();
    assert_eq!(lease.header_value(), "Bearer token-1");
    let copy = lease.clone();
    let another = lease.reject().await.unwrap().unwrap();
    assert_eq!(another.header_value(), "Bearer token-2");
    assert!(!copy.is_usable() && another.is_usable());
}

/// A source of one's own, with a cache for each tenant.
#[derive(Clone)]
struct Tenants(Arc<[(&'static str, TokenCache)]>);

impl Tenants {
    fn cache(&self, head: &RequestHead<'_>) -> Option<&TokenCache> {
        let tenant = head.headers.get("tenant")?;
        self.0.iter().find(|(name, _)| tenant == name).map(|(_, cache)| cache)
    }
}

impl TokenSource for Tenants {
    type Lease = TokenLease;
    type Acquire = Acquire;

    fn try_acquire(&self, head: &RequestHead<'_>) -> Option<TokenLease> {
        self.cache(head)?.try_acquire(head)
    }

    fn acquire(&self, head: &RequestHead<'_>) -> Acquire {
        match self.cache(head) {
            Some(cache) => cache.acquire(head),
            None => Error::new(ErrorKind::Config).with_description("no such tenant").into(),
        }
    }
}

#[tokio::test]
async fn a_source_has_an_error_for_a_request_without_a_token() {
    let fixed = |secret| TokenCache::fixed(Token::bearer(secret));
    let tenants = Tenants(Arc::new([("blue", fixed("blue-token")), ("red", fixed("red-token"))]));
    let server = support::resource();
    let api = OAuthLayer::with_source(tenants).layer(server.clone());
    let request =
        |tenant| Request::get(URI).header("tenant", tenant).body(Body::default()).unwrap();
    for tenant in ["blue", "red"] {
        api.clone().oneshot(request(tenant)).await.unwrap();
    }
    assert_eq!(server.authorizations(), ["Bearer blue-token", "Bearer red-token"]);
    let error = api.oneshot(request("green")).await.unwrap_err();
    assert_eq!(ours(&error).description(), Some("no such tenant"));
    assert_eq!(server.resource_requests(), 2);
}

#[tokio::test]
async fn an_acquire_made_of_an_error_gives_it_as_often_as_it_is_polled() {
    let mut acquire = Acquire::from(Error::new(ErrorKind::Denied));
    for _ in 0..2 {
        assert_eq!((&mut acquire).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    let cache =
        TokenCache::new(fetch_fn(|_| async { Err::<Token, _>(Error::new(ErrorKind::Denied)) }));
    assert_eq!(cache.lease().await.unwrap_err().kind(), ErrorKind::Denied);
}
