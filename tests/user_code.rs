//! Clocks, errors, subscribers and futures that look back at the cache that runs them, or panic.

mod support;

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use support::{cache, get, in_time, ms, secs};
use tokio::time::sleep;
use tower::BoxError;
use tower::{Layer, Service};
use tower_oauth::{
    ErrorKind, OAuthLayer, Token, TokenCache, cache::Clock, fetch_fn, testing::AuthorizationServer,
};
use tracing_subscriber::fmt::MakeWriter;

/// A clock that looks at the cache that it drives, once.
#[derive(Clone, Default)]
struct Curious {
    cache: Arc<OnceLock<TokenCache>>,
    looks: Arc<AtomicUsize>,
}

impl Clock for Curious {
    fn now(&self) -> Duration {
        if self.looks.fetch_add(1, Ordering::SeqCst) == 0 {
            if let Some(cache) = self.cache.get() {
                cache.status();
            }
        }
        secs(1)
    }
}

#[test]
fn the_clock_is_not_asked_under_the_lock() {
    in_time(|| {
        let clock = Curious::default();
        let cache = cache(AuthorizationServer::new().fetcher()).clock(clock.clone()).build();
        clock.cache.set(cache.clone()).unwrap();
        cache.status();
        assert!(clock.looks.load(Ordering::SeqCst) > 1, "it has not looked");
    });
}

/// An error that looks at the cache whose fetcher failed with it, when it is dropped.
#[derive(Debug)]
struct Failed(TokenCache);

impl Drop for Failed {
    fn drop(&mut self) {
        self.0.status();
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

#[test]
fn a_users_error_is_not_dropped_under_the_lock() {
    in_time(|| {
        let cell: Arc<OnceLock<TokenCache>> = Arc::default();
        let own = Arc::clone(&cell);
        let fetches = AtomicUsize::new(0);
        let fetches = Arc::new(fetches);
        let cache = cache(fetch_fn(move |_| {
            let cache = own.get().unwrap().clone();
            let first = fetches.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first { Err(BoxError::from(Failed(cache))) } else { Ok(Token::bearer("abc")) }
            }
        }))
        .build();
        cell.set(cache.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            drop(cache.token().await.unwrap_err());
            sleep(ms(600)).await;
            cache.token().await.unwrap();
        });
    });
}

/// A subscriber's writer that sends a request through the service whose events it writes.
#[derive(Clone, Default)]
struct Sender(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl io::Write for Sender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(send) = self.0.get() {
            send();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sender {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn the_subscriber_is_not_called_under_a_lock() {
    in_time(|| {
        let service = OAuthLayer::with_source(Token::bearer("abc"))
            .origin("https://api.example.com")
            .unwrap()
            .layer(AuthorizationServer::new());
        let writer = Sender::default();
        let subscriber = tracing_subscriber::fmt().with_writer(writer.clone()).finish();
        // Where the token may not go: that is logged.
        let to = |host: &'static str| {
            let service = service.clone();
            move || drop(service.clone().call(get(host)))
        };
        assert!(writer.0.set(Box::new(to("https://logs.example.com/"))).is_ok());
        support::log_per_thread();
        tracing::subscriber::with_default(subscriber, to("https://cdn.example.com/"));
    });
}

/// A fetch that panics when it is dropped.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in drop");
        }
    }
}

impl Future for PanicsInDrop {
    type Output = Result<Token, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Token::bearer("abc")))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_drop_of_the_fetch_is_an_error() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&fetches);
    let cache = TokenCache::new(fetch_fn(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        PanicsInDrop
    }));
    let error = cache.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    // It is remembered as any other failure.
    cache.token().await.unwrap_err();
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}
