//! A server for one vendor's token endpoint and one resource, over real HTTP on a loopback port.

use std::{
    convert::Infallible,
    error::Error as _,
    fmt::Debug,
    io,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tower::{Service, ServiceExt};
use tower_oauth::{
    Error, OAuthLayer, RefreshReason, Token, TokenCache, TokenRequest, cache::Clock,
    token_endpoint::TokenEndpointBuilder,
};
use tracing_subscriber::fmt::MakeWriter;

pub(crate) const ID: &str = "the-client-id";
/// Its longest run of letters and digits is long enough to be told from ordinary words.
pub(crate) const SECRET: &str = "hunter2key/+ =";

/// What a request to the token endpoint looked like.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn content_type(&self) -> &str {
        self.headers.get("content-type").map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// Status, content type, body.
pub(crate) type Response = (u16, &'static str, String);

pub(crate) fn json(status: u16, body: impl Into<String>) -> Response {
    (status, "application/json", body.into())
}

/// The parameter's value if there is exactly one of it.
pub(crate) fn only<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = params.iter().filter(|(other, _)| other == name).map(|(_, value)| &**value);
    values.next().filter(|_| values.next().is_none())
}

/// Whether there are parameters of these names and no others.
pub(crate) fn names_are(params: &[(String, String)], names: &[&str]) -> bool {
    params.len() == names.len() && names.iter().all(|name| only(params, name).is_some())
}

/// A clock for the server and for the cache, which a test moves.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

type TokenEndpoint = dyn Fn(&Received, &str) -> Response + Send + Sync;

/// The server. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    base_url: String,
    clock: Hand,
    endpoint: Box<TokenEndpoint>,
    first_token: &'static str,
    lifetime: u64,
    /// Every token and when it was issued.
    issued: Mutex<Vec<(String, Duration)>>,
    requests: Mutex<Vec<Received>>,
    resource: Response,
}

impl Server {
    /// `endpoint` gets the request and the token to respond with, which the first time is the one
    /// of the page's sample, so that the response is the sample byte for byte. `expired` is what the
    /// resource says to a token that it does not accept.
    pub(crate) async fn start(
        first_token: &'static str,
        lifetime: u64,
        expired: Response,
        endpoint: impl Fn(&Received, &str) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::serve(first_token, lifetime, expired, endpoint, "http", |tcp| async { Ok(tcp) }).await
    }

