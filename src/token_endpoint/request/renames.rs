//! Parameters that an API calls by another name.

use std::collections::BTreeMap;

/// A parameter of the token request that an API may call by another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Parameter {
    /// `audience`, which is in no RFC but used by Auth0 and many others.
    Audience,
    /// `client_id` (RFC 6749 §2.3.1).
    ClientId,
    /// `client_secret` (RFC 6749 §2.3.1).
    ClientSecret,
    /// `grant_type` (RFC 6749 §4.4.2).
    GrantType,
    /// `resource` (RFC 8707 §2).
    Resource,
    /// `scope` (RFC 6749 §3.3).
    Scope,
}

/// The names that an API has instead of the standard's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renames(pub(crate) BTreeMap<Parameter, String>);

impl Renames {
    /// The name of this parameter.
    pub(crate) fn of(&self, parameter: Parameter) -> &str {
        let standard = match parameter {
            Parameter::Audience => "audience",
            Parameter::ClientId => "client_id",
            Parameter::ClientSecret => "client_secret",
            Parameter::GrantType => "grant_type",
            Parameter::Resource => "resource",
            Parameter::Scope => "scope",
        };
        self.0.get(&parameter).map_or(standard, String::as_str)
    }
}
