//! Ready-made settings for token APIs that differ from the textbook.
//!
//! Each function returns the ordinary
//! [`TokenEndpointBuilder`](crate::token_endpoint::TokenEndpointBuilder), set to what the API's own
//! documentation asks for. Its page has a whole program that calls the API, the errors to expect, and
//! the same settings as a configuration file.
//!
//! Every setting can still be changed. The first call of
//! [`scope`](crate::token_endpoint::TokenEndpointBuilder::scope) replaces the scope, and
//! [`base_url`](crate::token_endpoint::TokenEndpointBuilder::base_url) names another host, such as a
//! test's.
//!
//! A host is given as `host` or `host:port`, with or without a scheme. A path or a query after it is
//! ignored.

mod bright_pattern;
mod dell_techdirect;
mod dhl_ecommerce;
mod dqe;
mod manageengine_ddi_central;

pub use bright_pattern::bright_pattern;
pub use dell_techdirect::{dell_techdirect, dell_techdirect_sandbox};
pub use dhl_ecommerce::{dhl_ecommerce, dhl_ecommerce_sandbox};
pub use dqe::{dqe, dqe_get};
pub use manageengine_ddi_central::manageengine_ddi_central;

use crate::token_endpoint::split;

/// The base URL of a host that may come with a scheme.
fn base_url(host: &str) -> String {
    // An address bar's text has a path.
    let (host, _path) = split(host.trim());
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}
