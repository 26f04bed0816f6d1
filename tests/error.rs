//! What callers and logs see of an error, whatever it went through.

mod support;

use std::{
    error::Error as StdError,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use support::{cache, capture_log, ms};
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_oauth::{Error, ErrorKind, Token, TokenRequest, fetch_fn};

/// A layer's error around another one.
#[derive(Debug)]
struct Wrapped(&'static str, BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.1)
    }
}

fn wrapped(text: &'static str, error: impl Into<BoxError>) -> BoxError {
    Wrapped(text, error.into()).into()
}

fn denied() -> Error {
    Error::new(ErrorKind::Denied).with_oauth_code("invalid_client")
}

/// Our error in everything that layers and adapters put around it.
fn in_everything() -> Vec<BoxError> {
    let shared: Arc<dyn StdError + Send + Sync> = Arc::new(denied());
    let nested: Arc<dyn StdError + Send + Sync> = Arc::new(io::Error::other(denied()));
    let boxed = || -> BoxError { denied().into() };
    vec![
        boxed(),
        Box::new(Box::new(denied())),
        Box::new(Arc::new(denied())),
        Box::new(shared),
        Box::new(nested),
        io::Error::other(denied()).into(),
        io::Error::other(boxed()).into(),
        io::Error::other(io::Error::other(Arc::new(denied()))).into(),
        wrapped("a layer", denied()),
        wrapped("a layer", Box::new(denied())),
        wrapped("a layer", Arc::new(denied())),
        wrapped("a layer", io::Error::other(denied())),
        wrapped("a layer", wrapped("another one", io::Error::other(wrapped("a third", boxed())))),
        io::Error::other(wrapped("a layer", Arc::new(denied()))).into(),
    ]
}

#[test]
fn ours_is_found_in_everything() {
    for error in in_everything() {
        let ours = Error::find(&*error).unwrap_or_else(|| panic!("not in {error:?}"));
        assert_eq!((ours.kind(), ours.oauth_code()), (ErrorKind::Denied, Some("invalid_client")));
    }
    for foreign in [io::Error::other("ours"), io::ErrorKind::TimedOut.into()] {
        assert!(Error::find(&foreign).is_none());
        assert!(Error::find(&*wrapped("a layer", foreign)).is_none());
    }
}

/// A refusal stays one, however the fetcher's layers hand it on.
#[tokio::test(start_paused = true)]
async fn a_fetchers_layers_may_wrap_it() {
    let cases = in_everything().len();
    for case in 0..cases {
        let fetcher = fetch_fn(move |_| async move {
            Err::<Token, _>(in_everything().into_iter().nth(case).unwrap())
        });
        let error = cache(fetcher).build().token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "case {case}: {error}");
    }
}

/// Those of tower, which share, box and replace errors.
#[tokio::test(start_paused = true)]
async fn towers_own_layers_may_wrap_it() {
    let refuses = || service_fn(|_: TokenRequest| async { Err::<Token, _>(denied()) });
    async fn kind<S>(fetcher: S) -> ErrorKind
    where
        S: Service<TokenRequest, Response = Token, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        cache(fetcher).build().token().await.unwrap_err().kind()
    }
    let layers = ServiceBuilder::new().timeout(ms(100)).concurrency_limit(1);
    assert_eq!(kind(layers.service(refuses())).await, ErrorKind::Denied);
    assert_eq!(kind(refuses().boxed_clone()).await, ErrorKind::Denied);
    let buffer = tower::buffer::BufferLayer::new(1);
    assert_eq!(kind(buffer.layer(refuses())).await, ErrorKind::Denied);
    // One whose service never gets ready gives the same error to everybody.
    #[derive(Clone)]
    struct NeverReady;
    impl Service<TokenRequest> for NeverReady {
        type Response = Token;
        type Error = Error;
        type Future = std::future::Ready<Result<Token, Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Error>> {
            std::task::Poll::Ready(Err(denied()))
        }
        fn call(&mut self, _: TokenRequest) -> Self::Future {
            std::future::ready(Err(denied()))
        }
    }
    assert_eq!(kind(buffer.layer(NeverReady)).await, ErrorKind::Denied);
}

async fn fails_with(error: impl Fn() -> BoxError + Clone + Send + Sync + 'static) -> Error {
    let fetcher = fetch_fn(move |_| {
        let error = error();
        async { Err::<Token, _>(error) }
    });
    cache(fetcher).build().token().await.unwrap_err()
}

const NEXT: &str = "; next attempt in 0.5 s";

#[tokio::test(start_paused = true)]
async fn a_fetchers_own_words_are_shown() {
    let error = fails_with(|| "no metadata server here".into()).await;
    assert_eq!(error.kind(), ErrorKind::Fetcher);
    let expected = format!("the token fetcher failed: no metadata server here{NEXT}");
    assert_eq!(error.to_string(), expected);

    let error = fails_with(|| wrapped("the vault is sealed", "key 3 of 5")).await;
    let expected = format!("the token fetcher failed: the vault is sealed{NEXT}");
    assert_eq!(error.to_string(), expected);
    // Its type is not lost.
    let own: &Wrapped = error.source().unwrap().downcast_ref().unwrap();
    assert_eq!(own.0, "the vault is sealed");
}

/// The line of the log has all causes, and none of them twice.
#[tokio::test(start_paused = true)]
async fn the_log_has_each_cause_once() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = fetch_fn(move |_| {
        let error = match fetches.fetch_add(1, Ordering::SeqCst) {
            0 => wrapped("the vault is sealed", wrapped("key 3 of 5", "wrong length")),
            // As many errors do, this one repeats its cause.
            1 => {
                let cause = wrapped("client error: connection refused", "connection refused");
                Error::new(ErrorKind::Unavailable).with_source(cause).into()
            }
            _ => {
                let error =
                    Error::new(ErrorKind::Unavailable).with_description("connection refused");
                error.with_source(wrapped("connection refused", "os error 111")).into()
            }
        };
        async { Err::<Token, _>(error) }
    });
    let cache = cache(fetcher).build();
    let log = capture_log(async {
        for _ in 0..3 {
            cache.token().await.unwrap_err();
            sleep(ms(20_000)).await;
        }
    });
    let log = log.await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, causes) in lines.iter().zip([
        &["the vault is sealed", "key 3 of 5", "wrong length"][..],
        &["client error", "connection refused"],
        &["connection refused", "os error 111"],
    ]) {
        for cause in causes {
            assert_eq!(line.matches(cause).count(), 1, "{cause}: {line}");
        }
    }
}
