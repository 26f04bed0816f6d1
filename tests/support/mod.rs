//! What the tests of the core share. Their server is the crate's own, of `tower_oauth::testing`.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part of it

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::{Empty, Full};
use tokio::runtime;
use tower::{BoxError, Service, ServiceExt};
use tower_oauth::{
    Error, FetchToken, RefreshReason, TokenCache,
    cache::TokenCacheBuilder,
    testing::{AuthorizationServer, ResponseTemplate, TokioClock},
};
use tracing_subscriber::fmt::format::FmtSpan;

pub type Body = Empty<Bytes>;

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

/// A cache whose clock follows paused time, with this jitter, from 0 to 1.
pub fn cache_with(
    fetcher: impl FetchToken,
    jitter: impl Fn() -> f64 + Send + Sync + 'static,
) -> TokenCacheBuilder {
    TokenCache::builder(fetcher).clock(TokioClock::new()).jitter_source(jitter)
}

pub fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
}

pub fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::new()).unwrap()
}

/// Calls this very instance, as soon as it is ready.
pub async fn call<S>(service: &mut S, request: Request<Body>) -> S::Future
where
    S: Service<Request<Body>, Error: fmt::Debug>,
{
    service.ready().await.unwrap().call(request)
}

/// A resource that takes any token, or none.
pub fn resource() -> AuthorizationServer {
    let server = AuthorizationServer::new();
    server.resource().always(ResponseTemplate::status(StatusCode::OK));
    server
}

pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::new());
    *response.status_mut() = status;
    response
}

/// A 401 that can be told from any other.
pub fn unauthorized() -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
        .header("x-resource", "its own response")
        .body(Full::from("its own words"))
        .unwrap()
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
pub fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs this on a thread of its own, since it may hang.
pub fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match ended.recv_timeout(secs(5)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

/// Lets each thread have a subscriber of its own. While there is only one in the process, tracing asks
/// whichever thread logs something first, and one without a subscriber decides for all.
pub fn log_per_thread() {
    static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
    ANOTHER.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new()));
}

/// What is logged while this runs, with a line for each span that ends.
pub async fn capture_log(work: impl Future<Output = ()>) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    log_per_thread();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    work.await;
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}
