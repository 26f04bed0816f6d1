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
/// ```no_run
/// # #[cfg(feature = "client-no-provider")]
/// # async fn example() -> Result<(), tower_oauth::Error> {
/// use tower_oauth::{TokenCache, vendor::bright_pattern};
///
/// let fetcher = bright_pattern("tenant.example.com", "sheila.thomas", "qkDwDJlD").build()?;
/// let token = TokenCache::builder(fetcher).build().token().await?;
/// # Ok(())
/// # }
/// ```
///
/// `build` needs the feature `client`: `cargo add tower-oauth --features client`. Without it, pass an
/// HTTP client of your own to [`build_with`](TokenEndpointBuilder::build_with).
///
/// The host, without a port, is also the scope. If your tenant has another name, set it with
/// [`scope`](TokenEndpointBuilder::scope).
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
/// As a configuration file:
///
/// ```toml
#[doc = include_str!("bright_pattern.toml")]
/// ```
pub fn bright_pattern(
    host: impl AsRef<str>,
    login: impl Into<Value>,
    api_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    let base = base_url(host.as_ref());
    let tenant = base.split_once("://").map_or(&*base, |(_, host)| host);
    // A tenant is known by its name, whatever port it is reached at.
    let tenant = tenant
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(tenant, |(host, _port)| host);
    TokenEndpoint::builder(format!("{base}/configapi/v2/oauth/token"))
        .client_id(login)
        .client_secret(api_secret)
        .scope(tenant)
        .auth(ClientAuth::Body)
        .hint("invalid_client", "check the user's login and API secret, which is not the password")
        .hint("invalid_scope", "check the scope: it is the tenant's host")
        .inherited()
}
