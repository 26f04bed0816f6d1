//! What an `OAuthLayer` does for a client, in numbers. Needs no arguments and no network, and takes
//! about 15 seconds: `cargo run --example quickstart`
//!
//! With `TOKEN_URL`, `CLIENT_ID`, `CLIENT_SECRET` and, if needed, `SCOPE` in the environment it runs
//! only the cold start of part 1, with that authorization server. Its thousand requests go to
//! `API_URL`, or if that is not set, to a stand-in on this machine.
//!
//! The last line counts the requests that failed and should not have. The exit status is zero if there
//! were none.

use std::{
    collections::BTreeSet,
    env, fmt,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, uri::Scheme};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{task::JoinSet, time::sleep};
use tower::BoxError;
use tower::{ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, util::BoxCloneService};
use tower_oauth::{
    Error, FetchToken, OAuthLayer, OAuthService, TokenCache, TokenEndpoint, TokenRequest,
    testing::{AuthorizationServer, ResponseTemplate},
};

/// How long the token endpoint takes to respond.
const DELAY: Duration = Duration::from_millis(300);

/// How many connections are open at most: on some systems the limit of open files is 256.
const CONNECTIONS: usize = 50;

/// An HTTP client whose requests all leave with a token, as a type that a struct can name.
type Client = OAuthService<ConcurrencyLimit<Http>, TokenCache>;
type Http = BoxCloneService<Request<Empty<Bytes>>, Response<Incoming>, legacy::Error>;

struct Api {
    uri: Uri,
    tokens: TokenCache,
    client: Client,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match env::var("TOKEN_URL") {
        Ok(token_url) => with_real_server(token_url).await,
        Err(_) => with_embedded_server().await,
    };
    let tally = result.unwrap_or_else(|error| {
        println!("It could not start: {error}");
        Tally { unexpected_failures: 1, ..Tally::default() }
    });
    let Tally { requests, token_requests, unexpected_failures: failures } = tally;
    println!();
    println!("requests={requests} token_requests={token_requests} unexpected_failures={failures}");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn with_embedded_server() -> Result<Tally, BoxError> {
    let server = AuthorizationServer::new();
    server.token_endpoint().delay(DELAY);
    let listening = server.listen().await?;
    println!("A resource, and an authorization server for it: {}", listening.uri("/"));
    let uri: Uri = listening.uri("/hello").parse()?;
    let fetcher = TokenEndpoint::builder(listening.uri("/token"))
        .client_id("client")
        .client_secret("secret")
        .build()?;

    let mut tally = Tally::default();
    cold_start(&mut tally, &Api::new(fetcher.clone(), &uri)?).await;
    println!("   Token requests: {}, of {DELAY:?}.", server.token_requests());

    // From here on tokens live for so short a time that one can watch them.
    server.lifetime(Duration::from_secs(4));
    refreshes(&mut tally, &server, &Api::new(fetcher.clone(), &uri)?).await;
    outage(&mut tally, &server, &Api::new(fetcher, &uri)?).await?;

    let rejected = server.rejected_requests();
    println!("\nRequests with a token that was no longer valid: {rejected}.");
    tally.token_requests = server.token_requests();
    Ok(tally)
}

/// hyper's client. Without TLS it does not need the platform's certificates.
fn http(uri: &Uri) -> Result<Http, BoxError> {
    let client = legacy::Client::builder(TokioExecutor::new());
    if uri.scheme() == Some(&Scheme::HTTP) {
        return Ok(client.build_http().boxed_clone());
    }
    let tls = HttpsConnectorBuilder::new().try_with_platform_verifier()?.https_only();
    Ok(client.build(tls.enable_all_versions().build()).boxed_clone())
}

/// Part 1: everybody needs a token, and there is none.
async fn cold_start(tally: &mut Tally, api: &Api) {
    println!("\n1. A thousand requests at once, and no token yet.");
    let herd = api.at_once(1000).await;
    println!("   {herd}.");
    tally.must_succeed(herd);
}

/// Part 2: a token is refreshed while it can still be used, so that nobody waits for the next one.
async fn refreshes(tally: &mut Tally, server: &AuthorizationServer, api: &Api) {
    println!("\n2. Tokens that live 4 s, and requests for 8 s.");
    tally.must_succeed(api.at_once(1).await); // waits for the first token
    let (start, before) = (Instant::now(), server.token_requests());
    let mut all = Herd::default();
    while start.elapsed() < Duration::from_secs(8) {
        all.join(api.at_once(20).await);
        sleep(Duration::from_millis(10)).await;
    }
    println!("   {all}.");
    let refreshes = server.token_requests() - before;
    let who = if all.slowest < DELAY { "nobody" } else { "somebody" };
    println!("   Token requests: {refreshes}, of {DELAY:?} each; {who} waited for one.");
    tally.must_succeed(all);
}

/// Part 3: the token endpoint is down for longer than a token lives.
async fn outage(tally: &mut Tally, server: &AuthorizationServer, api: &Api) -> Result<(), Error> {
    println!("\n3. The token endpoint goes down right after it issued a token.");
    api.tokens.warm_up().await?;
    let before = server.down(true).token_requests();
    let is_usable = || api.tokens.status().usable_for.is_some_and(|left| !left.is_zero());
    let mut all = Herd::default();
    while is_usable() {
        let herd = api.at_once(20).await;
        if !is_usable() {
            // It expired while these were in progress, so that some of them may fail.
            tally.requests += herd.requests;
            break;
        }
        all.join(herd);
        sleep(Duration::from_millis(10)).await;
    }
    println!("   As long as the token can be used: {all}.");
    println!("   Token requests: {}, which failed.", server.token_requests() - before);
    tally.must_succeed(all);

    let before = server.token_requests();
    let herd = api.at_once(1000).await;
    println!("   After that: {herd}.");
    println!("   Token requests: {}.", server.token_requests() - before);
    // Each ends with the time until the next attempt, which counts down.
    let errors: BTreeSet<_> = herd.failures.iter().map(|error| error.split(';').next()).collect();
    println!("   Different errors among them: {}. All share it:", errors.len());
    println!("   \"{}\"", herd.failures.first().map_or("none", String::as_str));
    tally.requests += herd.requests;

    server.down(false);
    let start = Instant::now();
    let mut herd = api.at_once(1).await;
    while !herd.failures.is_empty() && start.elapsed() < Duration::from_secs(10) {
        tally.requests += herd.requests;
        sleep(Duration::from_millis(20)).await;
        herd = api.at_once(1).await;
    }
    println!("   The endpoint is up again; {:.1?} later requests succeed.", start.elapsed());
    tally.must_succeed(herd);
    Ok(())
}

/// Part 1 with an authorization server of your own.
async fn with_real_server(token_url: String) -> Result<Tally, BoxError> {
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let mut fetcher = TokenEndpoint::builder(token_url)
        .client_id(variable("CLIENT_ID")?)
        .client_secret(variable("CLIENT_SECRET")?);
    if let Ok(scope) = env::var("SCOPE") {
        fetcher = fetcher.scope(scope);
    }
    // A fetcher is a tower service, and takes layers like any other.
    static TOKEN_REQUESTS: AtomicU64 = AtomicU64::new(0);
    let counted = fetcher.build()?.map_request(|request: TokenRequest| {
        TOKEN_REQUESTS.fetch_add(1, Ordering::Relaxed);
        request
    });

    let stand_in = AuthorizationServer::new();
    stand_in.resource().always(ResponseTemplate::status(StatusCode::OK));
    let listening = stand_in.listen().await?;
    let uri = env::var("API_URL").unwrap_or_else(|_| listening.uri("/"));
    let uri: Uri = uri.parse().map_err(|error| format!("API_URL: {error}"))?;

    let mut tally = Tally::default();
    cold_start(&mut tally, &Api::new(counted, &uri)?).await;
    tally.token_requests = TOKEN_REQUESTS.load(Ordering::Relaxed);
    println!("   Token requests: {}.", tally.token_requests);
    Ok(tally)
}

impl Api {
    /// Around an HTTP client: the layer that puts in the token, with a cache of its own.
    fn new(fetcher: impl FetchToken, uri: &Uri) -> Result<Self, BoxError> {
        let scheme = uri.scheme_str().ok_or("the URL has no scheme")?;
        let authority = uri.authority().ok_or("the URL has no host")?;
        let tokens = TokenCache::builder(fetcher).build();
        let layer = OAuthLayer::with_source(tokens.clone());
        let client = ServiceBuilder::new()
            .layer(layer.origin(format!("{scheme}://{authority}"))?)
            .concurrency_limit(CONNECTIONS)
            .service(http(uri)?);
        Ok(Self { uri: uri.clone(), tokens, client })
    }

