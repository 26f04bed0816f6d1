//! The headers of a token request.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use super::authentication::{ClientAuth, header_name, sensitive};
use crate::error::Error;

/// The headers but those that carry id and secret.
pub(super) fn headers(own: &[(&str, SecretString)], auth: &ClientAuth) -> Result<HeaderMap, Error> {
    let taken = taken(auth)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut replaced = HashSet::new();
    for (name, value) in own {
        let invalid = |why: &str| Error::config("header", format!("{name:?}: {why}"));
        let value = sensitive(value.expose_secret())
            .ok_or_else(|| invalid("its value has characters that a header cannot carry"))?;
        let name: HeaderName =
            name.parse().map_err(|_| invalid("a header cannot have this name"))?;
        if taken.contains(&name) {
            return Err(invalid("the client's authentication uses it: `auth`"));
        }
        if is_the_clients(&name) {
            return Err(invalid("the HTTP client sets it"));
        }
        if replaced.insert(name.clone()) {
            headers.remove(&name);
        }
        headers.try_append(name, value).map_err(|_| invalid("there are too many headers"))?;
    }
    Ok(headers)
}

/// The headers that the client's authentication uses.
fn taken(auth: &ClientAuth) -> Result<Vec<HeaderName>, Error> {
    let mut taken = Vec::new();
    for name in auth.headers() {
        let name = header_name(name)?;
        let invalid = |why: &str| Err(Error::config("auth", format!("{name}: {why}")));
        if is_the_clients(&name) {
            return invalid("the HTTP client sets it");
        }
        if [header::ACCEPT, header::CACHE_CONTROL, header::CONTENT_TYPE].contains(&name) {
            return invalid("it says what the request is");
        }
        if taken.contains(&name) {
            return invalid("id and secret need a header each");
        }
        taken.push(name);
    }
    Ok(taken)
}

fn is_the_clients(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name)
}
