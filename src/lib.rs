//! OAuth 2.0 on the client side as tower middleware.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod error;
mod fetch;
mod future;
mod grpc;
mod layer;
mod origin;
mod rejection;
mod replay;
mod runtime;
mod service;
mod source;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod token;

pub use cache::{
    Acquire, CacheStatus, Clock, Phase, RefreshPolicy, Renew, SystemClock, TokenCache,
    TokenCacheBuilder, TokenLease,
};
pub use error::{BoxError, Error, ErrorKind};
pub use fetch::{FetchFn, FetchToken, Reason, TokenRequest, fetch_fn};
pub use future::ResponseFuture;
pub use grpc::grpc_status;
pub use layer::OAuthLayer;
pub use replay::{
    AsIs, BufferBody, BufferedBody, CloneBody, EmptyBody, IntoBody, KeptBody, Never, Replay,
    WrapBody,
};
pub use service::OAuthService;
pub use source::{Lease, RequestHead, StaticLease, TokenSource};
pub use token::Token;
