//! What may be a secret and need not be.

use super::secret::Secret;

/// The value of an id, a parameter or a header: plain text, or a [`Secret`].
///
/// A string is plain text, whatever the parameter is called: an error shows it if the server repeats
/// it, and so does `Debug`. Give a key as a [`Secret`], which neither of them shows.
///
/// ```
/// use tower_oauth::token_endpoint::{Secret, Value};
///
/// let plain: Value = "https://graph.microsoft.com".into();
/// assert!(format!("{plain:?}").contains("graph"));
/// let key: Value = Secret::value("gX1fBat3bV").into();
/// assert!(!format!("{key:?}").contains("gX1f"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// Text that may be shown.
    Plain(String),
    /// A secret, or where to read it for every token.
    Secret(Secret),
}

impl Value {
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

impl<T: Into<String>> From<T> for Value {
    fn from(text: T) -> Self {
        Self::Plain(text.into())
    }
}

impl From<Secret> for Value {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}
