//! What a clone of the service holds, and what is left in idle ones when the token is replaced.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use http::{StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use tokio::runtime::{Builder, Runtime};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_oauth::{
    OAuthLayer, OAuthService, Token, TokenCache, cache::Clock, fetch_fn, replay::Never,
};

use crate::{
    allocations::Allocations,
    api::{Inner, Request, Response, request},
    case::secret,
};

const CLONES: usize = 1000;
/// More than one: a clone that is used only once remembers nothing.
const REQUESTS: usize = 3;
/// More than there are copies of the token.
const THREADS: usize = 40;

pub struct Memory {
    /// The size of the service beyond the inner one's.
    pub size: usize,
    /// What a clone holds elsewhere after it has sent requests.
    pub per_clone: i64,
    /// The same, where each has sent its last request with another token than all others.
    pub per_old_clone: i64,
    /// What is given back when the token is replaced, after many threads have sent requests and
    /// while their clones of the service are idle.
    pub given_back: i64,
    /// What those idle clones hold of it until they send another request or are dropped. It is room
    /// for the copies' counts and deadlines, without the secret.
    pub left: i64,
}

pub fn measure() -> Memory {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = fetch_fn(move |_| {
        let n = fetches.fetch_add(1, SeqCst);
        // Of the same length, so that what is held can be compared.
        async move { Ok::<_, BoxError>(Token::bearer(format!("{}{n}", &secret()[1..]))) }
    });
    let inner = service_fn(|request: Request| {
        let old = request.headers()[AUTHORIZATION].as_bytes().ends_with(b"0");
        let mut response = Response::new(Empty::new());
        if old && request.headers().contains_key("reject") {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let layer = OAuthLayer::new(fetcher).origin("https://api.example.com").unwrap();
    let service = layer.replay(Never).layer(inner);
    let send = |request| runtime.block_on(service.clone().oneshot(request)).unwrap();
    // The runtime and the thread keep what they need only once.
    send(request(0));
    let mut clones = Vec::with_capacity(CLONES);
    let allocations = Allocations::from_now_on();
    for _ in 0..CLONES {
        let mut clone = service.clone();
        for _ in 0..REQUESTS {
            runtime.block_on(tower::Service::call(&mut clone, request(0))).unwrap();
        }
        clones.push(clone);
    }
    let per_clone = allocations.live() / i64::try_from(CLONES).unwrap();
    drop(allocations);

    // One lane is in use; the threads fill the others.
    let allocations = Allocations::from_now_on();
    let idle = Mutex::new(Vec::with_capacity(THREADS));
    let (filled, counted) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let (given_back, left) = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut clone = service.clone();
                let runtime = Builder::new_current_thread().build().unwrap();
                for _ in 0..REQUESTS {
                    runtime.block_on(tower::Service::call(&mut clone, request(0))).unwrap();
                }
                drop(runtime);
                idle.lock().unwrap().push(clone);
                filled.wait();
                counted.wait();
            });
        }
        filled.wait();
        let in_use = allocations.live();
        let mut rejected = request(0);
        rejected.headers_mut().insert("reject", http::HeaderValue::from_static("1"));
        send(rejected);
        runtime.block_on(async { tokio::task::yield_now().await });
        send(request(0));
        let replaced = allocations.live();
        let clones = std::mem::take(&mut *idle.lock().unwrap());
        let list = clones.capacity() * size_of_val(&clones[0]);
        drop(clones);
        let left = replaced - allocations.live() - i64::try_from(list).unwrap();
        counted.wait();
        (in_use - replaced, left)
    });
    drop(allocations);
    Memory {
        size: size_of::<OAuthService<Inner<1>, TokenCache, Never>>() - size_of::<Inner<1>>(),
        per_clone,
        per_old_clone: per_old_clone(&runtime),
        given_back,
        left,
    }
}

/// Hours that pass when the bench says so.
#[derive(Clone, Default)]
struct Hours(Arc<AtomicU32>);

impl Clock for Hours {
    fn now(&self) -> Duration {
        Duration::from_secs(3600) * self.0.load(SeqCst)
    }
}

fn per_old_clone(runtime: &Runtime) -> i64 {
    let fetcher = fetch_fn(|_| std::future::ready(Ok::<_, BoxError>(Token::bearer(secret()))));
    let hours = Hours::default();
    let cache = TokenCache::builder(fetcher).clock(hours.clone()).build();
    let service = OAuthLayer::with_source(cache).replay(Never).layer(Inner::<0>::new(0));
    let mut clones = Vec::with_capacity(CLONES);
    let send = || {
        hours.0.fetch_add(1, SeqCst);
        let mut clone = service.clone();
        for _ in 0..REQUESTS {
            runtime.block_on(tower::Service::call(&mut clone, request(0))).unwrap();
        }
        clone
    };
    // The current token, and the clone that knows it.
    let _last = send();
    let allocations = Allocations::from_now_on();
    clones.extend((0..CLONES).map(|_| send()));
    allocations.live() / i64::try_from(CLONES).unwrap()
}
