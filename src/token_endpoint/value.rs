//! What may be a secret and need not be.

use super::secret::Secret;

/// The value of an id, a parameter or a header: plain text, or a [`Secret`].
///
/// Text is plain, however it is called. An error may show it, if the server repeats it, and so may
/// `Debug`. A key is a [`Secret`], and neither shows it.
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
