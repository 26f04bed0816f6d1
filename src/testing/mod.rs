//! An authorization server to test against, in this process and without a network.
//!
//! [`AuthorizationServer`] gives out tokens at `/token` and is, everywhere else, the resource that
//! asks for them. It is a tower service; [`listen`](AuthorizationServer::listen) also puts it on a
//! loopback port for clients that want a socket. It checks what it is sent as strictly as the RFCs
//! allow, counts it, and can be told to be late, to be down, to answer something else, and to
//! forget tokens before their time.
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, StatusCode};
//! use http_body_util::Empty;
//! use tower::ServiceExt;
//! use tower_oauth::testing::{Answer, AuthorizationServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_oauth::BoxError> {
//! let server = AuthorizationServer::new();
//! server.lifetime(Duration::from_secs(60)).client("my-id", "my-secret");
//! server.token_endpoint().next(Answer::status(StatusCode::SERVICE_UNAVAILABLE));
//!
//! // A resource that wants a token, and a fetcher that gets one.
//! let bare = Request::get("http://localhost/resource").body(Empty::<&[u8]>::new())?;
//! assert_eq!(server.clone().oneshot(bare).await?.status(), StatusCode::UNAUTHORIZED);
//!
//! let fetcher = server.fetcher();
//! # let request = || tower_oauth::TokenRequest::new(tower_oauth::Reason::Cold);
//! assert!(fetcher.clone().oneshot(request()).await.is_err());
//! assert!(fetcher.clone().oneshot(request()).await.is_ok());
//! assert_eq!((server.token_requests(), server.resource_requests()), (2, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//!
//! Tokens expire, and delays pass, on tokio's clock, so that both follow [`tokio::time::pause`].
//! Give the cache a [`TokioClock`] and it does the same. Under paused time use the server as a
//! service: tokio skips ahead whenever only a socket is waited for.
//!
//! This is no server for production: it keeps secrets as they come and compares them as they are.

mod answer;
mod body;
mod clock;
mod endpoint;
mod fetcher;
mod issuer;
mod listening;
mod resource;
mod server;
mod service;
mod state;
mod token_endpoint;

pub use answer::Answer;
pub use body::Body;
pub use clock::TokioClock;
pub use endpoint::Endpoint;
pub use fetcher::Fetcher;
pub use listening::Listening;
pub use server::AuthorizationServer;
