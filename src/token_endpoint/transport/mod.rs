//! From a token request to a response.

mod cause;
#[cfg(feature = "client-no-provider")]
mod client;
mod http;

#[cfg(feature = "client-no-provider")]
pub(super) use client::{ClientSettings, HttpClient};
pub use http::HttpTransport;
pub(super) use http::{Ended, unavailable};
