//! How do reqwest's requests get a token? Needs no arguments and no network:
//! `cargo run --example reqwest`
//!
//! reqwest's client is a tower service, but of requests of its own type. Two lines below the layer make it
//! one of `http::Request`, and two above it give back reqwest's own types. The token request goes over the
//! same client.

use http::StatusCode;
use reqwest::{Client, Method, Request, Response, Url};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_oauth::{
    Error, OAuthLayer, TokenEndpoint,
    replay::{Buffered, BufferedBody},
    testing::AuthorizationServer,
};

/// A client whose requests all leave with a token, in reqwest's own types.
type Api = BoxCloneSyncService<Request, Response, BoxError>;

/// reqwest's client as a service of `http::Request`.
fn http(
    client: Client,
) -> impl Service<
    http::Request<reqwest::Body>,
    Response = http::Response<reqwest::Body>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    ServiceBuilder::new()
        .map_response(http::Response::<reqwest::Body>::from)
        .filter(|request: http::Request<reqwest::Body>| Request::try_from(request))
        .service(client)
}

fn api(client: Client, token_url: String, origin: &str) -> Result<Api, Error> {
    let fetcher = TokenEndpoint::builder(token_url)
        .client_id("client")
        .client_secret("secret")
        .build_with(http(client.clone()))?;
    // A POST is sent again too, if its body is not longer than this.
    let layer = OAuthLayer::new(fetcher).origin(origin)?.replay(Buffered::new(64 * 1024));
    let api = ServiceBuilder::new()
        .map_response(Response::from)
        .filter(|request: Request| http::Request::<reqwest::Body>::try_from(request))
        .layer(layer)
        .map_request(|request: http::Request<BufferedBody<reqwest::Body>>| {
            request.map(reqwest::Body::wrap)
        })
        .service(http(client));
    Ok(BoxCloneSyncService::new(api))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // It has a token endpoint and an API on one port.
    let server = AuthorizationServer::new();
    let listener = server.listen().await?;
    // Redirects are the layer's business: reqwest would take the token along within a host.
    let client =
        Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
    let mut api = api(client, listener.uri("/token"), &listener.uri(""))?;

    let mut post = Request::new(Method::POST, Url::parse(&listener.uri("/invoices"))?);
    *post.body_mut() = Some("an invoice".into());
    let response = api.ready().await?.call(post).await?;
    println!("POST: {}", response.status());

    server.revoke_all();
    let mut post = Request::new(Method::POST, Url::parse(&listener.uri("/invoices"))?);
    *post.body_mut() = Some("another invoice".into());
    let response = api.ready().await?.call(post).await?;
    let sent = server.resource_requests();
    println!("POST with a token that is revoked: {}, sent {} times", response.status(), sent - 1);

    let is_well = response.status() == StatusCode::OK && sent == 3 && server.token_requests() == 2;
    if is_well {
        Ok(())
    } else {
        Err("the second POST was not sent again with another token".into())
    }
}
