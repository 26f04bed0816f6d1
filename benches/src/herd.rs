//! Many callers, none of whom finds a token.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::Semaphore,
    task::{JoinHandle, yield_now},
};
use tower::{BoxError, Layer, Service};
use tower_oauth::{OAuthLayer, Token, TokenCache, fetch_fn};

use crate::{
    allocations::Allocations,
    api::{Inner, Response, request},
    cpu,
};

/// What they ask.
#[derive(Clone, Copy, Debug)]
pub enum Through {
    /// `TokenCache::token`
    Cache,
    /// `OAuthService` with its defaults
    Service,
    /// The same around an inner service of 304 bytes.
    LargeService,
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "TokenCache",
            Self::Service => "OAuthService",
            Self::LargeService => "OAuthService, inner of 304 bytes",
        })
    }
}

/// What is looked at: each would be in the other's way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    Time,
    Bytes,
    /// Only with one thread: when another one is busy, the canary flies elsewhere.
    Stall,
}

#[derive(Clone, Debug)]
pub struct Herd {
    pub fetches: usize,
    pub served: usize,
    /// From the first caller to the last answer, without the wait for the fetch.
    pub time: Duration,
    /// Processor time of the same.
    pub cpu: Duration,
    /// Memory that all of them hold while they wait, their tasks included.
    pub bytes: i64,
    /// The longest processor time that the runtime's thread gave to others, between two turns of a
    /// task that is always ready, while callers were woken.
    pub stall: Duration,
}

/// A runtime with so many worker threads, or on the current thread if there are none.
pub fn run(callers: usize, workers: usize, through: Through, look: Look) -> Herd {
    let mut builder = if workers == 0 {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers);
        builder
    };
    let runtime = builder.enable_all().build().unwrap();
    let herd = async move {
        let gate = Gate::default();
        let tokens = gate.cache();
        match through {
            Through::Cache => {
                drive(callers, look, &gate, || {
                    let tokens = tokens.clone();
                    async move {
                        WAITING.fetch_add(1, SeqCst);
                        tokens.token().await.is_ok()
                    }
                })
                .await
            }
            Through::Service => service(callers, look, &gate, tokens, Inner::<0>::new(0)).await,
            Through::LargeService => {
                service(callers, look, &gate, tokens, Inner::<37>::new(0)).await
            }
        }
    };
    // As a task: what `block_on` polls itself has its own rules.
    runtime.block_on(async { tokio::spawn(herd).await.unwrap() })
}

async fn service<const WORDS: usize>(
    callers: usize,
    look: Look,
    gate: &Gate,
    tokens: TokenCache,
    inner: Inner<WORDS>,
) -> Herd {
    let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com").unwrap();
    let service = layer.layer(inner);
    drive(callers, look, gate, || Waiter(service.clone().call(request(0)))).await
}

/// The response future itself as the task: an async block around it would hold it twice.
struct Waiter<F>(F);

impl<F: Future<Output = Result<Response, BoxError>> + Unpin> Future for Waiter<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        WAITING.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll(cx).map(|response| response.is_ok())
    }
}

/// Counts callers that have been polled. Static, so that it takes no place in their tasks.
static WAITING: AtomicUsize = AtomicUsize::new(0);

async fn drive<F>(callers: usize, look: Look, gate: &Gate, caller: impl Fn() -> F) -> Herd
where
    F: Future<Output = bool> + Send + 'static,
{
    WAITING.store(0, SeqCst);
    let mut handles: Vec<JoinHandle<bool>> = Vec::with_capacity(callers);
    let allocations = (look == Look::Bytes).then(Allocations::from_now_on);
    let (start, cpu_start) = (Instant::now(), cpu::of_process());
    for n in 0..callers {
        handles.push(tokio::spawn(caller()));
        if n % 64 == 63 {
            yield_now().await;
        }
    }
    while WAITING.load(SeqCst) < callers {
        yield_now().await;
    }
    let bytes = allocations.as_ref().map_or(0, Allocations::live);
    drop(allocations);
    let canary = Canary::default();
    let watching = (look == Look::Stall).then(|| tokio::spawn(canary.clone().watch()));
    gate.open();
    let mut served = 0;
    for handle in handles {
        served += usize::from(handle.await.unwrap());
    }
    let (time, cpu) = (start.elapsed(), cpu::of_process() - cpu_start);
    canary.over.store(true, SeqCst);
    if let Some(watching) = watching {
        watching.await.unwrap();
    }
    let stall = *canary.longest.lock().unwrap();
    Herd { fetches: gate.fetches.load(SeqCst), served, time, cpu, bytes, stall }
}

/// A token endpoint that answers when everybody waits.
struct Gate {
    fetches: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { fetches: Arc::default(), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    fn cache(&self) -> TokenCache {
        let (fetches, open) = (Arc::clone(&self.fetches), Arc::clone(&self.open));
        TokenCache::new(fetch_fn(move |_| {
            fetches.fetch_add(1, SeqCst);
            let open = Arc::clone(&open);
            async move {
                open.acquire().await?.forget();
                Ok::<_, BoxError>(Token::bearer("x".repeat(1024)))
            }
        }))
    }

    fn open(&self) {
        self.open.add_permits(1);
    }
}

/// A task that is always ready, and notices how long the others had.
#[derive(Clone, Default)]
struct Canary {
    over: Arc<AtomicBool>,
    longest: Arc<Mutex<Duration>>,
}

impl Canary {
    async fn watch(self) {
        let mut last = cpu::of_thread();
        while !self.over.load(SeqCst) {
            yield_now().await;
            let now = cpu::of_thread();
            let mut longest = self.longest.lock().unwrap();
            *longest = (*longest).max(now.saturating_sub(last));
            last = now;
        }
    }
}
