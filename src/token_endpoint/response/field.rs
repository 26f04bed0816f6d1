//! Fields that an API calls by another name, or puts somewhere else.

use std::collections::BTreeMap;

/// A field of the response that an API may call by another name, or put somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ResponseField {
    /// `access_token` (RFC 6749 §5.1).
    AccessToken,
    /// The code of an error: `error` (RFC 6749 §5.2), and the other places where servers put it.
    Error,
    /// The text of an error: `error_description` (RFC 6749 §5.2), and the other places where servers put
    /// it.
    ErrorDescription,
    /// `expires_in` (RFC 6749 §5.1).
    ExpiresIn,
    /// `token_type` (RFC 6749 §7.1).
    TokenType,
}

/// The places that are not the standard's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(pub(crate) BTreeMap<ResponseField, String>);

impl Places {
    /// Where this field is: a name, or a JSON pointer that starts with a slash.
    pub(super) fn of(&self, field: ResponseField) -> &str {
        let standard = match field {
            ResponseField::AccessToken => "access_token",
            ResponseField::Error => "error",
            ResponseField::ErrorDescription => "error_description",
            ResponseField::ExpiresIn => "expires_in",
            ResponseField::TokenType => "token_type",
        };
        self.0.get(&field).map_or(standard, String::as_str)
    }
}
