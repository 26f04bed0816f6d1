//! OAuth 2.0 on the client side as [tower](https://docs.rs/tower) middleware: every request leaves
//! with a valid access token.
//!
//! [`OAuthLayer`] wraps any `Service<http::Request<B>>`: hyper-util's client, a `tower_http` stack, a
//! `tonic` channel, `reqwest` by an adapter, a `service_fn` in a test. It gets tokens from a
//! *fetcher*, which is itself a tower service, keeps one, refreshes it before it expires while nobody
//! waits, and makes one token request out of however many callers need one.
//!
//! ```
//! # use tower::BoxError;
//! # use tower_oauth::{Error, Token};
//! use tower::ServiceBuilder;
//! use tower_oauth::{OAuthLayer, fetch_fn};
//!
//! # fn main() -> Result<(), Error> {
//! # let client = tower::service_fn(|_: http::Request<http_body_util::Empty<bytes::Bytes>>| async {
//! #     Ok::<_, BoxError>(http::Response::new(String::new()))
//! # });
//! // Any `Service<TokenRequest, Response = Token>`; `TokenEndpoint` is the ready-made one.
//! let fetcher = fetch_fn(|_request| async { Ok::<_, BoxError>(Token::bearer("secret")) });
//! let api = ServiceBuilder::new()
//!     .layer(OAuthLayer::new(fetcher).origin("https://api.example.com")?)
//!     .service(client);
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! | part | what it is | to put something else in |
//! |---|---|---|
//! | [`OAuthService`] | puts the token into each request | |
//! | [`TokenSource`] | whom it asks: a [`TokenCache`], a [`Token`] that never changes | choose by the request, for example among tenants |
//! | fetcher, [`FetchToken`] | how a token is got: [`TokenEndpoint`](#features), [`fetch_fn`] | any grant, any store; tower's timeouts, retries and limits go on it |
//! | [`vendor`](#features) | APIs that differ from the textbook, as ready-made settings of `TokenEndpoint` | a configuration file, with the feature `config` |
//! | [`Replay`] | how a request whose token was rejected is sent again | other bodies |
//! | [`RefreshPolicy`] | when a token is refreshed, and until when it is used | |
//!
//! # What happens to a request
//!
//! With a fresh token in the cache the header is put in and the inner service is called: no box, no
//! task, no lock that is held across an await, no allocation but the header map's own. A token that
//! is due for refresh is used too, and one request starts the refresh in the background. Only
//! without a usable token a request waits, and it gives the inner service's readiness back before it
//! does.
//!
//! If the resource server rejects the token, it is refreshed, once for all who were rejected, and the
//! request is sent again, once, if its body allows: by default only an empty one, see [`Replay`].
//!
//! [Every rule with its default and its reason](docs::rules) is a chapter of its own.
//!
//! Requests fail closed: none that should have a token is sent without. The token goes to the
//! origins that [`OAuthLayer::origin`] names, and never over plain HTTP to another machine unless
//! that is named.
//!
//! # In an SDK
//!
//! The cache hides its fetcher's type, so that a client's type can be named:
//!
//! ```
//! use tower_oauth::{OAuthLayer, OAuthService, TokenCache};
//! # type Client = tower::util::BoxCloneService<
//! #     http::Request<http_body_util::Full<bytes::Bytes>>,
//! #     http::Response<http_body_util::Full<bytes::Bytes>>,
//! #     tower::BoxError,
//! # >;
//!
//! #[derive(Clone)]
//! pub struct Api {
//!     http: OAuthService<Client, TokenCache>,
//! }
//!
//! impl Api {
//!     pub fn new(client: Client, tokens: TokenCache) -> Result<Self, tower_oauth::Error> {
//!         use tower::Layer;
//!         let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
//!         Ok(Self { http: layer.layer(client) })
//!     }
//! }
//! ```
//!
//! or it is boxed like any other service:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Layer, Service, ServiceExt, util::BoxCloneService};
//! use tower::BoxError;
//! use tower_oauth::{Error, OAuthLayer, TokenCache};
//!
//! pub struct Api {
//!     http: BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>,
//! }
//!
//! impl Api {
//!     pub fn new<C>(client: C, tokens: TokenCache) -> Result<Self, Error>
//!     where
//!         C: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>>,
//!         C: Clone + Send + 'static,
//!         C::Error: Into<BoxError>,
//!         C::Future: Send,
//!     {
//!         let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
//!         Ok(Self { http: layer.layer(client).boxed_clone() })
//!     }
//! }
//! ```
//!
//! Compilers up to today do not see that a future with a [`BoxError`] in its type is `Send` if it is
//! awaited in a spawned `async` block. Where that hurts, spawn `api.oneshot(request)` itself, or give
//! the client an error type of its own.
//!
//! # Errors
//!
//! The service's error is a [`BoxError`], since it is either the inner service's or an [`Error`];
//! [`Error::find`] finds ours in whatever other layers made of it. No error leaves through
//! `poll_ready` but the inner service's. For gRPC callers [`grpc_status`] turns ours into a status.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `token-endpoint` | yes | `TokenEndpoint`, the HTTP fetcher, over any HTTP service, and `vendor` |
//! | `client` | no | a ready-made HTTP client for it: hyper-util and rustls, with aws-lc-rs unless the program installed another provider |
//! | `client-ring` | no | the same with ring |
//! | `client-no-provider` | no | the same with the provider that the program installed, and no other |
//! | `config` | no | the policy, and with `token-endpoint` the fetcher, from a configuration file, by serde |
//! | `testing` | no | `testing::AuthorizationServer`, to test against |
//!
//! Without any of them the crate depends on `http`, `tower-service`, `tower-layer`, tokio's runtime
//! and timers, and little else.
//!
//! # What it costs
//!
//! With [`Never`] little more than a header that never changes; by default also a copy of the headers
//! of each request without a body. [`docs::performance`] says how, and what is shared between threads.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cache;
pub mod docs;
mod error;
mod fetch;
pub mod future;
mod grpc;
mod layer;
mod origin;
mod rejection;
pub mod replay;
mod runtime;
mod service;
pub mod source;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod token;
#[cfg(feature = "token-endpoint")]
pub mod token_endpoint;
#[cfg(feature = "token-endpoint")]
pub mod vendor;

pub use cache::token_cache::TokenCache;
pub use error::{Error, ErrorKind};
pub use fetch::{FetchFn, FetchToken, RefreshReason, TokenRequest, fetch_fn};
pub use grpc::grpc_status;
pub use layer::OAuthLayer;
pub use service::OAuthService;
pub use token::Token;
#[cfg(feature = "token-endpoint")]
pub use token_endpoint::endpoint::TokenEndpoint;

/// The examples of the README compile.
#[cfg(all(doctest, any(feature = "client", feature = "client-ring")))]
#[doc = include_str!("../README.md")]
struct Readme;