    pub(crate) async fn serve<IO, Fut>(
        first_token: &'static str,
        lifetime: u64,
        expired: Response,
        endpoint: impl Fn(&Received, &str) -> Response + Send + Sync + 'static,
        scheme: &str,
        handshake: impl Fn(TcpStream) -> Fut + Clone + Send + 'static,
    ) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Fut: Future<Output = io::Result<IO>> + Send,
    {
        logs();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self(Arc::new(Inner {
            base_url: format!("{scheme}://{}", listener.local_addr().unwrap()),
            clock: Hand::default(),
            endpoint: Box::new(endpoint),
            first_token,
            lifetime,
            issued: Mutex::default(),
            requests: Mutex::default(),
            resource: expired,
        }));
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (server, handshake) = (accepting.clone(), handshake.clone());
                tokio::spawn(async move {
                    let Ok(io) = handshake(tcp).await else { return };
                    let service = hyper::service::service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.respond(request).await) }
                    });
                    let http = auto::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        server
    }

    async fn respond(&self, request: Request<Incoming>) -> http::Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = head.uri.query().unwrap_or_default();
        let received = Received {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let (status, content_type, body) = if received.path == "/resource" {
            self.resource(&received)
        } else {
            self.0.requests.lock().unwrap().push(received.clone());
            let mut issued = self.0.issued.lock().unwrap();
            let token = match issued.len() {
                0 => self.0.first_token.to_owned(),
                n => format!("{}{n}", self.0.first_token),
            };
            let response = (self.0.endpoint)(&received, &token);
            if response.0 == 200 {
                issued.push((token, self.0.clock.now()));
            }
            response
        };
        http::Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }

    fn resource(&self, received: &Received) -> Response {
        let issued = self.0.issued.lock().unwrap();
        let now = self.0.clock.now();
        let lifetime = Duration::from_secs(self.0.lifetime);
        let authorization = received.headers.get("authorization").cloned();
        let is_valid = |(token, at): &(String, Duration)| {
            authorization.as_ref().is_some_and(|sent| *sent == format!("Bearer {token}"))
                && now < *at + lifetime
        };
        match issued.iter().any(is_valid) {
            true => json(200, "{}"),
            false => self.0.resource.clone(),
        }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.0.base_url
    }

    pub(crate) fn clock(&self) -> Hand {
        self.0.clock.clone()
    }

    pub(crate) fn token_requests(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }

    pub(crate) fn last_request(&self) -> Received {
        self.0.requests.lock().unwrap().last().unwrap().clone()
    }

    /// A cache on the server's clock, with this much jitter of what there may be, from 0 to 1.
    pub(crate) fn cache(&self, builder: TokenEndpointBuilder, chance: f64) -> TokenCache {
        let fetcher = builder.base_url(self.base_url()).build().unwrap();
        TokenCache::builder(fetcher).clock(self.clock()).jitter_source(move || chance).build()
    }

    /// A client of the resource that gets its tokens from this cache.
    pub(crate) fn client(&self, tokens: &TokenCache) -> Resource {
        let http =
            Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
        let layer = OAuthLayer::with_source(tokens.clone()).origin(self.base_url()).unwrap();
        let url = format!("{}/resource", self.base_url());
        Resource { service: tower::Layer::layer(&layer, http), url }
    }
}

type Plain = Client<HttpConnector, Empty<Bytes>>;

pub(crate) struct Resource {
    service: tower_oauth::OAuthService<Plain, TokenCache>,
    url: String,
}

impl Resource {
    pub(crate) async fn get(&mut self) -> u16 {
        let request = Request::get(&self.url).body(Empty::new()).unwrap();
        let service = self.service.ready().await.unwrap();
        service.call(request).await.unwrap().status().as_u16()
    }
}

/// One fetch, over a client of the crate's own.
pub(crate) async fn fetch(builder: TokenEndpointBuilder) -> Result<Token, Error> {
    builder.build().unwrap().oneshot(TokenRequest::new(RefreshReason::Cold)).await
}

/// Looks for the secret in everything that can be printed: what is given, the error and its
/// sources, and every log line of the process so far.
pub(crate) fn leaks_nothing(error: Option<&Error>, shown: &[&dyn Debug]) {
    let mut all = String::from_utf8_lossy(&logs().lock().unwrap()).into_owned();
    assert!(all.contains("everything is logged"));
    for shown in shown {
        all += &format!("{shown:?}{shown:#?}");
    }
    if let Some(error) = error {
        all += &format!("{error}{error:?}{error:#?}");
        let mut next = error.source();
        while let Some(cause) = next {
            all += &format!("{cause}{cause:?}");
            next = cause.source();
        }
    }
    let form: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    for secret in [
        "hunter2",
        &STANDARD.encode(SECRET),
        &STANDARD.encode(format!("{ID}:{SECRET}")),
        &STANDARD.encode(format!("{ID}:{form}")),
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

type Log = Arc<Mutex<Vec<u8>>>;

/// Everything that was logged, at every level.
fn logs() -> &'static Log {
    static LOGS: LazyLock<Log> = LazyLock::new(|| {
        let log = Log::default();
        let _ = tracing::subscriber::set_global_default(
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(Lines(Arc::clone(&log)))
                .finish(),
        );
        tracing::trace!("everything is logged");
        log
    });
    &LOGS
}

#[derive(Clone)]
struct Lines(Log);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
