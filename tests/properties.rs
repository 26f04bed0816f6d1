//! Random days in the life of two caches, each against a small model of what it may do.
//!
//! The model sees what the token endpoint and the resource see. `PROPTEST_CASES` sets how many days
//! there are.

mod support;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use proptest::prelude::*;
use support::{Body, authorization, cache, get, ms, secs};
use tokio::{
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};
use tower::BoxError;
use tower::{Layer, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, RefreshReason, Token, TokenCache, TokenRequest,
    cache::Clock,
    fetch_fn,
    replay::{IfEmpty, Never},
    testing::{self, AuthorizationServer, TokioClock},
};

/// What a fetch comes to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    New {
        lifetime: u64,
    },
    /// The secret that is held.
    Same,
    /// The one before it.
    Old,
    Fail {
        refused: bool,
        retry_after: Option<u64>,
    },
    Panic,
    Never,
}

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
        outcome: Outcome,
        delay: u64,
    },
    /// How long the resource takes for a response.
    Resource(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lifetime = prop_oneof![0u64..3_000, 3_000u64..60_000, Just(3_600_000)];
    let outcome = prop_oneof![
        6 => lifetime.prop_map(|lifetime| Outcome::New { lifetime }),
        1 => Just(Outcome::Same),
        1 => Just(Outcome::Old),
        2 => (any::<bool>(), prop::option::weighted(0.2, 1u64..20))
            .prop_map(|(refused, retry_after)| Outcome::Fail { refused, retry_after }),
        1 => Just(Outcome::Panic),
        1 => Just(Outcome::Never),
    ];
    let delay = prop_oneof![Just(0u64), 1u64..100, 100u64..5_000];
    let step = prop_oneof![
        6 => (0usize..2, 1usize..8, any::<bool>(), prop::option::weighted(0.3, 0u64..3_000))
            .prop_map(|(cache, count, replay, patience)| {
                Step::Requests { cache, count, replay, patience }
            }),
        4 => (0u64..2_000).prop_map(Step::Advance),
        2 => (2_000u64..400_000).prop_map(Step::Advance),
        1 => (0u64..100_000).prop_map(Step::Suspend),
        3 => (0usize..2).prop_map(|cache| Step::Revoke { cache }),
        1 => (1u64..10).prop_map(Step::RejectNext),
        3 => (0usize..2, outcome, delay.clone())
            .prop_map(|(cache, outcome, delay)| Step::Endpoint { cache, outcome, delay }),
        1 => delay.prop_map(Step::Resource),
    ];
    prop::collection::vec(step, 1..60)
}

/// What one cache may do, told by what it did.
struct Model {
    name: char,
    outcome: Outcome,
    delay: Duration,
    flying: bool,
    current: Option<Current>,
    before: Option<String>,
    /// Counts the tokens that were stored: a secret may come again after another one.
    serial: usize,
    held_back: bool,
    failures: u32,
    transient: bool,
    window_until: Duration,
    /// Not so if the fetch brought the token that is held: then there is no error to give to those
    /// who need one when that has expired.
    failed: bool,
    refreshes: usize,
    refreshed_until: Duration,
    last_rejection: Option<Duration>,
    violations: Vec<String>,
}

struct Current {
    secret: String,
    refresh_at: Duration,
    usable_until: Duration,
}

/// Chance is always 0: this is all there is of them.
const PAUSES: [u64; 5] = [1, 4, 16, 64, 300];

impl Model {
    fn new(name: char) -> Self {
        Self {
            name,
            outcome: Outcome::New { lifetime: 60_000 },
            delay: ms(50),
            flying: false,
            current: None,
            before: None,
            serial: 0,
            held_back: false,
            failures: 0,
            transient: true,
            window_until: Duration::ZERO,
            failed: false,
            refreshes: 0,
            refreshed_until: Duration::ZERO,
            last_rejection: None,
            violations: Vec::new(),
        }
    }

    fn violated(&mut self, what: String) {
        self.violations.push(format!("{}: {what}", self.name));
    }

    fn is_usable(&self, now: Duration) -> bool {
        self.current.as_ref().is_some_and(|current| now < current.usable_until)
    }

    /// A token request begins.
    fn asked(&mut self, request: &TokenRequest, now: Duration) {
        let reason = request.reason;
        if std::mem::replace(&mut self.flying, true) {
            self.violated(format!("{reason:?}: there is a flight already"));
        }
        if now < self.window_until && (self.failed || reason != RefreshReason::Expired) {
            self.violated(format!("{reason:?}: in the window after a failure"));
        }
        let usable = self.is_usable(now);
        // The product of a fraction and a duration is rounded.
        let due = self.current.as_ref().is_some_and(|current| now + ms(1) >= current.refresh_at);
        let right = match reason {
            RefreshReason::Cold => self.current.is_none(),
            RefreshReason::Expired => self.current.is_some() && !usable,
            // It may have been rejected after that was found.
            RefreshReason::Stale => usable && due,
            RefreshReason::Rejected => self.held_back,
            _ => false,
        };
        if !right {
            self.violated(format!("{reason:?}: there is no reason to ask at {now:?}"));
        }
        let previous = request.previous.as_ref().map(Token::expose_secret);
        if previous != self.current.as_ref().map(|current| current.secret.as_str()) {
            self.violated(format!("{reason:?}: {previous:?} is not the token that is held"));
        }
    }

