//! Random days in the life of two caches, each beside a model: the rules, a second time.
//!
//! Both are told the same, and every token that is found, waited for or sent, every fetch and every
//! error has to be the one that the model expects. `PROPTEST_CASES` sets how many days there are.

mod fetches;
mod held;
mod model;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod watched;
mod world;

use http::Request;
use proptest::prelude::*;
use support::{Body, get, ms, secs};
use tokio::{
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimitLayer};
use tower_oauth::{
    OAuthLayer,
    cache::Clock,
    replay::{IfEmpty, Never},
};
use world::{Attempts, Endpoint, HOUR, Outcome, World};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Requests at once, each of which gives up after so many milliseconds.
    Requests {
        cache: usize,
        count: usize,
        replay: bool,
        patience: Option<u64>,
    },
    Advance(u64),
    Suspend(u64),
    Revoke {
        cache: usize,
    },
    /// The resource rejects that many requests, whatever their token.
    RejectNext(u64),
    Endpoint {
        cache: usize,
        endpoint: Endpoint,
    },
    /// How long the resource takes for a response.
    Resource(u64),
    /// How old tokens are when they are accepted.
    Skew(u64),
    /// The time until the token is due, and then a request every so many milliseconds.
    AgeAndTraffic {
        cache: usize,
        count: usize,
        every: u64,
    },
    Refresh {
        cache: usize,
    },
    Invalidate {
        cache: usize,
        which: Which,
    },
    /// The status is compared.
    Look,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Newest,
    Fallback,
    /// Of the other cache.
    Foreign,
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let outcome = prop_oneof![
        8 => Just(Outcome::New),
        1 => Just(Outcome::Same),
        1 => Just(Outcome::Previous),
        1 => Just(Outcome::Old),
        2 => (any::<bool>(), prop_oneof![6 => Just(0u64), 2 => 1u64..20, 1 => Just(1_000)])
            .prop_map(|(is_denied, retry_after)| Outcome::Fail { is_denied, retry_after }),
        1 => Just(Outcome::Panic),
        1 => Just(Outcome::Never),
    ];
    let delay =
        prop_oneof![3 => Just(0u64), 3 => 1u64..100, 2 => 100u64..5_000, 1 => 5_000u64..40_000];
    let lifetime = prop_oneof![
        1 => 0u64..3_000,
        2 => 3_000u64..60_000,
        3 => Just(900_000),
        1 => Just(3_600_000)
    ];
    let age = prop::option::weighted(0.1, 0u64..600_000);
    (outcome, delay, prop::option::weighted(0.9, lifetime), age)
        .prop_map(|(outcome, delay, lifetime, age)| Endpoint { outcome, delay, lifetime, age })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cache = 0usize..2;
    let which = prop_oneof![3 => Just(Which::Newest), 1 => Just(Which::Fallback), 1 => Just(Which::Foreign)];
    let step = prop_oneof![
        6 => (cache.clone(), 1usize..8, any::<bool>(), prop::option::weighted(0.3, 0u64..3_000))
            .prop_map(|(cache, count, replay, patience)| {
                Step::Requests { cache, count, replay, patience }
            }),
        4 => (0u64..2_000).prop_map(Step::Advance),
        2 => (2_000u64..400_000).prop_map(Step::Advance),
        1 => (0u64..100_000).prop_map(Step::Suspend),
        3 => cache.clone().prop_map(|cache| Step::Revoke { cache }),
        1 => (1u64..10).prop_map(Step::RejectNext),
        4 => (cache.clone(), endpoint())
            .prop_map(|(cache, endpoint)| Step::Endpoint { cache, endpoint }),
        1 => prop_oneof![Just(0u64), 1u64..100, 100u64..5_000, 5_000u64..20_000]
            .prop_map(Step::Resource),
        2 => prop_oneof![Just(0u64), 500u64..100_000].prop_map(Step::Skew),
        4 => (cache.clone(), 1usize..40, 10u64..4_000).prop_map(|(cache, count, every)| {
            Step::AgeAndTraffic { cache, count, every }
        }),
        1 => cache.clone().prop_map(|cache| Step::Refresh { cache }),
        1 => (cache, which)
            .prop_map(|(cache, which)| Step::Invalidate { cache, which }),
        2 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..60)
}