    /// Sends this many requests at the same time, and waits for all responses.
    async fn at_once(&self, requests: usize) -> Herd {
        let mut running = JoinSet::new();
        for _ in 0..requests {
            let (client, mut request) = (self.client.clone(), Request::new(Empty::new()));
            *request.uri_mut() = self.uri.clone();
            running.spawn(async move {
                let start = Instant::now();
                (send(client, request).await, start.elapsed())
            });
        }
        let mut herd = Herd { requests, ..Herd::default() };
        for (result, took) in running.join_all().await {
            herd.slowest = herd.slowest.max(took);
            herd.failures.extend(result.err().map(|error| error.to_string()));
        }
        herd
    }
}

/// Sends one request. A rejected token is a failure too.
async fn send(client: Client, request: Request<Empty<Bytes>>) -> Result<(), BoxError> {
    let response = client.oneshot(request).await?;
    let status = response.status();
    response.into_body().collect().await?; // so that the connection can be used again
    if status == StatusCode::UNAUTHORIZED { Err(status.to_string().into()) } else { Ok(()) }
}

/// What became of some requests.
#[derive(Default)]
struct Herd {
    requests: usize,
    slowest: Duration,
    failures: Vec<String>,
}

impl Herd {
    fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.slowest = self.slowest.max(other.slowest);
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Herd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, slowest, failures } = self;
        write!(f, "{requests} requests, {} failed, the slowest took {slowest:.0?}", failures.len())
    }
}

/// The numbers of the last line.
#[derive(Default)]
struct Tally {
    requests: usize,
    token_requests: u64,
    unexpected_failures: usize,
}

impl Tally {
    fn must_succeed(&mut self, herd: Herd) {
        self.requests += herd.requests;
        self.unexpected_failures += herd.failures.len();
        // To find out why, one must see one of them.
        if let Some(failure) = herd.failures.first() {
            println!("   UNEXPECTED: {failure}");
        }
    }
}
