//! Many callers, none of whom finds a token.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::Uri;
use nix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::Builder,
    sync::Semaphore,
    task::{JoinHandle, yield_now},
};
use tower::Layer;
use tower_oauth::Token;

use crate::{
    api::{Api, Inner, Large, Request},
    case::{counted, layer, secret},
};

/// What they may ask: the cache's `token`, or the service with its defaults.
pub const CACHE: &str = "TokenCache";
pub const SERVICE: &str = "OAuthService";
pub const LARGE_SERVICE: &str = "OAuthService, inner of 304 B";

pub struct Herd {
    pub fetches: usize,
    /// From the first caller to the last token, without the wait for the fetch.
    pub time: Duration,
    /// Memory that a caller holds while it waits, its task included; on the current thread only.
    pub bytes: f64,
    /// The longest processor time that others had between two turns of a task that is always
    /// ready; on the current thread only.
    pub stall: Duration,
}

/// On a runtime with so many workers, or on the current thread if there are none.
pub fn run(callers: usize, workers: usize, through: &str) -> Herd {
    // The endpoint responds when everybody waits.
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let (tokens, fetches) = counted(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await?.forget();
            Ok(Token::bearer(secret()))
        }
    });
    let layer = layer(tokens.clone());
    let herd = match through {
        CACHE => drive(callers, workers, open, move || {
            let tokens = tokens.clone();
            async move {
                WAITING.fetch_add(1, SeqCst);
                tokens.token().await.is_ok()
            }
        }),
        SERVICE => drive_service(callers, workers, open, layer.layer(Inner::<0>::new(0))),
        LARGE_SERVICE => drive_service(callers, workers, open, layer.layer(Large::new(0))),
        _ => panic!("they cannot ask {through}"),
    };
    Herd { fetches: fetches.load(SeqCst), ..herd }
}

fn drive_service<A: Api<Future: Unpin>>(
    callers: usize,
    workers: usize,
    open: Arc<Semaphore>,
    api: A,
) -> Herd {
    drive(callers, workers, open, move || {
        // The URI is a constant: its bytes would be counted as the layer's.
        let mut request = Request::default();
        *request.uri_mut() = Uri::from_static("https://api.example.com/v1/widgets?page=2");
        // No async block: it would hold the response future twice.
        let mut response = api.clone().call(request);
        poll_fn(move |cx| {
            WAITING.fetch_add(1, SeqCst);
            Pin::new(&mut response).poll(cx).map(|response| response.is_ok())
        })
    })
}

/// Counts callers that have been polled. Static, so that it takes no place in their tasks.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn drive<F: Future<Output = bool> + Send + 'static>(
    callers: usize,
    workers: usize,
    open: Arc<Semaphore>,
    caller: impl Fn() -> F + Send + 'static,
) -> Herd {
    let mut builder =
        if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(workers.max(1)).enable_all().build().unwrap();
    WAITING.store(0, SeqCst);
    let mut handles: Vec<JoinHandle<bool>> = Vec::with_capacity(callers);
    let start = Instant::now();
    let all_wait = async move {
        for n in 0..callers {
            handles.push(tokio::spawn(caller()));
            if n % 64 == 63 {
                yield_now().await;
            }
        }
        while WAITING.load(SeqCst) < callers {
            yield_now().await;
        }
        handles
    };
    // As tasks: what `block_on` polls itself has its own rules.
    let mut handles = Vec::new();
    let counted = allocation_counter::measure(|| {
        handles = runtime.block_on(async { tokio::spawn(all_wait).await.unwrap() });
    });
    let over = Arc::new(AtomicBool::new(false));
    let all_served = async move {
        let canary = tokio::spawn(canary(Arc::clone(&over)));
        open.add_permits(1);
        for handle in handles {
            assert!(handle.await.unwrap(), "a caller without a token");
        }
        over.store(true, SeqCst);
        canary.await.unwrap()
    };
    let stall = runtime.block_on(async { tokio::spawn(all_served).await.unwrap() });
    Herd {
        fetches: 0,
        time: start.elapsed(),
        bytes: counted.bytes_current as f64 / callers as f64,
        stall,
    }
}

/// Is always ready, and notices how long the others had.
async fn canary(over: Arc<AtomicBool>) -> Duration {
    let cpu = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let (mut last, mut longest) = (cpu(), Duration::ZERO);
    while !over.load(SeqCst) {
        yield_now().await;
        let now = cpu();
        longest = longest.max(now.saturating_sub(last));
        last = now;
    }
    longest
}
