//! From a token request to a response.

mod cause;
#[cfg(feature = "client")]
mod client;
mod http;

#[cfg(feature = "client")]
pub(super) use client::client;
pub use http::HttpTransport;
pub(super) use http::{Ended, unavailable};
