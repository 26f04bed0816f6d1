//! Tokens and failures as a store keeps them.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorKind, WithCauses},
    token::Token,
};

/// A token whose lifetime is not known is kept for as long as a cache uses it by default.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);

#[derive(Serialize, Deserialize)]
struct TokenText<'a> {
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    secret: Cow<'a, str>,
    lifetime: Option<Duration>,
    refresh_after: Option<Duration>,
    /// How long it was to be kept when it was stored, which tells how old it is now.
    kept: Duration,
    /// How old it was then.
    age: Duration,
}

/// A cache uses every token for at least a second, and none for longer than a year.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A token as text, and how long to keep it; `None` if nobody can use it.
pub(super) fn write_token(token: &Token, age: Duration) -> Option<(Zeroizing<Vec<u8>>, Duration)> {
    token.header_value().ok()?;
    let age = token.age().unwrap_or(age);
    let kept = token.lifetime().unwrap_or(DEFAULT_LIFETIME).saturating_sub(age);
    let kept = kept.clamp(SHORTEST, LONGEST);
    let text = TokenText {
        scheme: token.scheme().into(),
        secret: token.expose_secret().into(),
        lifetime: token.lifetime(),
        refresh_after: token.refresh_after(),
        kept,
        age,
    };
    // Large enough: growing would leave parts of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * token.expose_secret().len() + 512));
    serde_json::to_writer(&mut *bytes, &text).ok()?;
    Some((bytes, kept))
}

/// The token, with its present age; `None` if nobody can use it.
pub(super) fn read_token(text: &[u8], left: Duration) -> Option<Token> {
    let text: TokenText<'_> = serde_json::from_slice(text).ok()?;
    let age = text.age.saturating_add(text.kept.saturating_sub(left));
    let mut token = Token::new(&text.scheme, &text.secret).with_age(age);
    token.header_value().ok()?;
    if let Some(lifetime) = text.lifetime {
        token = token.with_lifetime(lifetime);
    }
    if let Some(refresh_after) = text.refresh_after {
        token = token.with_refresh_after(refresh_after);
    }
    Some(token)
}

#[derive(Serialize, Deserialize)]
struct FailureText {
    /// The number of the fetch; 0 in what an older version wrote.
    #[serde(default)]
    number: u64,
    is_denied: bool,
    code: Option<String>,
    said: String,
}

pub(super) fn write_failure(number: u64, error: &Error) -> Vec<u8> {
    let text = FailureText {
        number,
        is_denied: error.kind() == ErrorKind::Denied,
        code: error.oauth_code().map(str::to_owned),
        said: WithCauses(error).to_string(),
    };
    serde_json::to_vec(&text).unwrap_or_default()
}

/// The number of another process's fetch, and its error, which says how long it keeps others from
/// fetching.
pub(super) fn read_failure(text: &[u8], left: Duration) -> Option<(u64, Error)> {
    let FailureText { number, is_denied, code, said } = serde_json::from_slice(text).ok()?;
    let kind = if is_denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
    let said = format!("another process that shares the token was told: {said}");
    let mut error = Error::new(kind).with_retry_after(left).with_description(said);
    if let Some(code) = code {
        error = error.with_oauth_code(code);
    }
    Some((number, error))
}