    fn failed(&mut self, transient: bool, retry_after: Duration, now: Duration) {
        if self.held_back {
            self.refreshed(now);
        }
        self.open_window(transient, retry_after, now);
        self.failed = true;
    }

    fn open_window(&mut self, transient: bool, retry_after: Duration, now: Duration) {
        // An outage says nothing about the refusal after it.
        self.failures = if transient == self.transient { self.failures + 1 } else { 1 };
        self.transient = transient;
        let (factor, longest) = if transient { (2u64, 30) } else { (4, 300) };
        let full = factor.pow((self.failures - 1).min(8)).min(longest);
        self.window_until = now + (secs(full) / 2).max(retry_after.min(secs(300)));
    }

    fn refreshed(&mut self, now: Duration) {
        self.held_back = false;
        self.refreshed_until = now + secs(PAUSES[self.refreshes.min(4)]);
        self.refreshes += 1;
    }

    /// A fetch that began at `asked_at` brought this.
    fn landed(&mut self, secret: &str, lifetime: Duration, asked_at: Duration, now: Duration) {
        let same = self.current.as_ref().is_some_and(|current| current.secret == secret);
        if same && self.held_back {
            return self.failed(true, Duration::ZERO, now);
        }
        if same && self.is_usable(now) {
            self.open_window(true, Duration::ZERO, now);
            self.failed = false;
            return;
        }
        if self.held_back {
            self.refreshed(now);
        }
        let margin = (lifetime / 10).clamp(secs(1), secs(30)).min(lifetime / 2);
        let kept = now - asked_at + secs(1);
        let usable = (lifetime - margin).max(kept);
        let refresh = if lifetime <= kept { usable } else { usable * 4 / 5 };
        let stored = Current {
            secret: secret.to_owned(),
            refresh_at: asked_at + refresh,
            usable_until: asked_at + usable,
        };
        if let Some(current) = self.current.replace(stored) {
            self.before = Some(current.secret);
        }
        // One that comes again stays the same token: a late rejection is still one of it.
        self.serial += usize::from(!same);
        self.failures = 0;
        self.window_until = Duration::ZERO;
    }

    /// A request reaches the resource.
    fn sent(&mut self, token: Option<&str>, now: Duration) {
        let token = token.and_then(|token| token.strip_prefix("Bearer "));
        match (&self.current, token) {
            (Some(current), Some(token)) if current.secret == token => {
                if now >= current.usable_until {
                    self.violated(format!("{token} was sent at {now:?}, when it had expired"));
                } else if self.held_back {
                    self.violated(format!("{token} was sent while it was held back"));
                }
            }
            (_, token) => self.violated(format!("{token:?} was sent, and another one is stored")),
        }
    }

    /// A first attempt gets a 401. `serial` is what was stored when it was sent.
    fn rejected(&mut self, serial: usize, now: Duration) {
        if serial != self.serial || self.held_back || !self.is_usable(now) {
            return;
        }
        let quiet = self.last_rejection.replace(now);
        if quiet.is_none_or(|last| now - last >= secs(300)) {
            self.refreshes = 0;
            self.refreshed_until = Duration::ZERO;
        }
        self.held_back = now >= self.window_until && now >= self.refreshed_until;
    }

    /// A request ended with an error of ours.
    fn gave_up(&mut self, error: &Error, now: Duration) {
        if self.is_usable(now) && error.kind() != ErrorKind::Expired {
            self.violated(format!("a request failed at {now:?} with a usable token: {error}"));
        }
    }
}

#[derive(Clone)]
struct World {
    clock: TokioClock,
    /// Its tokens live until they are revoked, whatever is said of their lifetime.
    server: AuthorizationServer,
    models: [Arc<Mutex<Model>>; 2],
}

/// How often one request was sent.
#[derive(Clone, Default)]
struct Attempts(Arc<AtomicUsize>);