fn request() -> Request<Body> {
    let mut request = get("https://api.example.com/");
    request.extensions_mut().insert(Attempts::default());
    request
}

/// Lives through these steps: everything that must not have been.
async fn live(steps: Vec<Step>, chance: u32) -> Vec<String> {
    let world = World::new(chance);
    let caches = [world.cache(0, chance), world.cache(1, chance)];
    // Both go through few places, so that replays and slow requests have to queue.
    let places = ConcurrencyLimitLayer::new(3);
    let clients = [0, 1].map(|cache: usize| {
        let inner = places.layer(world.resource(cache));
        let layer = OAuthLayer::with_source(caches[cache].clone());
        (layer.clone().replay(IfEmpty).layer(inner.clone()), layer.replay(Never).layer(inner))
    });
    let mut running = JoinSet::new();
    let send = |running: &mut JoinSet<()>, cache: usize, replay, patience: Option<u64>| {
        let ((again, never), world) = (clients[cache].clone(), world.clone());
        running.spawn(async move {
            let sent = async {
                let result = match replay {
                    true => again.oneshot(request()).await,
                    false => never.oneshot(request()).await,
                };
                if let Err(error) = result {
                    let now = world.clock.now();
                    world.model(cache).gave_up(support::ours(&error), now);
                }
            };
            match patience {
                Some(patience) => drop(timeout(ms(patience), sent).await),
                None => sent.await,
            }
        });
    };
    for step in steps {
        match step {
            Step::Requests { cache, count, replay, patience } => {
                for _ in 0..count {
                    send(&mut running, cache, replay, patience);
                }
            }
            Step::Advance(by) => sleep(ms(by)).await,
            Step::Suspend(by) => {
                // The machine does not fall asleep between two polls at one time.
                for _ in 0..100 {
                    yield_now().await;
                }
                world.clock.suspend(ms(by));
            }
            Step::Revoke { cache } => {
                if let Some(newest) = &world.model(cache).newest {
                    world.server.revoke(newest.secret());
                }
            }
            Step::RejectNext(requests) => {
                world.server.reject_next(requests);
            }
            Step::Endpoint { cache, endpoint } => {
                *world.endpoints[cache].lock().unwrap() = endpoint;
            }
            Step::Resource(delay) => {
                world.server.resource().delay(ms(delay));
            }
            Step::Skew(age) => {
                world.server.accept_after(ms(age));
            }
            Step::AgeAndTraffic { cache, count, every } => {
                let refresh_at = world.model(cache).newest.as_ref().map(|it| it.refresh_at);
                let left = refresh_at.unwrap_or_default().saturating_sub(world.clock.now());
                sleep(left.min(HOUR)).await;
                for _ in 0..count {
                    send(&mut running, cache, true, None);
                    sleep(ms(every)).await;
                }
            }
            Step::Refresh { cache } => {
                running.spawn(caches[cache].clone().refresh());
            }
            Step::Invalidate { cache, which } => {
                let newest = |cache: usize| Some(world.model(cache).newest.as_ref()?.token.clone());
                let token = match which {
                    Which::Newest => newest(cache),
                    Which::Foreign => newest(1 - cache),
                    Which::Fallback => {
                        let model = world.model(cache);
                        model.fallback.as_ref().map(|it| it.held.token.clone())
                    }
                };
                token.iter().for_each(|token| caches[cache].invalidate(token));
            }
            Step::Look => caches.iter().for_each(|cache| cache.compare()),
        }
    }
    let mut violations = Vec::new();
    let ended = timeout(secs(3_600), async {
        while let Some(ended) = running.join_next().await {
            ended.expect("no request panics");
        }
    });
    if ended.await.is_err() {
        violations.push(format!("{} requests never ended", running.len()));
    }
    for cache in 0..2 {
        violations.append(&mut world.model(cache).violations);
    }
    violations
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(500),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens(steps in steps(), chance in 0u32..2) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let violations = runtime.block_on(live(steps, chance));
        prop_assert!(violations.is_empty(), "{violations:#?}");
    }
}
