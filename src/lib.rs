//! The client side of OAuth 2.0 as [tower](https://docs.rs/tower) middleware: every request leaves with
//! a valid access token.
//!
//! [`OAuthLayer`] wraps any `Service<http::Request<B>>`: hyper-util's client, a `tower_http` stack, a
//! tonic channel, reqwest through an adapter, a `service_fn` in a test. Tokens come from a *fetcher*,
//! which is a tower service too. The layer keeps one token, refreshes it before it expires while
//! nobody waits, and makes one token request however many callers need one.
//!
//! ```sh
//! cargo add tower-oauth
//! cargo add tower --features util
//! cargo add tokio --features macros,rt-multi-thread
//! cargo add http
//! ```
//!
//! ```rust
//! use http::{Request, Response, StatusCode};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_oauth::{OAuthLayer, Token, fetch_fn};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     // Any `Service<TokenRequest, Response = Token>`; `TokenEndpoint` is the ready-made one.
//!     let fetcher = fetch_fn(|_request| async { Ok::<_, BoxError>(Token::bearer("secret")) });
//!
//!     // Any `Service<http::Request<B>>`; this one is client and API at once.
//!     let client = service_fn(|request: Request<String>| async move {
//!         let is_authorized = request.headers()["authorization"] == "Bearer secret";
//!         let status = if is_authorized { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
//!         Ok::<_, BoxError>(Response::builder().status(status).body(String::new())?)
//!     });
//!
//!     let api = ServiceBuilder::new()
//!         .layer(OAuthLayer::new(fetcher).origin("https://api.example.com")?)
//!         .service(client);
//!     let request = Request::get("https://api.example.com/things").body(String::new())?;
//!     println!("{}", api.oneshot(request).await?.status());
//!     Ok(())
//! }
//! ```
//!
//! The README and the pages of [`vendor`](#features) do the same with a token endpoint and a real HTTP
//! client.
//!
//! # The parts
//!
//! | part | what it does | replace it to |
//! |---|---|---|
//! | [`OAuthService`] | puts a token into each request | |
//! | [`TokenCache`] | keeps one token; the usual [`TokenSource`](source::TokenSource) | choose a token by the request, for example among tenants |
//! | fetcher, [`FetchToken`] | gets a token: [`TokenEndpoint`](#features), [`fetch_fn`] | use any grant or any store; tower's timeouts, retries and limits go on it |
//! | [`vendor`](#features) | ready-made settings of `TokenEndpoint` for APIs that differ from the textbook | describe another API, also in a configuration file |
//! | [`Replay`](replay::Replay) | sends a request again when its token was rejected | replay other bodies |
//! | [`RefreshPolicy`](cache::RefreshPolicy) | says when a token is refreshed, and until when it is used | |
//!
//! # What happens to a request
//!
//! If the cache holds a fresh token, the header is added and the inner service is called: no task, and no
//! lock that is held across an await. A token that is due for refresh is used too, and one request starts
//! the refresh in the background. A request waits only if there is no usable token, and gives back the
//! inner service's readiness before it does.
//!
//! If the resource server rejects the token, the token is refreshed, once for all rejected requests. Each
//! is then sent again if its body allows: by default only if it is empty, see
//! [`Replay`](replay::Replay).
//!
//! Requests fail closed: one that should have a token is never sent without. The token goes only to
//! the origins that [`OAuthLayer::origin`] names, and never over plain HTTP to another machine unless
//! that origin is named. A request whose URI has no host, as tonic's clients make them unless they are
//! built by `with_origin`, cannot be judged: it gets a token, and goes where its connection leads.
//!
//! [`docs::rules`] has every rule with its default and its reason.
//!
//! # In an SDK
//!
//! `TokenCache` hides the fetcher's type, so the type of a client that contains one can be named:
//!
//! ```
//! use tower::Layer;
//! use tower_oauth::{Error, OAuthLayer, OAuthService, TokenCache};
//! # type Client = tower::util::BoxCloneService<
//! #     http::Request<http_body_util::Full<bytes::Bytes>>,
//! #     http::Response<http_body_util::Full<bytes::Bytes>>,
//! #     tower::BoxError,
//! # >;
//!
//! #[derive(Clone)]
//! pub struct Api {
//!     http: OAuthService<Client>,
//! }
//!
//! impl Api {
//!     pub fn new(client: Client, tokens: TokenCache) -> Result<Self, Error> {
//!         let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
//!         Ok(Self { http: layer.layer(client) })
//!     }
//! }
//! ```
//!
//! Or box it like any other service:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, Layer, util::BoxCloneSyncService};
//! use tower_oauth::{Error, OAuthLayer, TokenCache, future::HttpService};
//!
//! pub struct Api {
//!     http: BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>,
//! }
//!
//! impl Api {
//!     pub fn new<C>(client: C, tokens: TokenCache) -> Result<Self, Error>
//!     where
//!         C: HttpService<Full<Bytes>, ResponseBody = Full<Bytes>, Future: 'static> + Sync,
//!     {
//!         let layer = OAuthLayer::with_source(tokens).origin("https://api.example.com")?;
//!         Ok(Self { http: BoxCloneSyncService::new(layer.layer(client)) })
//!     }
//! }
//! ```
//!
//! What rustc may say of a task that awaits `api.oneshot(request)`, and the way out, is at the end of
//! [`docs::layers`].
//!
//! # Errors
//!
//! The service's error is a `tower::BoxError`: either the inner service's or an [`Error`].
//! [`Error::find`] finds ours in whatever other layers made of it. `poll_ready` only fails with the
//! inner service's error. For gRPC callers [`grpc_status`] turns ours into a status.
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
//! | `shared` | no | `shared`: one token for many processes, through a store; with ring, which encrypts it |
//! | `redis` | no | the store in Redis or Valkey |
//! | `testing` | no | `testing::AuthorizationServer`, to test against |
//!
//! Without any of them the crate depends on `http`, `tower-service`, `tower-layer`, tokio's runtime
//! and timers, and little else.
//!
//! # What it costs
//!
//! The default, [`replay::IfEmpty`], keeps a copy of the head of each request without a body, which takes
//! two allocations. [`replay::Never`] keeps nothing, and takes about 240 instructions more than a header that
//! never changes. [`docs::performance`] has the details.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cache;
mod deadline;
pub mod docs;
mod error;
mod fetch;
pub mod future;
mod grpc;
mod header;
mod http_service;
mod layer;
mod origin;
pub mod rejection;
pub mod replay;
mod resend;
mod runtime;
mod service;
#[cfg(feature = "shared")]
#[cfg_attr(docsrs, doc(cfg(feature = "shared")))]
pub mod shared;
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

/// The README's examples compile.
#[cfg(all(doctest, any(feature = "client", feature = "client-ring")))]
#[doc = include_str!("../README.md")]
struct Readme;
