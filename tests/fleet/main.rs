//! Many processes that share a token: their caches over one store, in paused time; and the same over a
//! real Redis server.
#![cfg(feature = "shared")]

mod faulty;
#[cfg(feature = "token-endpoint")]
mod fingerprint;
mod rules;
#[cfg(feature = "redis")]
mod server;
mod simulation;
#[path = "../support/mod.rs"]
mod support;
mod values;

use std::time::Duration;

use http::Request;
use tokio::{task::JoinSet, time::Instant};
use tower::{Layer, ServiceBuilder};
use tower_oauth::{
    Error, OAuthLayer, OAuthService, Token, TokenCache,
    shared::{EncryptionKey, SharedTokens, TokenStore},
    testing::{AuthorizationServer, TokioClock},
};

use support::Body;

fn key() -> EncryptionKey {
    EncryptionKey::new("1", [7; 32]).unwrap()
}

/// One process: what it knows of the store is its own.
fn replica(server: &AuthorizationServer, store: &impl TokenStore) -> TokenCache {
    replica_of(server, SharedTokens::new(store.clone(), key()))
}

fn replica_of(server: &AuthorizationServer, shared: SharedTokens<impl TokenStore>) -> TokenCache {
    let fetcher = ServiceBuilder::new().layer(shared.named("api")).service(server.fetcher());
    TokenCache::builder(fetcher).clock(TokioClock::new()).build()
}

fn replicas(
    count: usize,
    server: &AuthorizationServer,
    store: &impl TokenStore,
) -> Vec<TokenCache> {
    (0..count).map(|_| replica(server, store)).collect()
}

fn client(server: &AuthorizationServer, tokens: &TokenCache) -> OAuthService<AuthorizationServer> {
    OAuthLayer::with_source(tokens.clone()).layer(server.clone())
}

fn get() -> Request<Body> {
    support::get("https://api.example.com/")
}

/// Asks all of them at once. What each got, and how long it waited.
async fn ask_all(tokens: &[TokenCache]) -> Vec<(Result<Token, Error>, Duration)> {
    let mut asking = JoinSet::new();
    for tokens in tokens {
        let tokens = tokens.clone();
        let start = Instant::now();
        asking.spawn(async move { (tokens.token().await, start.elapsed()) });
    }
    asking.join_all().await
}

/// All have a token. The longest wait for one.
fn all_well(asked: &[(Result<Token, Error>, Duration)]) -> Duration {
    for (token, _) in asked {
        token.as_ref().unwrap();
    }
    asked.iter().map(|(_, waited)| *waited).max().unwrap()
}
