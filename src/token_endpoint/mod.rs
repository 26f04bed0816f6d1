//! The parts of the HTTP fetcher: how requests to a token endpoint (RFC 6749 §3.2) are made, and how its
//! responses are read.
//!
//! [`TokenEndpoint`](crate::TokenEndpoint) is made by a [`TokenEndpointBuilder`]. Layers of your own
//! go between it and [`HttpTransport`], where a request is still an [`EndpointRequest`]: names and
//! values, not yet encoded.

mod build;
#[cfg(feature = "client-no-provider")]
mod build_client;
mod builder;
#[cfg(feature = "config")]
mod config;
pub(crate) mod endpoint;
#[cfg(feature = "shared")]
mod identity;
mod list;
mod request;
mod response;
mod secret;
mod settings;
mod transport;
mod validate;
mod value;

pub(crate) use builder::split;

pub use builder::TokenEndpointBuilder;
pub use request::{ClientAuth, EndpointRequest, ParamEncoding, Parameter, Params};
pub use response::{LifetimeUnit, ResponseField, ResponseFormat};
pub use secret::Secret;
pub use transport::HttpTransport;
pub use value::Value;
