//! What the tests of the core share: a token endpoint that is a closure, clocks, and a resource.
#![allow(dead_code, unreachable_pub, unused_imports)] // each test file uses its own part of it

mod guard;

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Service, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, FetchToken, RefreshReason, Token, TokenCache, TokenRequest,
    cache::{Clock, TokenCacheBuilder},
    fetch_fn,
    testing::{AuthorizationServer, TokioClock},
};

pub use guard::{Answered, Guard, unauthorized};

pub type Body = Empty<bytes::Bytes>;

/// A clock that follows `tokio::time::pause`, plus what a machine slept.
#[derive(Clone)]
pub struct TestClock {
    start: Instant,
    slept: Arc<Mutex<Duration>>,
}

impl TestClock {
    pub fn new() -> Self {
        Self { start: Instant::now(), slept: Arc::default() }
    }

    /// The machine sleeps: only clocks that count sleep notice.
    pub fn suspend(&self, time: Duration) {
        *self.slept.lock().unwrap() += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.start.elapsed() + *self.slept.lock().unwrap()
    }
}

/// What the endpoint answers with.
#[derive(Clone)]
pub enum Answer {
    /// A new secret each time, with this lifetime.
    New(Duration),
    /// This token.
    Token(Token),
    /// An error of this kind.
    Fail(ErrorKind),
    /// This very error.
    Error(Error),
    Panic,
    Never,
}

/// A token endpoint that counts. Its tokens are called `token-1`, `token-2` ...
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    asked: Mutex<Vec<TokenRequest>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    answered: AtomicUsize,
    delay: Mutex<Duration>,
    answer: Mutex<Answer>,
}

impl Endpoint {
    pub fn new(answer: Answer) -> Self {
        Self(Arc::new(Inner {
            asked: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            delay: Mutex::new(ms(50)),
            answer: Mutex::new(answer),
        }))
    }

    pub fn with_lifetime(lifetime: Duration) -> Self {
        Self::new(Answer::New(lifetime))
    }

    pub fn delay(self, delay: Duration) -> Self {
        *self.0.delay.lock().unwrap() = delay;
        self
    }

    pub fn set(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    /// How many token requests there were.
    pub fn count(&self) -> usize {
        self.0.asked.lock().unwrap().len()
    }

    /// How many of them were answered.
    pub fn answered(&self) -> usize {
        self.0.answered.load(Ordering::SeqCst)
    }

    /// How many of them ran at once at most.
    pub fn most_running(&self) -> usize {
        self.0.most_running.load(Ordering::SeqCst)
    }

    pub fn reasons(&self) -> Vec<RefreshReason> {
        self.0.asked.lock().unwrap().iter().map(|request| request.reason).collect()
    }

    pub fn last_request(&self) -> TokenRequest {
        self.0.asked.lock().unwrap().last().unwrap().clone()
    }

    pub fn fetcher(
        &self,
    ) -> impl Service<
        TokenRequest,
        Response = Token,
        Error = BoxError,
        Future: Future<Output = Result<Token, BoxError>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let this = self.clone();
        fetch_fn(move |request| this.clone().answer(request))
    }

    async fn answer(self, request: TokenRequest) -> Result<Token, BoxError> {
        struct Running<'a>(&'a AtomicUsize);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let number = {
            let mut asked = self.0.asked.lock().unwrap();
            asked.push(request);
            asked.len()
        };
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.0.running);
        self.0.most_running.fetch_max(running, Ordering::SeqCst);
        let delay = *self.0.delay.lock().unwrap();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.0.answered.fetch_add(1, Ordering::SeqCst);
        let answer = self.0.answer.lock().unwrap().clone();
        match answer {
            Answer::New(lifetime) => {
                Ok(Token::bearer(format!("token-{number}")).with_lifetime(lifetime))
            }
            Answer::Token(token) => Ok(token),
            Answer::Fail(kind) => Err(Error::new(kind).with_source("down").into()),
            Answer::Error(error) => Err(error.into()),
            Answer::Panic => panic!("the fetcher panics"),
            Answer::Never => std::future::pending().await,
        }
    }

    /// A cache whose clock follows paused time and whose chance is `chance`.
    pub fn cache_with(&self, chance: f64) -> TokenCacheBuilder {
        TokenCache::builder(self.fetcher()).clock(TestClock::new()).random(move || chance)
    }

    /// A cache whose clock follows paused time and that leaves nothing to chance.
    pub fn cache(&self) -> TokenCache {
        self.cache_with(0.0).build()
    }
}

/// A resource that answers 200 and remembers the `Authorization` that it was sent.
#[derive(Clone, Default)]
pub struct Resource {
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

impl Resource {
    pub fn seen(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().clone()
    }

    pub fn service<B: Send + 'static>(
        &self,
    ) -> impl Service<
        Request<B>,
        Response = Response<Body>,
        Error = BoxError,
        Future: Future<Output = Result<Response<Body>, BoxError>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let seen = Arc::clone(&self.seen);
        tower::service_fn(move |request: Request<B>| {
            seen.lock().unwrap().push(authorization(request.headers()));
            async { Ok::<_, BoxError>(Response::new(Body::new())) }
        })
    }
}

/// A server whose tokens live that long, and whose token endpoint takes that long.
pub fn server(lifetime: Duration, delay: Duration) -> AuthorizationServer {
    let server = AuthorizationServer::new();
    server.lifetime(lifetime).token_endpoint().delay(delay);
    server
}

/// Why the server's fetchers were called.
pub fn reasons(server: &AuthorizationServer) -> Vec<RefreshReason> {
    server.fetches().iter().map(|fetch| fetch.reason).collect()
}

/// A cache whose clock follows paused time and that leaves nothing to chance.
pub fn cache(fetcher: impl FetchToken) -> TokenCacheBuilder {
    cache_with(fetcher, || 0.0)
}

/// A cache whose clock follows paused time, with a chance of its own.
pub fn cache_with(
    fetcher: impl FetchToken,
    chance: impl Fn() -> f64 + Send + Sync + 'static,
) -> TokenCacheBuilder {
    TokenCache::builder(fetcher).clock(TokioClock::new()).random(chance)
}

pub fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
}

pub fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::new()).unwrap()
}

/// Sends a request through this very instance, as soon as it is ready.
pub async fn send<S: Service<Request<Body>>>(
    service: &mut S,
    request: Request<Body>,
) -> Result<S::Response, S::Error> {
    service.ready().await?.call(request).await
}

pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::new());
    *response.status_mut() = status;
    response
}

/// Our error, out of the error of a response.
pub fn ours(error: &BoxError) -> &Error {
    Error::find(&**error).expect("an error of tower-oauth in the chain")
}

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A runtime of its own, as every test has one, or every call of a blocking SDK.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs this on a thread of its own, since it may hang.
pub fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match ended.recv_timeout(secs(5)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

/// What is logged while this runs.
pub async fn capture_log(work: impl Future<Output = ()>) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    work.await;
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}
