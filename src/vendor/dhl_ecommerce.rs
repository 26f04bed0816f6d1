//! DHL eCommerce Americas.

use std::time::Duration;

use super::base_url;
use crate::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, Secret, TokenEndpointBuilder, Value},
};

const SANDBOX: &str = "https://api-sandbox.dhlecs.com";

/// DHL eCommerce on the host that DHL gave you.
///
/// Give the production host, which DHL tells its customers when they go live, and the client id
/// (DHL also calls it the user name) and client secret that came with it. The sandbox, whose host
/// is public, is [`dhl_ecommerce_sandbox`]; it has other credentials.
///
#[doc = include_str!("dependencies.md")]
///
#[cfg_attr(feature = "client", doc = "```no_run")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// use http::Request;
/// use hyper_rustls::HttpsConnectorBuilder;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_oauth::{OAuthLayer, token_endpoint::Secret, vendor::dhl_ecommerce_sandbox};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let secret = Secret::env("DHL_CLIENT_SECRET");
///     let fetcher = dhl_ecommerce_sandbox("client-id", secret).build()?;
///     let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
///     let api = ServiceBuilder::new()
///         .layer(OAuthLayer::new(fetcher).origin("https://api-sandbox.dhlecs.com")?)
///         .service(Client::builder(TokioExecutor::new()).build(https));
///
///     let request = Request::get("https://api-sandbox.dhlecs.com/shipping/v4/manifest/PICKUP/REQUEST")
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
/// # Lifetime
///
/// An hour today; DHL will announce it if it falls below 30 minutes. DHL recommends a refresh every
/// 15 to 30 minutes: it happens after 18 to 20 minutes (20, minus a random jitter of up to 10 %), or
/// sooner if the lifetime shrinks.
///
/// # Errors
///
/// DHL's error responses are problem details (RFC 9457):
/// `{"type": "https://api-sandbox.dhlecs.com/docs/errors/400.0000005", "title": "Invalid credentials"}`.
///
/// | DHL says | here | what to do |
/// |---|---|---|
/// | `Invalid credentials` | [`Denied`](crate::ErrorKind::Denied) | check id and secret, and that they are for this host |
///
/// Resources respond to an expired token with "Access token expired"; the page does not say with which
/// status. If it is not 401, name it with [`rejected_when`](crate::OAuthLayer::rejected_when).
///
/// # From a configuration file
///
/// ```toml
#[doc = include_str!("dhl_ecommerce.toml")]
/// ```
///
#[doc = include_str!("from_a_file.md")]
pub fn dhl_ecommerce(
    host: impl AsRef<str>,
    client_id: impl Into<Value>,
    client_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    const CHECK: &str = "check client id and client secret, and that they are for this host: \
                         sandbox and production have different ones";
    TokenEndpoint::builder(format!("{}/auth/v4/accesstoken", base_url(host.as_ref())))
        .client_id(client_id)
        .client_secret(client_secret)
        .auth(ClientAuth::Body)
        .refresh_after(Duration::from_secs(20 * 60))
        .hint("400", CHECK)
        .hint("401", CHECK)
}

/// DHL eCommerce's sandbox; otherwise as [`dhl_ecommerce`].
pub fn dhl_ecommerce_sandbox(
    client_id: impl Into<Value>,
    client_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    dhl_ecommerce(SANDBOX, client_id, client_secret)
}
