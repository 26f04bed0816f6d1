//! DQE Software.

use http::Method;

use super::base_url;
use crate::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, Secret, TokenEndpointBuilder, Value},
};

/// DQE, by `POST`.
///
/// Give the address of the DQE server that was assigned to you, your licence code, the secret (DQE
/// calls it a passphrase), and the scope: what you want to use, for example `client_address`. DQE
/// Software gives you all four; your contract says which scopes the licence covers.
///
#[doc = include_str!("dependencies.md")]
///
#[cfg_attr(feature = "client", doc = "```no_run")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// use http::Request;
/// use hyper_rustls::HttpsConnectorBuilder;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_oauth::{OAuthLayer, token_endpoint::Secret, vendor::dqe};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let secret = Secret::env("DQE_CLIENT_SECRET");
///     let fetcher = dqe("server.example.com", "LICENCE", secret, "client_address").build()?;
///     let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
///     let api = ServiceBuilder::new()
///         .layer(OAuthLayer::new(fetcher).origin("https://server.example.com")?)
///         .service(Client::builder(TokioExecutor::new()).build(https));
///
///     let request = Request::get("https://server.example.com/the/call/you/want")
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
/// Five minutes, as a string (`"300"`). The response also has a refresh token, which is ignored: the
/// next token costs one request with or without it.
///
/// # Errors
///
/// All but the last are [`Denied`](crate::ErrorKind::Denied).
///
/// | what was wrong | DQE says | [`oauth_code`](crate::Error::oauth_code) |
/// |---|---|---|
/// | missing `client_id` parameter | `400 Error (Invalid Request)` | `invalid_request` |
/// | empty `client_id` parameter | `400 Error (Invalid Request)` | `invalid_request` |
/// | incorrect `client_id` (expired, out of scope, or nonexistent) | `400 Error (Invalid Client)` | `invalid_client` |
/// | `client_id` does not authorize the requested scope | `400 Error (Unauthorized Client)` | `unauthorized_client` |
/// | unknown `scope` parameter value | `400 Error (Unsupported Grant Type)` | `unsupported_grant_type` |
/// | missing or empty `client_secret` parameter | `400 Error (Invalid Request)` | `invalid_request` |
/// | missing or empty `scope` parameter | `400 Error (Invalid Request)` | `invalid_request` |
/// | parameter typo | `500 Error` | none; [`Unavailable`](crate::ErrorKind::Unavailable) |
///
/// DQE's table has no row for a wrong secret; expect the one for a wrong client.
///
/// The last row is why no `grant_type` is sent, and why an extra
/// [`param`](TokenEndpointBuilder::param) breaks it.
///
/// # From a configuration file
///
/// ```toml
#[doc = include_str!("dqe.toml")]
/// ```
///
#[doc = include_str!("from_a_file.md")]
pub fn dqe(
    server: impl AsRef<str>,
    licence_code: impl Into<Value>,
    client_secret: impl Into<Secret>,
    scope: impl Into<String>,
) -> TokenEndpointBuilder {
    TokenEndpoint::builder(format!("{}/oauth/access_token/", base_url(server.as_ref())))
        .client_id(licence_code)
        .client_secret(client_secret)
        .scope(scope)
        .auth(ClientAuth::Body)
        .no_grant_type()
        .hint("invalid_request", "check that licence code, secret and scope are not empty")
        .hint(
            "invalid_client",
            "check the licence code, which may be wrong, expired or out of scope, and the secret",
        )
        .hint("unauthorized_client", "check that the licence covers the scope")
        .hint("unsupported_grant_type", "check the scope: this is what DQE calls an unknown one")
        .hint("500", "check the names of the parameters: this is how DQE responds to unknown ones")
        .inherited()
}

/// DQE, by `GET`, which puts the secret in the URL, and so in the logs of every server and proxy on
/// the way. Prefer [`dqe`], which is otherwise the same.
pub fn dqe_get(
    server: impl AsRef<str>,
    licence_code: impl Into<Value>,
    client_secret: impl Into<Secret>,
    scope: impl Into<String>,
) -> TokenEndpointBuilder {
    dqe(server, licence_code, client_secret, scope).method(Method::GET)
}
