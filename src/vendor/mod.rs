//! Ready-made settings for token APIs that differ from the textbook.
//!
//! Each function returns the ordinary
//! [`TokenEndpointBuilder`](crate::token_endpoint::TokenEndpointBuilder), set to what the API's own
//! documentation asks for. Its page has a whole program that calls the API, the errors to expect, and
//! the same settings as a configuration file.
//!
//! Every setting can still be changed. The first call of
//! [`scope`](crate::token_endpoint::TokenEndpointBuilder::scope) replaces the scope, and
//! [`base_url`](crate::token_endpoint::TokenEndpointBuilder::base_url) names another host, such as a
//! test's.
//!
//! A host is given as `host` or `host:port`, with or without a scheme. A path or a query after it is
//! ignored.
//!
//! # Tests
//!
//! `testing::AuthorizationServer` speaks the textbook, and refuses what these APIs do otherwise, such as
//! DQE's request without a `grant_type`. A service in the place of the HTTP client sees the very request,
//! and responds as the API does:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, service_fn};
//! use tower_oauth::{TokenCache, vendor::dqe};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let api = service_fn(|request: Request<Full<Bytes>>| async {
//!     assert_eq!(request.uri(), "https://server.example.com/oauth/access_token/");
//!     let body = request.into_body().collect().await?.to_bytes();
//!     assert_eq!(body, "scope=client_address&client_id=LICENCE&client_secret=passphrase");
//!     let response = r#"{"access_token": "abc", "token_type": "Bearer", "expires_in": "300"}"#;
//!     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(response)))
//! });
//! let fetcher = dqe("server.example.com", "LICENCE", "passphrase", "client_address").build_with(api)?;
//! assert_eq!(TokenCache::new(fetcher).token().await?.expose_secret(), "abc");
//! # Ok(())
//! # }
//! ```

mod bright_pattern;
mod dell_techdirect;
mod dhl_ecommerce;
mod dqe;
mod manageengine_ddi_central;

pub use bright_pattern::bright_pattern;
pub use dell_techdirect::{dell_techdirect, dell_techdirect_sandbox};
pub use dhl_ecommerce::{dhl_ecommerce, dhl_ecommerce_sandbox};
pub use dqe::{dqe, dqe_get};
pub use manageengine_ddi_central::manageengine_ddi_central;

use crate::token_endpoint::split;

/// The base URL of a host that may come with a scheme.
fn base_url(host: &str) -> String {
    // An address bar's text has a path.
    let (host, _path) = split(host.trim());
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}
