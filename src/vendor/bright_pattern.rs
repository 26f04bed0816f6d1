//! Bright Pattern.

use super::base_url;
use crate::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, Secret, TokenEndpointBuilder, Value},
};

/// Bright Pattern's configuration API.
///
/// Give the host of your tenant, as in the browser's address bar, the login of one of its *users*,
/// and that user's API secret. It is not the password: find it in the user's settings in the Contact
/// Center Administrator. Tokens act for that user.
///
#[doc = include_str!("dependencies.md")]
///
#[cfg_attr(feature = "client", doc = "```no_run")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// use http::Request;
/// use hyper_rustls::HttpsConnectorBuilder;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_oauth::{OAuthLayer, token_endpoint::Secret, vendor::bright_pattern};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let secret = Secret::env("BRIGHT_PATTERN_API_SECRET");
///     let fetcher = bright_pattern("tenant.example.com", "sheila.thomas", secret).build()?;
///     let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
///     let api = ServiceBuilder::new()
///         .layer(OAuthLayer::new(fetcher).origin("https://tenant.example.com")?)
///         .service(Client::builder(TokioExecutor::new()).build(https));
///
///     let request = Request::get("https://tenant.example.com/data")
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
/// The host is also the scope, with the port if you give one. If your tenant has another name, set it
/// with [`scope`](TokenEndpointBuilder::scope).
///
/// # Lifetime
///
/// An hour, as a string (`"3599"`). The documentation's own sample has a trailing comma after it,
/// which JSON does not allow; both are read.
///
/// # Errors
///
/// The page describes none, so they are read as RFC 6749 §5.2 defines them. Wrong credentials are
/// [`Denied`](crate::ErrorKind::Denied). Resources respond to an expired token with 401, as RFC 6750
/// says.
///
/// # From a configuration file
///
/// ```toml
#[doc = include_str!("bright_pattern.toml")]
/// ```
///
#[doc = include_str!("from_a_file.md")]
pub fn bright_pattern(
    host: impl AsRef<str>,
    login: impl Into<Value>,
    api_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    let base = base_url(host.as_ref());
    let tenant = base.split_once("://").map_or(&*base, |(_, host)| host);
    TokenEndpoint::builder(format!("{base}/configapi/v2/oauth/token"))
        .client_id(login)
        .client_secret(api_secret)
        .scope(tenant)
        .auth(ClientAuth::Body)
        .hint("invalid_client", "check the user's login and API secret, which is not the password")
        .hint("invalid_scope", "check the scope: it is the tenant's host")
        .inherited()
}
