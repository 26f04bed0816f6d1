//! Two caches, each with its model, and what is around them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use tokio::time::sleep;
use tower::{BoxError, ServiceExt, service_fn};
use tower_oauth::{
    Error, ErrorKind, Token, TokenCache, TokenRequest,
    cache::Clock,
    fetch_fn,
    testing::{self, AuthorizationServer, TokioClock},
};

use crate::{
    model::Model,
    support::{Body, authorization, cache_with, ms, secs},
    watched::Watched,
};

/// What a fetch comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    New,
    /// The secret of the newest token.
    Same,
    /// The newest token itself.
    Previous,
    /// The secret of the one before.
    Old,
    Fail {
        is_denied: bool,
        retry_after: u64,
    },
    Panic,
    Never,
}

/// What a token endpoint does now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    pub(crate) outcome: Outcome,
    pub(crate) delay: u64,
    pub(crate) lifetime: Option<u64>,
    pub(crate) age: Option<u64>,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: TokioClock,
    /// Its tokens live until they are revoked, whatever is said of their lifetime.
    pub(crate) server: AuthorizationServer,
    models: [Arc<Mutex<Model>>; 2],
    pub(crate) endpoints: [Arc<Mutex<Endpoint>>; 2],
}

/// How often one request was sent.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<AtomicUsize>);

/// A fetch that is dropped before it has a result.
struct Unended<'a> {
    world: &'a World,
    cache: usize,
    number: usize,
}

impl Drop for Unended<'_> {
    fn drop(&mut self) {
        let now = self.world.clock.now();
        self.world.model(self.cache).dropped(self.number, now);
    }
}

impl World {
    pub(crate) fn new(chance: u32) -> Self {
        let usual =
            Endpoint { outcome: Outcome::New, delay: 50, lifetime: Some(60_000), age: None };
        let server = AuthorizationServer::new();
        server.lifetime(None);
        Self {
            clock: TokioClock::new(),
            server,
            models: ['a', 'b'].map(|name| Arc::new(Mutex::new(Model::new(name, chance)))),
            endpoints: [usual, usual].map(|endpoint| Arc::new(Mutex::new(endpoint))),
        }
    }

    pub(crate) fn model(&self, cache: usize) -> MutexGuard<'_, Model> {
        self.models[cache].lock().unwrap()
    }

    pub(crate) fn cache(&self, number: usize, chance: u32) -> Watched {
        let world = self.clone();
        let fetcher = fetch_fn(move |request| world.clone().fetch(number, request));
        let cache = cache_with(fetcher, move || f64::from(chance));
        let cache: TokenCache = cache.clock(self.clock.clone()).build();
        Watched { cache, number, world: self.clone() }
    }

    async fn fetch(self, cache: usize, request: TokenRequest) -> Result<Token, BoxError> {
        let number = self.model(cache).asked(&request, self.clock.now());
        let unended = Unended { world: &self, cache, number };
        let delay = self.endpoints[cache].lock().unwrap().delay;
        if delay > 0 {
            sleep(ms(delay)).await;
        }
        let Endpoint { outcome, lifetime, age, .. } = *self.endpoints[cache].lock().unwrap();
        let [newest, before] = {
            let model = self.model(cache);
            let held = [model.newest.as_ref(), model.fallback.as_ref().map(|it| &it.held)];
            held.map(|held| held.map(|held| held.secret().to_owned()))
        };
        let issued = || self.server.issue().expose_secret().to_owned();
        let mut token = match outcome {
            Outcome::New => Token::bearer(issued()),
            Outcome::Same => Token::bearer(newest.unwrap_or_else(issued)),
            Outcome::Old => Token::bearer(before.unwrap_or_else(issued)),
            Outcome::Previous => request.previous.unwrap_or_else(|| Token::bearer(issued())),
            Outcome::Fail { is_denied, retry_after } => {
                let retry_after = secs(retry_after);
                self.model(cache).failed(is_denied, retry_after, self.clock.now());
                let kind = if is_denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
                return Err(Error::new(kind).with_retry_after(retry_after).into());
            }
            Outcome::Panic => std::panic::resume_unwind(Box::new("the fetcher panics")),
            Outcome::Never => std::future::pending().await,
        };
        if let Some(lifetime) = lifetime {
            token = token.with_lifetime(ms(lifetime));
        }
        // Both would say that it comes from a cache behind the fetcher.
        if let Some(age) = age.filter(|_| !matches!(outcome, Outcome::Previous)) {
            token = token.with_age(ms(age));
        }
        self.model(cache).landed(&token, self.clock.now());
        drop(unended);
        Ok(token)
    }

    /// The resource, as far as it is asked with the tokens of this cache.
    pub(crate) fn resource(
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
            let token = authorization(request.headers());
            let secret = token.as_deref().and_then(|token| token.strip_prefix("Bearer "));
            let now = world.clock.now();
            let attempts = request.extensions().get::<Attempts>().unwrap();
            let attempt = attempts.0.fetch_add(1, Ordering::SeqCst) + 1;
            let mut model = world.model(cache);
            model.sent(secret, now);
            model.check(attempt <= 3, || format!("attempt {attempt} at one request"));
            drop(model);
            world.server.clone().oneshot(request)
        })
    }
}

pub(crate) const HOUR: Duration = secs(3600);
