//! How does an axum service call another API as itself? Needs no arguments and no network:
//! `cargo run --example axum`
//!
//! Its clients get 503 with `Retry-After` while it has no token, and `/readyz` says whether it has one.
//! That works for an idle service too, since `/readyz` asks for a token.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Request, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tower::{BoxError, Layer, ServiceExt};
use tower_oauth::{
    Error, OAuthLayer, OAuthService, TokenCache, TokenEndpoint, testing::AuthorizationServer,
};

type Http = Client<HttpConnector, Empty<Bytes>>;

/// `OAuthService` is `Clone`, `Send` and `Sync` if the client is.
#[derive(Clone)]
struct App {
    api: OAuthService<Http>,
    api_url: String,
    tokens: TokenCache,
}

/// Serves its clients with what the other API says.
async fn invoices(State(app): State<App>) -> Result<Response, Failure> {
    let request = Request::get(&app.api_url).body(Empty::new()).map_err(|e| Failure(e.into()))?;
    let response = app.api.oneshot(request).await.map_err(Failure)?;
    if response.status() == StatusCode::UNAUTHORIZED {
        // It is this service that is not known there, and not its client here.
        return Err(Failure("the other API rejects our token".into()));
    }
    Ok(response.map(axum::body::Body::new))
}

async fn ready(State(app): State<App>) -> StatusCode {
    match timeout(Duration::from_millis(500), app.tokens.token()).await {
        Ok(Ok(_)) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Why a client of ours gets nothing.
struct Failure(BoxError);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // Without a token it is not the client's fault, and may be over soon.
        eprintln!("{}", self.0);
        let Some(error) = Error::find(&*self.0) else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let seconds = error.retry_after().unwrap_or_default().as_secs() + 1;
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, seconds.into());
        (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The other API, with its token endpoint, which is down at first.
    let other = AuthorizationServer::new();
    let listener = other.listen().await?;
    other.down(true);

    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let fetcher = TokenEndpoint::builder(listener.uri("/token"))
        .client_id("client")
        .client_secret("secret")
        .build()?;
    let tokens = TokenCache::new(fetcher);
    let layer = OAuthLayer::with_source(tokens.clone()).origin(listener.uri(""))?;
    let app = App { api: layer.layer(http.clone()), api_url: listener.uri("/invoices"), tokens };
    let router = Router::new().route("/invoices", get(invoices)).route("/readyz", get(ready));
    let ours = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", ours.local_addr()?);
    tokio::spawn(async move { axum::serve(ours, router.with_state(app)).await });

    let ask =
        async |path: &str| http.get(format!("{url}{path}").parse()?).await.map_err(BoxError::from);
    let response = ask("/invoices").await?;
    let retry_after = response.headers().get(RETRY_AFTER).ok_or("there is no Retry-After")?;
    println!("without a token: {}, Retry-After: {retry_after:?}", response.status());
    let mut seen = vec![response.status(), ask("/readyz").await?.status()];
    println!("ready: {}", seen[1]);

    other.down(false);
    sleep(Duration::from_secs(1)).await;
    for path in ["/readyz", "/invoices"] {
        seen.push(ask(path).await?.status());
        println!("later, {path}: {}", seen[seen.len() - 1]);
    }
    other.revoke_all().down(true);
    seen.push(ask("/invoices").await?.status());
    println!("revoked, and no other to be had: {}", seen[seen.len() - 1]);
    let (down, up) = (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK);
    let expected = [down, down, up, up, StatusCode::BAD_GATEWAY];
    if seen == expected { Ok(()) } else { Err("that was not to be expected".into()) }
}
