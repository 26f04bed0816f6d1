//! How do you write a fetcher of your own, and what do tower's layers do around it? Needs no arguments
//! and no network: `cargo run --example custom_fetcher`
//!
//! The fetcher reads a token file that something else writes, such as a projected token. Around it are a
//! counter, a limit, retries with back-off, and a timeout for each attempt. The cache's own timeout is
//! around all of them.

use std::{
    env, fs, io,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::Request;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    retry::Policy,
    retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff},
    util::rng::HasherRng,
};
use tower_oauth::{
    OAuthLayer, Token, TokenCache, TokenRequest, fetch_fn, testing::AuthorizationServer,
};

/// A token file. The closure captures the path; each fetch takes a clone of it.
fn token_file(
    path: PathBuf,
) -> impl Service<TokenRequest, Response = Token, Error = BoxError, Future: Send> + Clone + Send {
    fetch_fn(move |_request| {
        let path = path.clone();
        async move {
            let secret = tokio::task::spawn_blocking(move || fs::read_to_string(path)).await??;
            // It says nothing of its lifetime. It is read again each minute.
            Ok::<_, BoxError>(Token::bearer(secret.trim()).with_lifetime(Duration::from_secs(75)))
        }
    })
}

/// Tries a few times more, later and later.
#[derive(Clone)]
struct Retries {
    left: u32,
    back_off: ExponentialBackoff,
}

impl Policy<TokenRequest, Token, BoxError> for Retries {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _request: &mut TokenRequest,
        result: &mut Result<Token, BoxError>,
    ) -> Option<Self::Future> {
        let error = result.as_ref().err()?;
        self.left = self.left.checked_sub(1)?;
        println!("   ({error}; {} more attempts)", self.left + 1);
        Some(self.back_off.next_backoff())
    }

    fn clone_request(&mut self, request: &TokenRequest) -> Option<TokenRequest> {
        Some(request.clone())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    let path = env::temp_dir().join(format!("tower-oauth-{}.token", process::id()));

    let fetches = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&fetches);
    let (first, last) = (Duration::from_millis(100), Duration::from_secs(1));
    let back_off = ExponentialBackoffMaker::new(first, last, 0.5, HasherRng::new())?.make_backoff();
    let fetcher = ServiceBuilder::new()
        // Seen from up here a fetch is one call, however often it is tried.
        .map_request(move |request: TokenRequest| {
            counted.fetch_add(1, Ordering::Relaxed);
            println!("   (a token is needed: {:?})", request.reason);
            request
        })
        .concurrency_limit(1)
        .retry(Retries { left: 5, back_off })
        .timeout(Duration::from_secs(5))
        .service(token_file(path.clone()));
    let tokens = TokenCache::new(fetcher);
    let api = OAuthLayer::with_source(tokens.clone()).layer(server.clone());
    let send = async || -> Result<_, BoxError> {
        let request = Request::get("https://api.example.com/")
            .body(http_body_util::Empty::<bytes::Bytes>::new())?;
        Ok(api.clone().oneshot(request).await?.status())
    };

    println!("The file comes a little late:");
    let (status, written) = tokio::join!(send(), async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let token = server.issue();
        fs::write(&path, token.expose_secret()).map(|()| token)
    });
    println!("   {}, {} fetch", status?, fetches.load(Ordering::Relaxed));

    println!("Another token is in the file, and the old one is revoked:");
    fs::write(&path, format!("{}\n", server.issue().expose_secret()))?;
    server.revoke(written?.expose_secret());
    let status = send().await?;
    fs::remove_file(&path)?;
    let fetches = fetches.load(Ordering::Relaxed);
    println!("   {status}, {fetches} fetches");
    let is_well = status.is_success() && fetches == 2;
    if is_well { Ok(()) } else { Err(io::Error::other("two fetches should have sufficed").into()) }
}
