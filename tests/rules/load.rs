//! Callers that send requests in time, and what becomes of each.

use std::{sync::Mutex, time::Duration};

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tower::{Layer, ServiceExt};
use tower_oauth::{OAuthLayer, OAuthService, TokenCache, testing::AuthorizationServer};

use crate::support::{cache_with, get, ms, secs, server};

pub(crate) type Client = OAuthService<AuthorizationServer, TokenCache>;

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    /// `None`: it ended with an error of ours.
    pub(crate) status: Option<StatusCode>,
}

impl Sent {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == Some(StatusCode::OK)
    }
}

/// A server whose tokens live that long. Every response takes 50 ms.
pub(crate) fn slow_server(lifetime: Duration) -> AuthorizationServer {
    let server = server(lifetime, ms(50));
    server.resource().delay(ms(50));
    server
}

/// A client of this server with a cache of its own.
pub(crate) fn client(server: &AuthorizationServer, chance: Chance) -> (Client, TokenCache) {
    let cache = cache_with(server.fetcher(), chance.source()).build();
    (client_of(&cache, server), cache)
}

pub(crate) fn client_of(cache: &TokenCache, server: &AuthorizationServer) -> Client {
    OAuthLayer::with_source(cache.clone()).layer(server.clone())
}

pub(crate) async fn send(client: &Client) -> Sent {
    let at = Instant::now();
    let response = client.clone().oneshot(get("https://api.example.com/")).await;
    Sent { at, took: at.elapsed(), status: response.ok().map(|response| response.status()) }
}

/// A request every so often for so long, whether the ones before have ended or not. Gives them in
/// the order in which they were sent, when the last one has ended.
pub(crate) async fn paced(client: &Client, every: Duration, how_long: Duration) -> Vec<Sent> {
    let start = Instant::now();
    let (mut running, mut ended) = (JoinSet::new(), Vec::new());
    while start.elapsed() < how_long {
        let client = client.clone();
        running.spawn(async move { send(&client).await });
        sleep_until(start + every * (ended.len() + running.len()) as u32).await;
        while let Some(sent) = running.try_join_next() {
            ended.push(sent.unwrap());
        }
    }
    ended.extend(running.join_all().await);
    ended.sort_by_key(|sent| sent.at);
    ended
}

/// Those that got a 401.
pub(crate) fn rejected(sent: &[Sent]) -> usize {
    sent.iter().filter(|sent| sent.status == Some(StatusCode::UNAUTHORIZED)).count()
}

/// Where a cache has its jitter from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chance {
    Always(f64),
    Seed(u64),
}

/// The least, the most, and something in between.
pub(crate) const CHANCES: [Chance; 3] = [Chance::Always(0.0), Chance::Always(1.0), Chance::Seed(1)];

impl Chance {
    pub(crate) fn source(self) -> Box<dyn Fn() -> f64 + Send + Sync> {
        match self {
            Self::Always(chance) => Box::new(move || chance),
            Self::Seed(seed) => {
                let random = Mutex::new(fastrand::Rng::with_seed(seed));
                Box::new(move || random.lock().unwrap().f64())
            }
        }
    }
}

pub(crate) const HOUR: Duration = secs(3600);