impl World {
    fn model(&self, cache: usize) -> MutexGuard<'_, Model> {
        self.models[cache].lock().unwrap()
    }

    fn cache(&self, number: usize) -> TokenCache {
        let world = self.clone();
        let fetcher = fetch_fn(move |request| world.clone().fetch(number, request));
        cache(fetcher).clock(self.clock.clone()).build()
    }

    async fn fetch(self, cache: usize, request: TokenRequest) -> Result<Token, BoxError> {
        /// A fetch without a result ends as a failure, when it is dropped.
        struct Landing(World, usize, bool);
        impl Drop for Landing {
            fn drop(&mut self) {
                let now = self.0.clock.now();
                let mut model = self.0.model(self.1);
                model.flying = false;
                if !self.2 {
                    model.failed(true, Duration::ZERO, now);
                }
            }
        }
        let asked_at = self.clock.now();
        self.model(cache).asked(&request, asked_at);
        let mut landing = Landing(self.clone(), cache, false);
        let delay = self.model(cache).delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let now = self.clock.now();
        let outcome = self.model(cache).outcome;
        let token = {
            let mut model = self.model(cache);
            let known = match outcome {
                Outcome::New { .. } => None,
                Outcome::Same => model.current.as_ref().map(|current| current.secret.clone()),
                Outcome::Old => model.before.clone(),
                Outcome::Fail { refused, retry_after } => {
                    landing.2 = true;
                    let retry_after = secs(retry_after.unwrap_or(0));
                    model.failed(!refused, retry_after, now);
                    let kind = if refused { ErrorKind::Denied } else { ErrorKind::Unavailable };
                    return Err(Error::new(kind).with_retry_after(retry_after).into());
                }
                Outcome::Panic => {
                    drop(model);
                    std::panic::resume_unwind(Box::new("the fetcher panics"));
                }
                Outcome::Never => {
                    drop(model);
                    return std::future::pending().await;
                }
            };
            let secret = known.unwrap_or_else(|| self.server.issue().expose_secret().to_owned());
            let lifetime = match outcome {
                Outcome::New { lifetime } => ms(lifetime),
                _ => secs(60),
            };
            model.landed(&secret, lifetime, asked_at, now);
            Token::bearer(secret).with_lifetime(lifetime)
        };
        landing.2 = true;
        Ok(token)
    }

    /// The resource, as far as it is asked with the tokens of this cache.
    fn resource(
        &self,
        cache: usize,
    ) -> impl tower::Service<
        Request<Body>,
        Response = Response<testing::Body>,
        Error = BoxError,
        Future: Future<Output = Result<Response<testing::Body>, BoxError>> + Send,
    > + Clone
    + Send
    + 'static {
        let world = self.clone();
        service_fn(move |request: Request<Body>| {
            let world = world.clone();
            let token = authorization(request.headers());
            world.model(cache).sent(token.as_deref(), world.clock.now());
            let attempts = request.extensions().get::<Attempts>().unwrap().clone();
            let attempt = attempts.0.fetch_add(1, Ordering::SeqCst) + 1;
            if attempt > 2 {
                world.model(cache).violated(format!("attempt {attempt} at one request"));
            }
            let serial = world.model(cache).serial;
            async move {
                let response = world.server.clone().oneshot(request).await?;
                if response.status() == StatusCode::UNAUTHORIZED && attempt == 1 {
                    world.model(cache).rejected(serial, world.clock.now());
                }
                Ok(response)
            }
        })
    }
}

/// Lives through these steps: everything that must not have been.
async fn live(steps: Vec<Step>) -> Vec<String> {
    let world = World {
        clock: TokioClock::new(),
        server: AuthorizationServer::new(),
        models: [Model::new('a'), Model::new('b')].map(|model| Arc::new(Mutex::new(model))),
    };
    world.server.lifetime(None);
    let caches = [world.cache(0), world.cache(1)];
    // Both go through few places, so that replays and slow requests have to queue.
    let places = ConcurrencyLimitLayer::new(3);
    let inner = [0, 1].map(|cache| places.layer(world.resource(cache)));
    let mut running = JoinSet::new();
    for step in steps {
        match step {
            Step::Requests { cache, count, replay, patience } => {
                let layer = OAuthLayer::with_source(caches[cache].clone());
                for _ in 0..count {
                    let mut request = get("https://api.example.com/");
                    request.extensions_mut().insert(Attempts::default());
                    let (layer, inner) = (layer.clone(), inner[cache].clone());
                    let world = world.clone();
                    running.spawn(async move {
                        let request = async {
                            let result = match replay {
                                true => layer.replay(IfEmpty).layer(inner).oneshot(request).await,
                                false => layer.replay(Never).layer(inner).oneshot(request).await,
                            };
                            if let Err(error) = result {
                                let now = world.clock.now();
                                world.model(cache).gave_up(support::ours(&error), now);
                            }
                        };
                        match patience {
                            Some(patience) => drop(timeout(ms(patience), request).await),
                            None => request.await,
                        }
                    });
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
                if let Some(current) = &world.model(cache).current {
                    world.server.revoke(&current.secret);
                }
            }
            Step::RejectNext(requests) => {
                world.server.reject_next(requests);
            }
            Step::Endpoint { cache, outcome, delay } => {
                let mut model = world.model(cache);
                (model.outcome, model.delay) = (outcome, ms(delay));
            }
            Step::Resource(delay) => {
                world.server.resource().delay(ms(delay));
            }
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
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let violations = runtime.block_on(live(steps));
        prop_assert!(violations.is_empty(), "{violations:#?}");
    }
}
