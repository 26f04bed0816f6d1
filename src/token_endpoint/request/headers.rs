//! The headers of a token request.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{error::Error, token_endpoint::value::Value};

/// What the HTTP client sets.
const CLIENTS: [HeaderName; 2] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// What cannot carry an id or a secret.
pub(super) const TAKEN: [HeaderName; 5] = [
    header::ACCEPT,
    header::CACHE_CONTROL,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
];

/// A header of the user's: its name, the value that was set, and its text as it is now.
pub(super) type Own<'a> = (&'a str, &'a Value, SecretString);

/// Adds the standard headers and the user's to those that carry id and secret.
pub(super) fn add_to(
    headers: &mut HeaderMap,
    user_agent: &str,
    own: &[Own<'_>],
) -> Result<(), Error> {
    let taken: Vec<_> = headers.keys().cloned().chain(CLIENTS).collect();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut user_agent = sensitive("user_agent", &header::USER_AGENT, user_agent)?;
    user_agent.set_sensitive(false);
    headers.insert(header::USER_AGENT, user_agent);
    let mut replaced = HashSet::new();
    for (name, value, text) in own {
        let name = parse("header", name)?;
        let mut text = sensitive("header", &name, text.expose_secret())?;
        text.set_sensitive(value.secret().is_some());
        if taken.contains(&name) {
            let why = format!("{name} is set by `auth` or by the HTTP client");
            return Err(Error::config("header", why));
        }
        if replaced.insert(name.clone()) {
            headers.remove(&name);
        }
        let too_many = |_| Error::config("header", "there are too many headers");
        headers.try_append(name, text).map_err(too_many)?;
    }
    Ok(())
}

pub(super) fn parse(field: &'static str, name: &str) -> Result<HeaderName, Error> {
    name.parse().map_err(|_| Error::config(field, format!("{name:?} is not a valid header name")))
}

/// A header's value that is overwritten in memory when it is dropped, and that nothing prints.
pub(super) fn sensitive(
    field: &'static str,
    name: &HeaderName,
    value: &str,
) -> Result<HeaderValue, Error> {
    let bytes = Bytes::from_owner(Zeroizing::new(value.as_bytes().to_vec()));
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| {
        Error::config(field, format!("it contains characters that the header {name} cannot carry"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
