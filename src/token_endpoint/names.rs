//! The names of what is sent and of what is answered, where an API has names of its own.

use std::collections::BTreeMap;

/// A parameter of the token request that an API may call by another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Parameter {
    /// `audience`, which no RFC names but Auth0 and many others do.
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

impl Parameter {
    pub(super) const ALL: [Self; 6] = [
        Self::Audience,
        Self::ClientId,
        Self::ClientSecret,
        Self::GrantType,
        Self::Resource,
        Self::Scope,
    ];

    fn standard(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::ClientId => "client_id",
            Self::ClientSecret => "client_secret",
            Self::GrantType => "grant_type",
            Self::Resource => "resource",
            Self::Scope => "scope",
        }
    }
}

/// The names that the parameters go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) BTreeMap<Parameter, String>);

impl Names {
    pub(super) fn of(&self, parameter: Parameter) -> &str {
        self.0.get(&parameter).map_or_else(|| parameter.standard(), String::as_str)
    }
}

/// A member of the answer that an API may call by another name, or put somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Member {
    /// `access_token` (RFC 6749 §5.1).
    AccessToken,
    /// `expires_in` (RFC 6749 §5.1).
    ExpiresIn,
    /// `token_type` (RFC 6749 §7.1).
    TokenType,
}

/// Where the members of an answer are found.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(pub(super) BTreeMap<Member, String>);

impl Members {
    pub(super) fn of(&self, member: Member) -> &str {
        let standard = match member {
            Member::AccessToken => "access_token",
            Member::ExpiresIn => "expires_in",
            Member::TokenType => "token_type",
        };
        self.0.get(&member).map_or(standard, String::as_str)
    }
}
