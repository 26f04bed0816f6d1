//! OAuth 2.0 on the client side as tower middleware.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod error;
mod fetch;
mod source;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod token;

pub use cache::{Clock, SystemClock};
pub use error::{BoxError, Error, ErrorKind};
pub use fetch::{FetchFn, FetchToken, Reason, TokenRequest, fetch_fn};
pub use source::{Lease, RequestHead, StaticLease, TokenSource};
pub use token::Token;
