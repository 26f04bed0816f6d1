//! A token request: what every one starts from, what one is, and how it is written down.

mod authentication;
mod encode;
mod endpoint_request;
mod headers;
mod params;
mod renames;
mod template;

pub use authentication::ClientAuth;
pub(super) use encode::encode;
pub use endpoint_request::{EndpointRequest, ParamEncoding};
pub use params::Params;
pub use renames::Parameter;
pub(super) use template::{Template, refuse_control};
