//! Dell `TechDirect`.

use std::time::Duration;

use crate::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, Secret, TokenEndpointBuilder, Value},
};

const PRODUCTION: &str = "https://apigtwb2c.us.dell.com/auth/oauth/v2/token";
const SANDBOX: &str = "https://apigtwb2cnp.us.dell.com/auth/oauth/v2/token";

/// Dell `TechDirect` in production.
///
/// Take the Client ID (Dell also calls it the API key) and the Client Secret from the API page of the
/// [TechDirect portal](https://techdirect.dell.com), where they appear once the TechDirect API team
/// has granted access.
///
#[doc = include_str!("dependencies.md")]
///
#[cfg_attr(feature = "client", doc = "```no_run")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// use http::Request;
/// use hyper_rustls::HttpsConnectorBuilder;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_oauth::{OAuthLayer, token_endpoint::Secret, vendor::dell_techdirect};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let secret = Secret::env("DELL_CLIENT_SECRET");
///     let fetcher = dell_techdirect("l7xx0123456789abcdef", secret).build()?;
///     let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
///     let api = ServiceBuilder::new()
///         .layer(OAuthLayer::new(fetcher).origin("https://apigtwb2c.us.dell.com")?)
///         .service(Client::builder(TokioExecutor::new()).build(https));
///
///     let request = Request::get("https://apigtwb2c.us.dell.com/PROD/sbil/eapi/v5/asset-entitlements?servicetags=ABC1234")
///         .body(String::new())?;
///     match api.oneshot(request).await {
///         Ok(response) => println!("{}", response.status()),
///         Err(error) => eprintln!("{error}"),
///     }
///     Ok(())
/// }
/// ```
///
/// [The front page](crate#features) lists the other features that `build` works with.
/// [`build_with`](TokenEndpointBuilder::build_with) needs none of them.
///
/// The Warranty API has no sandbox: use production. Self-Dispatch, Technical Support Requests and the
/// two case searches have one: [`dell_techdirect_sandbox`].
///
/// # Where the secret goes
///
/// Dell's page shows tools, not requests, so it does not say where the secret goes. It is sent in the
/// form; `.auth(ClientAuth::Basic)` sends it in the header.
///
/// # Lifetime
///
/// An hour. Dell asks that one token be used for all calls of that hour, so it is refreshed as late
/// as is safe: after 55 minutes, minus a random jitter of up to 10 %.
///
/// # Errors
///
/// | status | Dell says | here | Dell's solution |
/// |---|---|---|---|
/// | 400 | Missing/Invalid OAuth2.0 token request parameters; Refresh token expired; Invalid request to backend service (B2B, Core Gateway) | [`Denied`](crate::ErrorKind::Denied) | use correct Client ID & Client Secret and OAuth2.0 endpoint/URL; email to `APIs_TechDirect@Dell.com` |
/// | 401 | Invalid authentication type | [`Denied`](crate::ErrorKind::Denied) | use only OAuth2.0 as Authorization |
/// | 500 | Internal Server Error | [`Unavailable`](crate::ErrorKind::Unavailable) | try again later, which happens by itself; email to `APIs_TechDirect@Dell.com` |
///
/// Resources respond to an expired token with "Invalid Authentication"; the page does not say with
/// which status. If it is not 401, name it with [`rejected_when`](crate::OAuthLayer::rejected_when).
///
/// # From a configuration file
///
/// ```toml
#[doc = include_str!("dell_techdirect.toml")]
/// ```
///
#[doc = include_str!("from_a_file.md")]
pub fn dell_techdirect(
    client_id: impl Into<Value>,
    client_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    TokenEndpoint::builder(PRODUCTION)
        .client_id(client_id)
        .client_secret(client_secret)
        .auth(ClientAuth::Body)
        .refresh_after(Duration::from_secs(55 * 60))
        .hint(
            "400",
            "check Client ID, Client Secret and the endpoint (production or sandbox), or \
             write to APIs_TechDirect@Dell.com",
        )
        .hint("401", "check where the secret is sent (`auth`): in the body or as Basic")
        .hint("500", "if it persists, write to APIs_TechDirect@Dell.com")
}

/// Dell `TechDirect`'s sandbox; otherwise as [`dell_techdirect`].
pub fn dell_techdirect_sandbox(
    client_id: impl Into<Value>,
    client_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    dell_techdirect(client_id, client_secret).url(SANDBOX)
}
