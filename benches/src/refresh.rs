//! What requests wait while tokens that live for two seconds are refreshed at an endpoint that takes
//! 50 ms; beside a cache that blocks, under the same load at the same time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, header::AUTHORIZATION};
use tokio::{
    runtime::Builder,
    sync::Mutex,
    time::{MissedTickBehavior, interval, sleep},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_oauth::{OAuthLayer, Token, fetch_fn};

use crate::api::{Api, Inner, Request, request};

const LIFETIME: Duration = Duration::from_secs(2);
const FETCH: Duration = Duration::from_millis(50);
/// Tasks of each load, and the pause between two requests of one.
const TASKS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(4);

/// Latencies, in order of size.
pub struct Latencies(pub Vec<Duration>);

impl Latencies {
    /// The latency that this share of the requests does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

/// Those through this crate's cache, and those through one that blocks.
pub fn run(time: Duration) -> (Latencies, Latencies) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let ours = tokio::spawn(load(ours(), time));
        let blocking = tokio::spawn(load(blocking(), time));
        (ours.await.unwrap(), blocking.await.unwrap())
    })
}

async fn fetch() -> Result<Token, BoxError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    sleep(FETCH).await;
    // Another secret each time, as servers do: the very same one would not be a new token.
    let secret = format!("{:01024}", NEXT.fetch_add(1, Relaxed));
    Ok(Token::bearer(secret).with_lifetime(LIFETIME))
}

fn ours() -> impl Api + Sync {
    let layer = OAuthLayer::new(fetch_fn(|_| fetch())).origin("https://api.example.com").unwrap();
    layer.layer(Inner::<0>::new(0))
}

/// What is written by hand: the lock is held over the fetch, and everybody who comes meanwhile
/// waits for it.
fn blocking() -> impl Api + Sync {
    type Held = Arc<Mutex<Option<(HeaderValue, Instant)>>>;
    async fn value(held: Held) -> Result<HeaderValue, BoxError> {
        let mut held = held.lock().await;
        if let Some((value, _)) = held.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(value.clone());
        }
        let token = fetch().await?;
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
        *held = Some((value.clone(), Instant::now() + LIFETIME));
        Ok(value)
    }
    let held = Held::default();
    service_fn(move |mut request: Request| {
        let held = Arc::clone(&held);
        async move {
            request.headers_mut().insert(AUTHORIZATION, value(held).await?);
            Inner::<0>::new(0).call(request).await
        }
    })
}

async fn load(api: impl Api + Sync, time: Duration) -> Latencies {
    // The first token is not what is looked at.
    api.clone().oneshot(request(0)).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let mut api = api.clone();
            tokio::spawn(async move {
                sleep(PAUSE.mul_f64(n as f64 / TASKS as f64)).await;
                let mut latencies = Vec::with_capacity(1 << 16);
                let mut ticks = interval(PAUSE);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let start = Instant::now();
                while start.elapsed() < time {
                    ticks.tick().await;
                    let sent = Instant::now();
                    api.ready().await.unwrap().call(request(0)).await.unwrap();
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    Latencies(all)
}
