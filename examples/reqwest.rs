//! How do reqwest's requests get a token? Needs no arguments and no network:
//! `cargo run --example reqwest`
//!
//! reqwest's client is a tower service, but takes requests of its own type. What is below the layer
//! adapts it to `http::Request`, and two lines above the layer restore reqwest's own types. The token
//! request uses the same client.
//!
//! reqwest's own timeouts apply to one attempt: for a limit on the whole call, including the wait for a
//! token and the replay, put tower's `timeout` above the layer.

use http::StatusCode;
use reqwest::{Client, Method, Request, Response, ResponseBuilderExt, Url};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_oauth::{
    Error, OAuthLayer, TokenEndpoint,
    replay::{Buffered, BufferedBody},
    testing::AuthorizationServer,
};

/// A client whose requests all leave with a token, in reqwest's own types.
type Api = BoxCloneSyncService<Request, Response, BoxError>;

/// reqwest's client as a service of `http::Request`. The response keeps its URL, which errors name.
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
        .map_response(|response: Response| {
            let url = http::Response::builder().url(response.url().clone()).body(());
            let mut response = http::Response::<reqwest::Body>::from(response);
            let extensions = url.into_iter().map(|it| it.into_parts().0.extensions);
            extensions.for_each(|url| response.extensions_mut().extend(url));
            response
        })
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
    // A client that follows redirects would take the token to wherever they lead, if it is in a header
    // of another name than `Authorization`, and a token request with its secret too (307, 308).
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
    let (url, sent) = (response.url().clone(), server.resource_requests());
    println!("POST with a token that is revoked: {}, sent {} times", response.status(), sent - 1);

    let is_well = response.status() == StatusCode::OK && sent == 3 && server.token_requests() == 2;
    if is_well && url.path() == "/invoices" {
        Ok(())
    } else {
        Err("the second POST was not sent again with another token".into())
    }
}
