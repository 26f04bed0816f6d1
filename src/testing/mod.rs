//! An authorization server to test against, in this process and without a network.
//!
//! [`AuthorizationServer`] gives out tokens at `/token` and is, everywhere else, the resource that
//! asks for them. It is a tower service; [`listen`](AuthorizationServer::listen) also puts it on a
//! loopback port for clients that want a socket. It checks what it is sent as strictly as the RFCs
//! allow, counts it, and can be told to be late, to be down, to respond with something else, and to
//! forget tokens before their time.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower::BoxError;
//! use tower_oauth::{OAuthLayer, testing::AuthorizationServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let server = AuthorizationServer::new();
//! let client = ServiceBuilder::new()
//!     .layer(OAuthLayer::new(server.fetcher()).origin("https://api.test")?)
//!     .service(server.clone());
//! let get = || {
//!     let request = Request::get("https://api.test/orders").body(Empty::<Bytes>::new());
//!     client.clone().oneshot(request.expect("a good request"))
//! };
//!
//! assert_eq!(get().await?.status(), StatusCode::OK);
//!
//! // The token is revoked before its time: it is refreshed, and the request is sent again.
//! server.revoke_all();
//! assert_eq!(get().await?.status(), StatusCode::OK);
//!
//! // The token endpoint is down, which is nobody's business while there is a token.
//! server.down(true);
//! assert_eq!(get().await?.status(), StatusCode::OK);
//!
//! assert_eq!((server.token_requests(), server.resource_requests()), (2, 4));
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//!
//! Tokens expire, and delays pass, on tokio's clock, so that both follow `tokio::time::pause`.
//! Give the cache a [`TokioClock`] and it does the same. Under paused time use the server as a
//! service: tokio skips ahead whenever only a socket is waited for.
//!
//! This is no server for production: it keeps secrets as they come and compares them as they are.

mod body;
mod clock;
mod endpoint;
mod fetcher;
mod issuer;
mod listener;
mod resource;
mod response_template;
mod server;
mod service;
mod state;
mod token_endpoint;

pub use body::Body;
pub use clock::TokioClock;
pub use endpoint::Endpoint;
pub use fetcher::Fetcher;
pub use listener::Listener;
pub use response_template::ResponseTemplate;
pub use server::AuthorizationServer;
