//! Everything at once, for as long as it is told: tokens that live for seconds, an endpoint that
//! hangs, fails and panics, callers that give up, and runtimes that come and go.
//!
//! ```sh
//! cargo bench --bench stress -- --seconds 600
//! ```
//!
//! It fails if a caller is left asleep, or if a token is sent after its end.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    future::{Future, ready},
    panic,
    pin::pin,
    process::ExitCode,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_oauth::{OAuthLayer, Token, TokenCache, cache::RefreshPolicy, fetch_fn};

type Body = Empty<bytes::Bytes>;

/// What a fetch may take. A caller may begin two, and a second is added to each.
const FETCH: Duration = Duration::from_millis(300);
const ASLEEP: Duration = Duration::from_secs(10);

static END: AtomicBool = AtomicBool::new(false);
static CACHES: LazyLock<[Mutex<TokenCache>; 16]> =
    LazyLock::new(|| [(); 16].map(|()| Mutex::new(cache())));
static ISSUED: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);
static REQUESTS: AtomicU64 = AtomicU64::new(0);
static FETCHES: AtomicU64 = AtomicU64::new(0);
static GAVE_UP: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);
static SLEEPING: AtomicU64 = AtomicU64::new(0);

async fn fetch() -> Result<Token, BoxError> {
    let number = FETCHES.fetch_add(1, Relaxed);
    match fastrand::u8(..) {
        0..6 => std::future::pending().await,
        6..12 => panic!("the endpoint panics"),
        12..30 => return Err("the endpoint fails".into()),
        30..36 => thread::sleep(Duration::from_millis(fastrand::u64(..20))),
        _ => sleep(Duration::from_millis(fastrand::u64(..30))).await,
    }
    let lifetime = Duration::from_millis(fastrand::u64(1_100..3_000));
    let secret = format!("token-{number}");
    let mut issued = ISSUED.lock().unwrap();
    issued.retain(|_, end| end.elapsed() < Duration::from_secs(10));
    // Counted by the cache from before the fetch, so that it ends later here.
    issued.insert(format!("Bearer {secret}"), Instant::now() + lifetime);
    Ok(Token::bearer(secret).with_lifetime(lifetime))
}

/// Rejects one request in five hundred, whatever its token.
fn resource(request: &Request<Body>) -> Response<Body> {
    REQUESTS.fetch_add(1, Relaxed);
    let sent = request.headers()[AUTHORIZATION].to_str().unwrap();
    let end = ISSUED.lock().unwrap().get(sent).copied();
    if end.is_none_or(|end| end < Instant::now()) {
        LATE.fetch_add(1, Relaxed);
    }
    let is_rejected = fastrand::u16(..500) == 0;
    let status = if is_rejected { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    Response::builder().status(status).body(Body::new()).unwrap()
}

fn cache() -> TokenCache {
    let policy = RefreshPolicy::default().fetch_timeout(FETCH).unwrap();
    TokenCache::builder(fetch_fn(|_| fetch())).refresh(policy).build()
}

/// Waits for it, or counts a sleeper.
async fn awake<T>(future: impl Future<Output = T>) -> Option<T> {
    let output = timeout(ASLEEP, future).await.ok();
    SLEEPING.fetch_add(u64::from(output.is_none()), Relaxed);
    output
}

/// A caller of the healthy runtime.
async fn caller() {
    while !END.load(Relaxed) {
        let cache = fastrand::choice(&*CACHES).unwrap().lock().unwrap().clone();
        match fastrand::u8(..8) {
            0 => {
                let patience = Duration::from_millis(fastrand::u64(..5));
                let gave_up = timeout(patience, cache.token()).await.is_err();
                GAVE_UP.fetch_add(u64::from(gave_up), Relaxed);
            }
            1 => drop(awake(cache.token()).await),
            2 => drop(cache.try_authorization()),
            _ => {
                let mut service = OAuthLayer::with_source(cache)
                    .layer(service_fn(|request| ready(Ok::<_, Infallible>(resource(&request)))));
                for _ in 0..100 {
                    let request = Request::get("https://api.example.com/").body(Body::new());
                    let response = service.ready().await.unwrap().call(request.unwrap());
                    let served = matches!(awake(response).await, Some(Ok(_)));
                    ERRORS.fetch_add(u64::from(!served), Relaxed);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// A thread whose runtimes come and go, with flights that they leave behind.
fn passer_by() {
    let mut left: Vec<Runtime> = Vec::new();
    while !END.load(Relaxed) {
        let place = fastrand::choice(&*CACHES).unwrap();
        let cache = place.lock().unwrap().clone();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut waiting = pin!(cache.token());
            let waits = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            tokio::task::yield_now().await;
            if matches!(waits, Poll::Pending) && fastrand::bool() {
                drop(awake(waiting).await);
            }
        });
        match fastrand::u8(..4) {
            // It stays, undriven, for a while.
            0 => left.push(runtime),
            1 => drop(cache.try_authorization()),
            2 => *place.lock().unwrap() = self::cache(),
            _ => {}
        }
        if left.len() > 20 {
            left.swap_remove(fastrand::usize(..left.len()));
        }
        thread::sleep(Duration::from_millis(fastrand::u64(..20)));
    }
}

fn main() -> ExitCode {
    let seconds = std::env::args().skip_while(|word| word != "--seconds").nth(1);
    let seconds = seconds.map_or(10, |text| text.parse().expect("a number of seconds"));
    panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref() != Some(&"the endpoint panics") {
            eprintln!("{info}");
        }
    }));
    let healthy = Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap();
    let callers: Vec<_> = (0..64).map(|_| healthy.spawn(caller())).collect();
    let passers = [(); 4].map(|()| thread::spawn(passer_by));
    for second in 0..seconds {
        thread::sleep(Duration::from_secs(1));
        if second % (seconds / 10).max(1) == 0 {
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let memory = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
            println!("{second} s: {memory}");
        }
    }
    END.store(true, Relaxed);
    let passed = passers.into_iter().all(|passer| passer.join().is_ok());
    let ended = healthy.block_on(async {
        for caller in callers {
            timeout(2 * ASLEEP, caller).await.ok()?.ok()?;
        }
        Some(())
    });
    for (what, count) in [
        ("requests", &REQUESTS),
        ("fetches", &FETCHES),
        ("callers that gave up", &GAVE_UP),
        ("requests that got an error", &ERRORS),
        ("sent after the token's end", &LATE),
        ("asleep", &SLEEPING),
    ] {
        println!("{what}: {}", count.load(Relaxed));
    }
    let failed = !passed || ended.is_none() || LATE.load(Relaxed) + SLEEPING.load(Relaxed) > 0;
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
